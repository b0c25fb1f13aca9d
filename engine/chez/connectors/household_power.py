"""A household's power by the minute, in the form of UCI's data set 235.

    Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;...
    16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000
    21/12/2006;11:23:00;?;?;?;?;?;?;

Source: G. Hebrail and A. Berard, "Individual household electric power consumption", UCI
Machine Learning Repository, 2012: one house in Sceaux, 7 km from Paris, 2006 to 2010.

What the file does not say, and how it is settled here:

- There is one such house: the clock is that of Paris, and the meter's number a name.
- A stamp is the beginning of its minute, and each line is one minute, also after a hole.
- The hour that the clocks repeat in autumn is in summer time until a stamp comes again,
  then in winter time. An hour that they leave out in spring is in no file that keeps them.
- A reading is active power. The other columns have no place in it, and are not brought home.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import BinaryIO, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Reject, Source, excerpt
from chez.connectors.lines import Line, columns, lines
from chez.errors import InvalidValue, NotAllowed
from chez.vocabulary import Reading

__all__ = ("HouseholdPower",)

HEADER: Final = ("Date", "Time", "Global_active_power")
"""The first columns, which are all that is read."""
METER: Final = "household-power"
ZONE: Final = "Europe/Paris"
SECONDS: Final = 60
MAX_KILOWATTS: Final = 1000.0
"""More than the connection of any household carries."""
DAY: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d):00", re.ASCII)
KILOWATTS: Final = re.compile(r"\d{1,6}(?:\.\d{1,6})?", re.ASCII)


class HouseholdPower:
    """Reads a household's minutes into readings."""

    name = "household-power"
    version = 1
    title = "household power by the minute (UCI 235), Date;Time;Global_active_power"
    types = (Reading,)

    def recognise(self, head: bytes, name: str) -> bool:
        """The first three columns have the data set's names."""
        return head.removeprefix(b"\xef\xbb\xbf").startswith(";".join(HEADER).encode() + b";")

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Reading` a line.

        Raises `InvalidValue` when the header is another's, `NotAllowed` when this machine
        has no table of the zone.
        """
        zone = _zone()
        begun = False
        last: datetime | None = None
        for line in lines(file):
            if not isinstance(line, Line):
                yield line
                continue
            try:
                fields = columns(line.text)
                if not begun:
                    begun = _checked(fields)
                    continue
                wall = _wall(fields)
                start = last = _after(last, wall, zone)
                yield Found(_reading(start, wall, fields, zone), line.number)
            except ValueError as error:
                yield Reject(line.number, str(error), excerpt(line.text))
        if not begun:
            _checked([])


def _zone() -> ZoneInfo:
    try:
        return ZoneInfo(ZONE)
    except (ZoneInfoNotFoundError, OSError):
        raise NotAllowed(f"this machine does not know the time zone {ZONE!r}, on whose clock the file is",
                         "Install the system's time zones (tzdata).") from None


def _checked(fields: list[str]) -> bool:
    if tuple(fields[:len(HEADER)]) != HEADER:
        raise InvalidValue("the header is not that of a household's minutes",
                           f"The first line must begin with {';'.join(HEADER)}.")
    return True


def _wall(fields: list[str]) -> datetime:
    """The clock of the wall at the beginning of a line's minute."""
    clock = TIME.fullmatch(fields[1]) if len(fields) > 1 else None
    if clock is None:
        raise ValueError("the time is not a whole minute like 17:24:00")
    return datetime.combine(_day(fields[0]), time(int(clock[1]), int(clock[2])))


def _day(text: str) -> date:
    found = DAY.fullmatch(text)
    if found is None:
        raise ValueError("the date is not d/m/yyyy")
    day, month, year = map(int, found.groups())
    if not MIN_YEAR < year < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError("there is no such day") from None


def _after(last: datetime | None, wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after `last` at which the zone's clocks show `wall`. Raises `ValueError`."""
    for fold in (0, 1):
        start = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if start.astimezone(zone).replace(tzinfo=None) != wall:
            raise ValueError("the clocks leave this hour out")
        if last is None or start > last:
            return start
    raise ValueError("the time is not after the one before")


def _reading(start: datetime, wall: datetime, fields: list[str], zone: ZoneInfo) -> Reading:
    written = fields[2] if len(fields) > 2 else ""
    if written in ("", "?"):
        raise ValueError("there is no value")
    if not KILOWATTS.fullmatch(written):
        raise ValueError("the value is not a number of at least 0")
    kilowatts = float(written)
    if kilowatts > MAX_KILOWATTS:
        raise ValueError("the value is larger than any household draws")
    offset = start.astimezone(zone).utcoffset()
    return Reading(meter=METER, flow="consumption", start=start, seconds=SECONDS, watts=round(kilowatts * 1000, 3),
                   local=wall.isoformat()[:16],
                   offset=0 if offset is None else int(offset.total_seconds()) // 60)
