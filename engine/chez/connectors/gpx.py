"""Tracks of a GPS receiver, a phone or a sports watch in GPX 1.0 and 1.1, point by point.

    trk                 one trip
      name, type
      trkseg            a part without gap; the way from one to the next is not counted
        trkpt lat lon   ele, time
    wpt lat lon         a place that was marked; with a time it is a visit

A track may have a point for each second of a day: none is held beyond what `chez.vocabulary.track` keeps.

What the file does not say, and how it is settled here:

- A track has no id. One with times is told by its first time and its first point, so that a track that was
  exported while it was being recorded is the same when it is complete; one without times by all its points. Where
  another track of the file begins there and then, by all its points as well.
- Times are in UTC, also where they lack the "Z" (GPX 1.1: `time`).
- A time before GPS began is that of a receiver that did not know it: one of the real files was recorded in 1901. Its
  points have no time.
- A route (`rte`) is a plan: nobody was there. It is told as a reject, and so is a marked place without a time.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Final

from chez.connectors import xml
from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.errors import InvalidValue
from chez.vocabulary import Trip, Visit
from chez.vocabulary.track import Point, Track

__all__ = ("Gpx",)

ROOT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*+(?:<[?!][^<]*+)*+<(?:gpx:)?gpx[\s>]")
"""Comments and instructions may come before it."""
BLOCKS: Final = ("trkpt", "wpt", "rte", "name", "type", "link", "metadata", "author", "extensions")
"""The last four have a name or a type of their own, which is none of the track's."""
NUMBER: Final = re.compile(r"[+-]?\d{1,7}(?:\.\d{0,20})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
SERVICE: Final = "gpx"
LOWEST: Final = -12_000
HIGHEST: Final = 100_000
BEGAN: Final = datetime(1980, 1, 6, tzinfo=UTC)
"""GPS time counts from here."""
MAX_NAME: Final = 256
MAX_TRACKS: Final = 100_000
"""Tracks of one file that are told apart from others of it."""


@dataclass(slots=True)
class _Trip:
    """The track that is being read."""

    line: int
    track: Track = field(default_factory=Track)
    name: str = ""
    mode: str = ""
    first: Point | None = None
    last: Point | None = None
    height: float | None = None
    climb: float | None = None
    begins: bool = True
    """Whether the next point is the first of its segment."""
    said: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))


class Gpx:
    """Reads GPX into trips, and marked places into visits."""

    name = "gpx"
    version = 2
    title = "GPX 1.0 and 1.1, tracks of a GPS receiver"
    types = (Trip, Visit)
    example = (b'<gpx><trk><name>x</name><trkseg><trkpt lat="45.7" lon="4.8"><ele>1</ele>'
               b"<time>2024-01-31T08:00:00Z</time></trkpt></trkseg></trk></gpx>")

    def recognise(self, head: bytes, name: str) -> bool:
        """Its first element is `gpx`."""
        return ROOT.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """A `Trip` for each track that has a point, and a `Visit` for each marked place that has a time.

        Raises `InvalidValue` when the file is no GPX, or as `chez.connectors.xml` does.
        """
        trip: _Trip | None = None
        seen, begun = False, dict[str, str]()
        for item in xml.blocks(file, BLOCKS, ("gpx", "trk", "trkseg")):
            if isinstance(item, xml.Mark):
                seen = seen or item.name == "gpx"
                if item.name == "trkseg" and trip is not None:
                    trip.begins = True
                elif item.name == "trk":
                    yield from _made(trip, begun)
                    trip = None if item.end else _Trip(item.line)
            elif isinstance(item, xml.Block):
                yield from _block(trip, item)
            elif isinstance(item, Progress):
                yield item
            else:
                yield from _made(trip, begun)
                trip = None
                yield item
        yield from _made(trip, begun)
        if not seen:
            raise InvalidValue(f"{source.name!r} is no GPX file", "Export the track again.")


def _block(trip: _Trip | None, block: xml.Block) -> Iterator[Item]:
    try:
        if block.name in ("trkpt", "wpt", "rte") and block.problem:
            raise ValueError(block.problem)
        if block.name == "trkpt":
            if trip is None:
                raise ValueError("the point is in no track")
            _add(trip, block)
        elif block.name == "wpt":
            yield Found(_visit(block), block.line)
        elif block.name == "rte":
            raise ValueError("a route is a plan and no way that somebody went: it is left out")
        elif trip is not None and block.name == "name":
            trip.name = trip.name or block.text[:MAX_NAME]
        elif trip is not None and block.name == "type":
            trip.mode = trip.mode or block.text[:MAX_NAME].lower()
    except ValueError as error:
        shown = " ".join((*block.attributes.values(), block.first("time", "name")))
        yield Reject(block.line, str(error), excerpt(shown))


def _add(trip: _Trip, block: xml.Block) -> None:
    point = _point(block)
    height = _height(block.first("ele"))
    before = trip.track.metres
    trip.track.add(point)
    if trip.begins:
        trip.track.metres = before
    if height is not None:
        if trip.height is not None and not trip.begins:
            trip.climb = (trip.climb or 0.0) + max(0.0, height - trip.height)
        trip.height = height
    trip.begins = False
    trip.first, trip.last = trip.first or point, point
    trip.said.update(f"{point.latitude:.5f},{point.longitude:.5f};".encode())


def _made(trip: _Trip | None, begun: dict[str, str]) -> Iterator[Found]:
    """The trip of a track; `begun` has of the file's tracks by what they are told, and their points."""
    if trip is None or trip.first is None or trip.last is None:
        return
    track, first, last = trip.track, trip.first, trip.last
    digest = whole = trip.said.hexdigest()
    if track.start is not None:
        said = f"{track.start.isoformat()},{first.latitude:.5f},{first.longitude:.5f}"
        digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
        if len(begun) < MAX_TRACKS and begun.setdefault(digest, whole) != whole:
            digest += f":{whole}"
    yield Found(Trip(
        service=SERVICE, reference=f"row:{digest}", start=track.start, end=track.end, mode=trip.mode, name=trip.name,
        metres=round(track.metres, 1), climb=None if trip.climb is None else round(trip.climb, 1), points=track.count,
        track=track.text(), from_latitude=first.latitude, from_longitude=first.longitude, to_latitude=last.latitude,
        to_longitude=last.longitude), trip.line)


def _visit(block: xml.Block) -> Visit:
    point = _point(block)
    if point.at is None:
        raise ValueError("a marked place without a time is no visit: it is left out")
    return Visit(service=SERVICE, place=f"{point.latitude:.5f},{point.longitude:.5f}", start=point.at,
                 latitude=point.latitude, longitude=point.longitude, name=block.first("name")[:MAX_NAME],
                 kind=block.first("type")[:MAX_NAME].lower())


def _point(block: xml.Block) -> Point:
    try:
        latitude, longitude = _number(block.attributes.get("lat", "")), _number(block.attributes.get("lon", ""))
    except ValueError:
        raise ValueError("the point has no latitude and longitude") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError("the point is not on the Earth")
    return Point(latitude, longitude, _time(block.first("time")))


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("the point's time can't be") from None
    if not MIN_YEAR < at.year < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    return at if at >= BEGAN else None


def _height(text: str) -> float | None:
    if not text:
        return None
    height = _number(text)
    if not (math.isfinite(height) and LOWEST <= height <= HIGHEST):
        raise ValueError("the height is none that anybody was at")
    return height


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError("the height is not a number")
    return float(text) + 0.0
