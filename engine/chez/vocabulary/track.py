"""The points of a way as one short text, however many there were.

A phone notes a point a second, thirty million a year; a record is to stay small. `Track` takes
any number of points one after the other and keeps at most `MOST`: when there are more, every
second one of those kept is dropped, and from then on half as many are taken. So the points kept
are even over those given, the first and the last among them, in memory that does not grow, and
equal points give equal text. Length and number are those of all points.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from chez.errors import InvalidValue

__all__ = ("MOST", "Point", "Track", "distance", "points")

MOST: Final = 512
"""Points kept of one trip: 14 KB of text at most."""

EARTH: Final = 6_371_008.8
"""Mean radius of the Earth in metres (IUGG)."""


class Point(msgspec.Struct, frozen=True):
    """Where (WGS 84, degrees) and, if it is known, when (UTC) somebody was."""

    latitude: float
    longitude: float
    at: datetime | None = None

    def __repr__(self) -> str:
        return "Point()"


class Track:
    """Gathers points into the fields of a `Trip`.

    `metres` is the length of the way over all points, each step a great circle, and `count` how
    many there were; `start` and `end` are the first and the last time given.
    """

    __slots__ = ("_kept", "_last", "_step", "count", "end", "metres", "start")

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._last: Point | None = None
        self._step = 1
        self.count = 0
        self.metres = 0.0
        self.start: datetime | None = None
        self.end: datetime | None = None

    def add(self, point: Point) -> None:
        """Go on to a point. Raises `InvalidValue` for one that is not on the Earth, or not in an aware time."""
        if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
            raise InvalidValue("the point is not on the Earth", "Latitudes go to 90 degrees, longitudes to 180.")
        if point.at is not None and point.at.tzinfo is None:
            raise InvalidValue("the point's time has no time zone", "Give an aware datetime.")
        if self._last is not None:
            self.metres += distance(self._last, point)
        if point.at is not None:
            self.start = point.at if self.start is None else self.start
            self.end = point.at
        if self.count % self._step == 0:
            if len(self._kept) == MOST - 1:  # one place is for the last
                del self._kept[1::2]
                self._step *= 2
            if self.count % self._step == 0:
                self._kept.append(point)
        self._last = point
        self.count += 1

    def text(self) -> str:
        """The points kept, as `Trip.track` has them."""
        kept = self._kept
        if self._last is not None and kept[-1] is not self._last:
            kept = [*kept, self._last]
        return " ".join(self._written(point) for point in kept)

    def _written(self, point: Point) -> str:
        place = f"{_degrees(point.latitude)},{_degrees(point.longitude)}"
        if point.at is None or self.start is None:
            return place
        return f"{place},{round((point.at - self.start).total_seconds())}"


def points(track: str, start: datetime | None) -> Iterator[Point]:
    """The points of a `Trip`'s `track`, whose times count from its `start`. Raises `InvalidValue` for another text."""
    for piece in track.split():
        try:
            latitude, longitude, *seconds = piece.split(",")
            at = start + timedelta(seconds=int(seconds[0])) if seconds and start is not None else None
            point = Point(float(latitude), float(longitude), None if at is None else at.astimezone(UTC))
        except (ValueError, OverflowError):
            raise InvalidValue(f"{piece[:40]!r} is no point of a track",
                               "It is latitude,longitude or latitude,longitude,seconds.") from None
        if len(seconds) > 1 or not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
            raise InvalidValue(f"{piece[:40]!r} is no point of a track",
                               "It is on the Earth, and has three parts at most.")
        yield point


def distance(one: Point, other: Point) -> float:
    """Metres between two points along a great circle (the haversine formula, good for short ways)."""
    first, second = math.radians(one.latitude), math.radians(other.latitude)
    half = math.sin((second - first) / 2) ** 2 + math.cos(first) * math.cos(second) * math.sin(
        math.radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, half)))


def _degrees(value: float) -> str:
    text = f"{value:.5f}"  # rounds as `round` does
    return "0.00000" if text == "-0.00000" else text
