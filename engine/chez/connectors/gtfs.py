"""A timetable of public transport: a GTFS feed, which is a zip of tables.

`stops.txt` become stations, `routes.txt`, `trips.txt`, `stop_times.txt`, `calendar.txt` and `calendar_dates.txt`
records of their own. Other files are left. Source: the GTFS Schedule reference (gtfs.org), revision of April 2026.

- The feed's name is its first agency's id, or else the agency's name: ids of stops and trips are each feed's own. An id
  without a letter, as many feeds have a "1", comes behind the name, so that two cities' feeds are two.
- A time counts from noon minus twelve hours of the service day, so 25:35:00 is after midnight: seconds are kept.
- Days are written yyyymmdd there, and kept as days.
- A feed's next version replaces what has the same ids, and an import deletes nothing: what only an older one has stays,
  and its services say until when it went. Published as open data a dataset is what its newest file says.

A large network has millions of stop times: `chez import` takes them as they are; published as open data they are too
many.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import BinaryIO, ClassVar, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.archive import Archive, Member
from chez.connectors.cells import Cells, Dialect, cells
from chez.connectors.tables import slug
from chez.errors import InvalidValue
from chez.vocabulary import Station

__all__ = ("Gtfs", "TransitDay", "TransitRoute", "TransitService", "TransitStopTime", "TransitTrip")

MAX_TEXT: Final = 500
_DIALECT: Final = Dialect(",", "utf-8")
_TIME: Final = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)", re.ASCII)
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,7}", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,3}(?:\.\d{1,20})?", re.ASCII)
_WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NEEDED: Final = frozenset(("agency.txt", "routes.txt", "trips.txt", "stop_times.txt"))


class TransitRoute(msgspec.Struct, kw_only=True):
    """A line, as its operator calls it."""

    __collection__: ClassVar[str] = "transit_routes"
    __identity__: ClassVar[tuple[str, ...]] = ("feed", "route")

    feed: str
    """The feed's name."""
    route: str
    """The route's id in the feed."""
    name: str
    """Its short name, else its long one."""
    long_name: str = ""
    """Its long name."""
    kind: int | None = None
    """GTFS route_type: 0 tram, 1 metro, 2 rail, 3 bus, 4 ferry, ..."""


class TransitTrip(msgspec.Struct, kw_only=True):
    """One journey of a vehicle, on the days of its service."""

    __collection__: ClassVar[str] = "transit_trips"
    __identity__: ClassVar[tuple[str, ...]] = ("feed", "trip")

    feed: str
    """The feed's name."""
    trip: str
    """The trip's id in the feed."""
    route: str
    """The route's id."""
    service: str
    """The id of the days on which it goes."""
    headsign: str = ""
    """Where the vehicle says it goes."""
    direction: int | None = None
    """0 or 1, the feed's own."""


class TransitStopTime(msgspec.Struct, kw_only=True):
    """When a trip is at a stop."""

    __collection__: ClassVar[str] = "transit_stop_times"
    __identity__: ClassVar[tuple[str, ...]] = ("feed", "trip", "sequence")

    feed: str
    """The feed's name."""
    trip: str
    """The trip's id."""
    sequence: int
    """The order of stops on the trip; not every number is there."""
    stop: str
    """The stop's id: a station's number."""
    arrives: int | None = None
    """Seconds after noon minus twelve hours of the service day; 86,400 and more is the next day."""
    departs: int | None = None
    """Likewise."""


class TransitService(msgspec.Struct, kw_only=True):
    """The days of the week on which trips go, within a period."""

    __collection__: ClassVar[str] = "transit_services"
    __identity__: ClassVar[tuple[str, ...]] = ("feed", "service")

    feed: str
    """The feed's name."""
    service: str
    """The service's id in the feed."""
    begins: date
    """First day."""
    ends: date
    """Last day."""
    days: str
    """Seven digits from Monday on, 1 where it goes: "1111100"."""


class TransitDay(msgspec.Struct, kw_only=True):
    """A day on which a service goes, or does not, whatever its week says."""

    __collection__: ClassVar[str] = "transit_days"
    __identity__: ClassVar[tuple[str, ...]] = ("feed", "service", "day")

    feed: str
    """The feed's name."""
    service: str
    """The service's id."""
    day: date
    """The day."""
    goes: bool
    """Whether it goes on it."""


Values = Sequence[str]
"""The cells of a row in the columns that a table's records are made of, empty where the table has no such column."""


class Gtfs:
    """Reads a feed's zip."""

    name = "gtfs"
    version = 2
    title = "GTFS, a timetable of public transport (zip)"
    types = (Station, TransitRoute, TransitTrip, TransitStopTime, TransitService, TransitDay)

    def recognise(self, head: bytes, name: str) -> bool:
        """Never a single file: a feed is a zip."""
        return False

    def recognise_members(self, names: Sequence[str]) -> bool:
        """The tables that each feed has, all in one folder."""
        folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == "stop_times.txt"}
        return any(_NEEDED <= {name.rpartition("/")[2] for name in names if name.rpartition("/")[0] == folder}
                   for folder in folders)

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """The records of all tables. Raises `BadArchive`, and `InvalidValue` for a zip that is no feed."""
        archive = Archive(file, source.size)
        folder = next((one.name.rpartition("/")[0] for one in archive.members
                       if one.name.rpartition("/")[2] == "stop_times.txt"), None)
        if folder is None:
            raise InvalidValue("the zip is no GTFS feed: it has no stop_times.txt", "Take the schedule, not real time.")
        here = {one.name.rpartition("/")[2]: one for one in archive.members if one.name.rpartition("/")[0] == folder}
        feed = _feed(archive, here.get("agency.txt"))
        tables = [(member, table) for name, table in _TABLES.items() if (member := here.get(name)) is not None]
        archive.reading([member for member, _ in tables])
        for member, table in tables:
            yield from archive.items(member, source, _reader(feed, table))
        yield from archive.rejects


def _reader(feed: str, table: "_Table") -> Callable[[BinaryIO, Source], Iterator[Item]]:
    def read(file: BinaryIO, about: Source) -> Iterator[Item]:
        make = table.make
        for one in _rows(file, table.columns):
            if not isinstance(one, tuple):
                yield one
                continue
            row, values = one
            try:
                yield Found(make(feed, values), row.line)
            except ValueError as error:
                yield Reject(row.line, str(error), excerpt(",".join(row.values[:-1])))

    return read


def _rows(file: BinaryIO, columns: Sequence[str]) -> Iterator[tuple[Cells, Values] | Reject | Progress]:
    """The rows of a table, each with an empty cell more at its end, and the cells of these columns in their order."""
    width, chosen = 0, None
    for one in cells(file, _DIALECT):
        if not isinstance(one, Cells):
            yield one
            continue
        values = one.values
        if chosen is None:
            header = {title.strip().lower(): at for at, title in enumerate(values)}
            width = len(values)
            # A column that the table has not is the empty one.
            chosen = itemgetter(*(header.get(name, width) for name in columns))
        elif len(values) != width:
            yield Reject(one.line, f"the row has {len(values)} cells, and the header {width}",
                         excerpt(",".join(values)))
        else:
            values.append("")
            yield one, [*map(str.strip, chosen(values))]


def _feed(archive: Archive, agency: Member | None) -> str:
    if agency is not None:
        with archive.open(agency.name) as file:
            for row in _rows(file, ("agency_id", "agency_name")):
                if isinstance(row, tuple):
                    id, name = row[1]
                    return slug(id if any(map(str.isalpha, id)) else f"{name} {id}", "gtfs")
    return "gtfs"


# --- rows ------------------------------------------------------------------------------


def _stop(feed: str, values: Values) -> Station:
    number, name, latitude, longitude = values
    return Station(network=feed, number=_id(number, "stop_id"), kind="stop", name=_text(name, "stop_name"),
                   latitude=_degrees(latitude, "stop_lat", 90), longitude=_degrees(longitude, "stop_lon", 180))


def _route(feed: str, values: Values) -> TransitRoute:
    route, written, whole, kind = values
    short, long = _text(written, "route_short_name"), _text(whole, "route_long_name")
    return TransitRoute(feed=feed, route=_id(route, "route_id"), name=short or long, long_name=long,
                        kind=_whole(kind, "route_type", 2000))


def _trip(feed: str, values: Values) -> TransitTrip:
    trip, route, service, headsign, direction = values
    return TransitTrip(feed=feed, trip=_id(trip, "trip_id"), route=_id(route, "route_id"),
                       service=_id(service, "service_id"), headsign=_text(headsign, "trip_headsign"),
                       direction=_whole(direction, "direction_id", 1))


def _stop_time(feed: str, values: Values) -> TransitStopTime:
    trip, order, stop, arrives, departs = values
    sequence = _whole(order, "stop_sequence", 10**6)
    if sequence is None:
        raise ValueError("there is no stop_sequence")
    return TransitStopTime(feed=feed, trip=_id(trip, "trip_id"), sequence=sequence, stop=_id(stop, "stop_id"),
                           arrives=_seconds(arrives, "arrival_time"), departs=_seconds(departs, "departure_time"))


def _service(feed: str, values: Values) -> TransitService:
    service, begins, ends, *week = values
    days = "".join(week)
    if not re.fullmatch("[01]{7}", days):
        raise ValueError("the days of the week are not seven times 0 or 1")
    return TransitService(feed=feed, service=_id(service, "service_id"), begins=_day(begins, "start_date"),
                          ends=_day(ends, "end_date"), days=days)


def _day_of(feed: str, values: Values) -> TransitDay:
    service, day, kind = values
    if kind not in ("1", "2"):
        raise ValueError("exception_type is neither 1 nor 2")
    return TransitDay(feed=feed, service=_id(service, "service_id"), day=_day(day, "date"), goes=kind == "1")


class _Table(msgspec.Struct, frozen=True):
    """What the records of a table are made of: columns by name, and what takes their cells in this order."""

    columns: tuple[str, ...]
    make: Callable[[str, Values], msgspec.Struct]


_TABLES: Final[Mapping[str, _Table]] = {
    "stops.txt": _Table(("stop_id", "stop_name", "stop_lat", "stop_lon"), _stop),
    "routes.txt": _Table(("route_id", "route_short_name", "route_long_name", "route_type"), _route),
    "trips.txt": _Table(("trip_id", "route_id", "service_id", "trip_headsign", "direction_id"), _trip),
    "stop_times.txt": _Table(("trip_id", "stop_sequence", "stop_id", "arrival_time", "departure_time"), _stop_time),
    "calendar.txt": _Table(("service_id", "start_date", "end_date", *_WEEK), _service),
    "calendar_dates.txt": _Table(("service_id", "date", "exception_type"), _day_of),
}


def _id(text: str, name: str) -> str:
    if not 1 <= len(text) <= 200:
        raise ValueError(f"there is no {name}")
    return text


def _text(text: str, name: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"{name} is longer than {MAX_TEXT} characters")
    return text


def _whole(text: str, name: str, most: int) -> int | None:
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or (value := int(text)) > most:
        raise ValueError(f"{name} is no whole number up to {most}")
    return value


def _degrees(text: str, name: str, most: int) -> float | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or abs(value := float(text)) > most:
        raise ValueError(f"{name} is not on earth, in degrees")
    return value


def _seconds(text: str, name: str) -> int | None:
    if not text:
        return None
    try:
        return _clock(text)
    except ValueError:
        raise ValueError(f"{name} is not like 25:35:00") from None


@lru_cache(maxsize=4096)  # of times alone, which are short: what raises is not kept
def _clock(text: str) -> int:
    """Seconds of a time: a day has 1,440 minutes, at which most stops are. Raises `ValueError`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])


@lru_cache(maxsize=1024)
def _day(text: str, name: str) -> date:
    if not _DAY.fullmatch(text) or not MIN_YEAR < int(text[:4]) < MAX_YEAR:
        raise ValueError(f"{name} is no day like 20260131")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise ValueError(f"{name} is a day that there is not") from None
