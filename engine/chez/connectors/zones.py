"""Time zones by the names that calendars give them: IANA's, Microsoft's, and those that a file defines itself.

A file's own zone (RFC 5545, `VTIMEZONE`) is a few changes of the clock, each with the rule by which it comes back: in a
year, a month and a weekday. Other rules are not followed; such a change counts once. So no file can ask for more than
one calculation for each of its changes, of which `MAX_CHANGES` are kept.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from io import BytesIO
from os import scandir
from pathlib import Path
from typing import Final

__all__ = ("MAX_CHANGES", "Change", "OwnZone", "change", "zone_named", "zone_tables")

MAX_CHANGES: Final = 128
"""Changes of one zone that a file defines; the longest real ones have less than a hundred."""
OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)(\d\d)?", re.ASCII)
LOCAL: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d))?", re.ASCII)
BY_DAY: Final = re.compile(r"([+-]?[1-5])(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZERO: Final = timedelta(0)
_NO_ZONES: Final = frozenset(("right", "posix", "posixrules"))
"""What stands among the zones and is none: other countings of leap seconds, and a copy."""


@cache
def zone_tables() -> Mapping[str, bytes]:
    """The tables of all of IANA's zones that this system or the package tzdata has, as they are in their files
    (RFC 8536): read once, none later, as behind the walls there are no files. Only those that are asked for are parsed.
    """
    from importlib.resources import files
    from zoneinfo import TZPATH

    found: dict[str, bytes] = {}
    for root in map(Path, TZPATH):
        _gather(root, "", found)
    try:
        package = files("tzdata")
        for name in (package / "zones").read_text().split():
            if name not in found:
                found[name] = package.joinpath("zoneinfo", *name.split("/")).read_bytes()
    except (ModuleNotFoundError, OSError):
        pass  # the system's are all there are
    return found


def _gather(folder: Path, before: str, found: dict[str, bytes]) -> None:
    """Add what a folder of zones has to those found: of two of a name the first one counts, as for `zoneinfo`."""
    try:
        inside = list(scandir(folder))
    except OSError:
        return
    for one in inside:
        name = before + one.name
        if name in _NO_ZONES or name in found:
            continue
        if one.is_dir(follow_symlinks=False):
            _gather(folder / one.name, f"{name}/", found)
            continue
        try:
            data = (folder / one.name).read_bytes()
        except OSError:
            continue
        if data.startswith(b"TZif"):
            found[name] = data


@cache
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo.from_file(BytesIO(zone_tables()[name]), key=name)


@cache
def _windows() -> Mapping[str, str]:
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    return dict(WINDOWS_TO_OLSON)


def zone_named(name: str) -> tuple[str, tzinfo] | None:
    """IANA's name of a zone and the zone: from its own name, Microsoft's, or a path that ends with IANA's."""
    zones = zone_tables()
    if name in zones:
        return name, _zone(name)
    for one in (_windows().get(name, ""), *("/".join(name.split("/")[-count:]) for count in (3, 2) if "/" in name)):
        if one in zones:
            return one, _zone(one)
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """A clock changes from one offset to another: at a local time, and by `weekday` and `nth` each year after."""

    start: datetime
    before: timedelta
    after: timedelta
    until: datetime | None = None
    month: int = 0
    nth: int = 0
    weekday: int = 0

    def last(self, local: datetime) -> datetime | None:
        """The last time before or at a local one that it came, on the clock before it."""
        if local < self.start:
            return None
        if not self.month:
            return self.start
        latest = self.until if self.until is not None and self.until < local else local
        for year in (latest.year, latest.year - 1):
            if year >= self.start.year and (at := self._in(year)) <= latest:
                return max(at, self.start)
        return self.start

    def _in(self, year: int) -> datetime:
        first, length = calendar.monthrange(year, self.month)
        day = 1 + (self.weekday - first) % 7
        day += 7 * (self.nth - 1) if self.nth > 0 else 7 * ((length - day) // 7 + 1 + self.nth)
        return self.start.replace(year=year, month=self.month, day=min(max(day, 1), length))


def change(fields: Mapping[str, str]) -> list[Change]:
    """The changes that a `STANDARD` or `DAYLIGHT` says, from its values by name. Raises `ValueError`."""
    start, before, after = _local(fields.get("DTSTART", "")), _offset(fields, "TZOFFSETFROM"), _offset(
        fields, "TZOFFSETTO")
    rule = dict(part.split("=", 1) for part in fields.get("RRULE", "").upper().split(";") if "=" in part)
    by_day = BY_DAY.fullmatch(rule.get("BYDAY", ""))
    month = rule.get("BYMONTH", "")
    until = _local(rule["UNTIL"].rstrip("Z")) if rule.get("UNTIL") else None
    if until is not None and rule["UNTIL"].endswith("Z"):
        until += before
    yearly = rule.get("FREQ") == "YEARLY" and rule.get("INTERVAL", "1") == "1" and "COUNT" not in rule
    if yearly and by_day and month.isdecimal() and 1 <= int(month) <= 12:
        return [Change(start, before, after, until, int(month), int(by_day[1]), DAYS.index(by_day[2]))]
    dates = [_local(text) for text in fields.get("RDATE", "").split(",")[:MAX_CHANGES] if LOCAL.fullmatch(text)]
    return [Change(at, before, after) for at in dict.fromkeys((start, *dates))]


class OwnZone:
    """A zone that a file defines."""

    __slots__ = ("_changes",)

    def __init__(self, changes: list[Change]) -> None:
        if not changes:
            raise ValueError("the time zone has no offset")
        self._changes = sorted(changes, key=lambda one: one.start)[:MAX_CHANGES]

    def utc(self, local: datetime) -> datetime:
        """The instant of a local time without zone; of two the first, of none the one by the clock before the gap."""
        latest, chosen = datetime.min, None
        for one in self._changes:
            at = one.last(local)
            if at is not None and at >= latest:
                latest, chosen = at, one
        if chosen is None:
            offset = self._changes[0].before
        elif local - latest < chosen.after - chosen.before:
            offset = chosen.before
        else:
            offset = chosen.after
        return (local - offset).replace(tzinfo=UTC)


def _offset(fields: Mapping[str, str], name: str) -> timedelta:
    found = OFFSET.fullmatch(fields.get(name, ""))
    if found is None:
        raise ValueError(f"the time zone's {name} is not like +0100")
    value = timedelta(hours=int(found[2]), minutes=int(found[3]), seconds=int(found[4] or 0))
    if value >= timedelta(days=1):
        raise ValueError("the time zone is more than a day from UTC")
    return -value if found[1] == "-" else value


def _local(text: str) -> datetime:
    found = LOCAL.fullmatch(text)
    if found is None:
        raise ValueError("a change of the time zone has no date")
    return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
