"""Where Google knew somebody to be: Takeout's location history, and what a phone exports of its timeline.

    {"locations": [{"timestampMs": "...", "latitudeE7": ...}]}           Takeout: Records.json, Location History.json
    {"timelineObjects": [{"placeVisit": ...}, {"activitySegment": ...}]} Takeout: Semantic Location History, by month
    {"semanticSegments": [{"startTime": ..., "visit" | "activity" | "timelinePath": ...}]}      Android, since 2024
    [{"startTime": ..., "visit" | "activity" | "timelinePath": ...}]                            iOS, since 2024

Files of locations have millions of points. The points of one day and one device become one trip, of which a part
is kept (`chez.vocabulary.track`); at most `MAX_DAY` of a day are held meanwhile.

What the files do not say, and how it is settled here:

- A day of points is a day in UTC, and told by it: an export that ends in the middle of a day is completed by the next.
  Points are nearly in order: two days of a device are open at once, and points of a day that is over are left out, for
  they would take its place.
- A visit is told by place and beginning; a way, or a path without a mode, by its beginning.
- Coordinates beyond the Earth in old files are ones that ran over 32 bits, and are turned back.
- Signals, wifi scans and the profile that the phone makes of somebody are not read: they say nothing more of where
  somebody was.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.checks import utc
from chez.connectors.google_forms import Duration, LatLng, Location, Place, Segment, Step, TimelineObject
from chez.connectors.objects import Object, objects
from chez.errors import InvalidValue
from chez.vocabulary import Trip, Visit
from chez.vocabulary.track import Point, Track

__all__ = ("GoogleLocation",)

SPACE: Final = rb"(?:\xef\xbb\xbf)?\s{0,64}"
KEYED: Final = re.compile(SPACE + rb'\{\s{0,64}"(locations|timelineObjects|semanticSegments|rawSignals|userLocation'
                          rb'Profile)"\s{0,9}:')
LISTED: Final = re.compile(SPACE + rb'\[\s{0,64}\{.{0,4000}?"(?:visit|activity|timelinePath|timelineMemory)"\s{0,9}:',
                           re.S)
SERVICE: Final = "google"
DEGREES: Final = re.compile(r"(?:geo:)?\s*(-?\d{1,3}(?:\.\d{1,20})?)°?\s*,\s*(-?\d{1,3}(?:\.\d{1,20})?)°?\s*", re.ASCII)
MODES: Final = {
    "walking": "walking", "on_foot": "walking", "running": "running", "cycling": "cycling", "on_bicycle": "cycling",
    "in_passenger_vehicle": "car", "in_vehicle": "car", "driving": "car", "in_bus": "bus", "in_tram": "tram",
    "in_subway": "metro", "in_train": "train", "in_ferry": "ferry", "flying": "plane", "motorcycling": "motorcycle"}
KINDS: Final = {"inferred_home": "home", "inferred_work": "work", "type_home": "home", "type_work": "work",
                "unknown": "", "type_unknown": ""}
MAX_DAY: Final = 20_000
"""Points of one day: when there are more, every second one is dropped."""
MAX_DEVICES: Final = 16
"""That have days open; one more ends those of the one that is out of use for the longest time."""
OPEN_DAYS: Final = 2
"""Days of one device that are open: points around midnight are not in order."""
MAX_OVER: Final = 200_000
"""Days that are remembered as over: some centuries of one device."""
DAY_MS: Final = 86_400_000
LAST_MS: Final = 7_258_118_400_000
"""The year 2200 in milliseconds of Unix."""
WHOLE: Final = re.compile(r"-?\d{1,15}", re.ASCII)
OVER: Final = 2**32
E7: Final = 10_000_000


@dataclass(slots=True)
class _Day:
    """The points of one device on the day that is being read: milliseconds, latitude, longitude."""

    number: int
    """Days since 1970."""
    line: int
    points: list[tuple[int, float, float]] = field(default_factory=list, repr=False)
    count: int = 0
    step: int = 1


class GoogleLocation:
    """Reads location histories and timelines into trips and visits."""

    name = "google-location"
    version = 2
    title = "Google location history (Takeout) and timeline (phone), JSON"
    types = (Trip, Visit)
    example = b'{"locations":[{"timestampMs":"1437263846012","latitudeE7":376955289,"longitudeE7":-1219287261}]}'

    def recognise(self, head: bytes, name: str) -> bool:
        """Its first key is one of Google's, or it is a list of segments with visits, activities or paths."""
        return KEYED.match(head) is not None or (LISTED.match(head) is not None and b'"startTime"' in head)

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Trips and visits. Raises `InvalidValue` when there is no object of these kinds in the file."""
        head = KEYED.match(file.read(512))
        file.seek(0)
        kind = "segments" if head is None else head[1].decode()
        read: Callable[[Object], Iterable[Item]]
        days = _Days()
        read = days.take if kind == "locations" else _timeline if kind == "timelineObjects" else _segment
        seen = False
        for item in objects(file, 1 if head is None else 2):
            if not isinstance(item, Object):
                yield item
                continue
            seen = True
            try:
                yield from read(item)
            except (msgspec.MsgspecError, RecursionError) as error:
                yield Reject(item.line, f"it is nothing that is read here: {excerpt(str(error))}", excerpt(item.bytes))
            except (ValueError, OverflowError) as error:
                yield Reject(item.line, str(error), excerpt(item.bytes))
        yield from days.rest()
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no place and no way", "Export it again from Google.")


class _Days:
    """The days of points that are being read, one for each device."""

    __slots__ = ("_days", "_decoder", "_late", "_over")

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Location)
        self._days: dict[int, list[_Day]] = {}
        """Of each device the days that are open, the one that was read last behind; devices in the order in which they
        went on to another day."""
        self._over: set[tuple[int, int]] = set()
        self._late: set[tuple[int, int]] = set()

    def take(self, item: Object) -> Sequence[Item]:
        """Go on with one location; the trip of an earlier day, if that is over with it."""
        found = self._decoder.decode(item.bytes)
        ms = _milliseconds(found.ms) if found.timestamp is None else round(utc(found.timestamp).timestamp() * 1000)
        latitude, longitude = _degrees(found.latitude, 90), _degrees(found.longitude, 180)
        over: Sequence[Item] = ()
        days, number = self._days.get(found.device), ms // DAY_MS
        if days is None or days[-1].number != number:
            if (found.device, number) in self._over:
                return self._left_out((found.device, number), item)
            over = self._turn(found.device, number, item.line)
            days = self._days[found.device]
        day = days[-1]
        if day.count % day.step == 0:
            day.points.append((ms, latitude, longitude))
            if len(day.points) >= MAX_DAY:
                del day.points[1::2]
                day.step *= 2
        day.count += 1
        return over

    def _turn(self, device: int, number: int, line: int) -> Sequence[Item]:
        """Go on with another day of a device; what is over with that."""
        over: list[Item] = []
        if device not in self._days and len(self._days) >= MAX_DEVICES:
            unused = next(iter(self._days))
            over += [self._end(unused, day) for day in self._days.pop(unused)]
        days = self._days[device] = self._days.pop(device, [])
        day = next((one for one in days if one.number == number), None)
        if day is not None:
            days.remove(day)
        elif len(days) >= OPEN_DAYS:
            over.append(self._end(device, days.pop(0)))
        days.append(day or _Day(number, line))
        return over

    def _end(self, device: int, day: _Day) -> Found:
        if len(self._over) < MAX_OVER:
            self._over.add((device, day.number))
        return _day_trip(device, day)

    def _left_out(self, day: tuple[int, int], item: Object) -> Sequence[Item]:
        if day in self._late:
            return ()
        self._late.add(day)
        why = f"points of {_date(day[1])} that come behind those of two other days are left out"
        return (Reject(item.line, why, excerpt(item.bytes)),)

    def rest(self) -> Iterator[Found]:
        """The trips of the days that are not over."""
        open_days, self._days = self._days, {}
        for device, days in open_days.items():
            for day in days:
                yield self._end(device, day)


def _day_trip(device: int, day: _Day) -> Found:
    track, points = Track(), sorted(day.points)
    for ms, latitude, longitude in points:
        track.add(Point(latitude, longitude, datetime.fromtimestamp(ms / 1000, UTC)))
    first, last = points[0], points[-1]
    name = _date(day.number)
    return Found(Trip(
        service=SERVICE, reference=f"day:{name}" + (f":{device}" if device else ""), start=track.start,
        end=track.end, metres=round(track.metres, 1), points=day.count, track=track.text(), from_latitude=first[1],
        from_longitude=first[2], to_latitude=last[1], to_longitude=last[2]), day.line)


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


_TIMELINE: Final = msgspec.json.Decoder(TimelineObject)
_SEGMENT: Final = msgspec.json.Decoder(Segment)


def _timeline(item: Object) -> Iterator[Item]:
    found = _TIMELINE.decode(item.bytes)
    if found.visit is not None:
        place = found.visit.location
        where = _where(place)
        start, end = _span(found.visit.duration)
        yield Found(Visit(
            service=SERVICE, place=place.id or _named(where), start=start, end=end, latitude=where and where[0],
            longitude=where and where[1], name=place.name, address=place.address, kind=_kind(place.kind)), item.line)
    if found.segment is not None:
        start, end = _span(found.segment.duration)
        yield Found(_way(start, end, found.segment.mode, found.segment.distance, _where(found.segment.start),
                         _where(found.segment.end)), item.line)
    if found.visit is None and found.segment is None:
        raise ValueError("it is neither a visit nor a way")


def _segment(item: Object) -> Iterator[Item]:
    found = _SEGMENT.decode(item.bytes)
    if found.visit is None and found.activity is None and not found.path:
        return  # signals, memories, the profile
    start, local, offset = _local(found)
    end = _instant(found.end) if found.end else None
    if found.visit is not None:
        best = found.visit.candidate
        where = _point(best.location)
        yield Found(Visit(
            service=SERVICE, place=best.id or best.other_id or _named(where), start=start, end=end,
            latitude=where and where[0], longitude=where and where[1], local=local, offset=offset,
            kind=_kind(best.kind), probability=_share(best.probability)), item.line)
    if found.activity is not None:
        way = found.activity
        trip = _way(start, end, way.candidate.mode, _metres(way.metres), _point(way.start), _point(way.end))
        trip.local, trip.offset, trip.probability = local, offset, _share(way.candidate.probability)
        yield Found(trip, item.line)
    if found.path:
        yield Found(_path(start, found.path, offset), item.line)


def _path(start: datetime, steps: list[Step], offset: int | None) -> Trip:
    track = Track()
    for step in steps:
        where = _point(step.point)
        if where is None:
            raise ValueError("a point of the path has no latitude and longitude")
        at = utc(step.time) if step.time is not None else start + timedelta(
            minutes=_whole(step.minutes)) if step.minutes is not None else None
        track.add(Point(*where, at))
    first, last = _point(steps[0].point), _point(steps[-1].point)
    return Trip(
        service=SERVICE, reference=f"path:{start.isoformat()}", start=track.start, end=track.end,
        local=_wall(track.start, offset), offset=offset, metres=round(track.metres, 1), points=track.count,
        track=track.text(), from_latitude=first and first[0], from_longitude=first and first[1],
        to_latitude=last and last[0], to_longitude=last and last[1])


def _way(start: datetime, end: datetime | None, mode: str, metres: float | None, first: tuple[float, float] | None,
         last: tuple[float, float] | None) -> Trip:
    plain = mode.lower()
    return Trip(
        service=SERVICE, reference=f"way:{start.isoformat()}", start=start, end=end,
        mode=MODES.get(plain, "" if "unknown" in plain else plain[:64]), metres=metres,
        from_latitude=first and first[0], from_longitude=first and first[1], to_latitude=last and last[0],
        to_longitude=last and last[1])


def _local(segment: Segment) -> tuple[datetime, str, int | None]:
    """The instant, what the clock of the wall showed, and how far it was ahead; the last two if the phone says it."""
    written = datetime.fromisoformat(segment.start)
    start = utc(written)
    offset = segment.offset
    if offset is None:
        ahead = written.utcoffset()
        offset = round(ahead.total_seconds() / 60) if ahead else None
    if offset is None or abs(offset) > 24 * 60:
        offset = None
    return start, _wall(start, offset), offset


def _wall(at: datetime | None, offset: int | None) -> str:
    if at is None or offset is None:
        return ""
    return (at + timedelta(minutes=offset)).replace(tzinfo=None).isoformat(timespec="minutes")


def _span(duration: Duration) -> tuple[datetime, datetime | None]:
    start = utc(duration.start) if duration.start is not None else _ms(duration.start_ms)
    if duration.end is not None:
        return start, utc(duration.end)
    return start, _ms(duration.end_ms) if duration.end_ms else None


def _instant(text: str) -> datetime:
    return utc(datetime.fromisoformat(text))


def _ms(written: int | str) -> datetime:
    return datetime.fromtimestamp(_milliseconds(written) / 1000, UTC)


def _milliseconds(written: int | str) -> int:
    if not 0 < (value := _whole(written)) < LAST_MS:
        raise ValueError("the time is not in milliseconds of Unix")
    return value


def _whole(written: int | str) -> int:
    if isinstance(written, str) and not WHOLE.fullmatch(written):
        raise ValueError("a number of it is not whole")
    value = int(written)
    if abs(value) >= 10**15:
        raise ValueError("a number of it is too large")
    return value


def _degrees(e7: int, most: int) -> float:
    if most * E7 < e7 <= OVER:
        e7 -= OVER
    if abs(e7) > most * E7:
        raise ValueError("the point is not on the Earth")
    return e7 / E7


def _where(place: Place) -> tuple[float, float] | None:
    if place.latitude is None or place.longitude is None:
        return None
    return _degrees(place.latitude, 90), _degrees(place.longitude, 180)


def _point(written: LatLng | str) -> tuple[float, float] | None:
    text = written if isinstance(written, str) else written.point or written.other
    if not text:
        return None
    found = DEGREES.fullmatch(text)
    if found is None:
        raise ValueError("the point has no latitude and longitude")
    latitude, longitude = float(found[1]) + 0.0, float(found[2]) + 0.0
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError("the point is not on the Earth")
    return latitude, longitude


def _named(where: tuple[float, float] | None) -> str:
    if where is None:
        raise ValueError("the visit does not say where it was")
    return f"{where[0]:.5f},{where[1]:.5f}"


def _kind(written: str) -> str:
    plain = written.lower()
    return KINDS.get(plain, plain[:64])


def _share(written: float | str | None) -> float | None:
    value = _metres(written)
    return value if value is None or 0 <= value <= 1 else None


def _metres(written: float | str | None) -> float | None:
    """A number that phones of one maker write as text; what is none is left out."""
    if isinstance(written, str):
        if not re.fullmatch(r"\d{1,9}(?:\.\d{1,20})?", written, re.ASCII):
            return None
        written = float(written)
    return written if written is None or 0 <= written < 1e9 else None
