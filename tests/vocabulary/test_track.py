"""The points of a way in one short text."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import InvalidValue
from chez.vocabulary.track import MOST, Point, Track, points

START = datetime(2024, 5, 1, 8, tzinfo=UTC)
PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def gathered(given: list[Point]) -> Track:
    """A track that went on to each of these points."""
    track = Track()
    for point in given:
        track.add(point)
    return track


@given(st.lists(PLACES, max_size=30), st.booleans())
def test_a_short_way_keeps_its_points(places: list[tuple[float, float]], timed: bool) -> None:
    """Up to the bound every point comes back, within half a metre and to the second."""
    way = [Point(latitude, longitude, START + timedelta(seconds=7 * at) if timed else None)
           for at, (latitude, longitude) in enumerate(places)]
    track = gathered(way)
    back = list(points(track.text(), track.start))
    assert [point.at for point in back] == [point.at for point in way]
    for one, other in zip(way, back, strict=True):
        assert math.isclose(one.latitude, other.latitude, abs_tol=6e-6)
        assert math.isclose(one.longitude, other.longitude, abs_tol=6e-6)


@given(st.integers(1, 5_000))
def test_a_long_way_keeps_an_even_part(count: int) -> None:
    """Of any number of points a bounded part is kept, even, with first and last; length and number are of all."""
    way = [Point(45, 0.001 * at, START + timedelta(seconds=at)) for at in range(count)]
    track = gathered(way)
    kept = [round((point.at - START).total_seconds()) for point in points(track.text(), track.start) if point.at]
    assert len(kept) <= MOST and len(track.text()) < 16 * 1024
    assert (kept[0], kept[-1]) == (0, count - 1) and (track.start, track.end) == (way[0].at, way[-1].at)
    assert len({later - earlier for earlier, later in pairwise(kept[:-1])}) <= 1
    assert count <= MOST - 1 or len(kept) > MOST // 2 - 1
    assert track.count == count
    assert math.isclose(track.metres, (count - 1) * 78.626, rel_tol=1e-3)


def test_a_degree_of_a_meridian() -> None:
    """One degree of latitude is 111.2 km; opposite points are half the way round, and no rounding breaks that."""
    assert math.isclose(gathered([Point(0, 0), Point(1, 0)]).metres, 111_195, rel_tol=1e-4)
    assert math.isclose(gathered([Point(90, 0), Point(-90, 0)]).metres, math.pi * 6_371_008.8, rel_tol=1e-9)


@pytest.mark.parametrize("point", [Point(91, 0), Point(0, -181), Point(math.nan, 0), Point(0, 0, datetime(2024, 1, 1))])
def test_a_point_must_be_somewhere_and_its_time_somewhen(point: Point) -> None:
    """A point off the Earth, or with a time that has no zone, is refused, and the track is as it was."""
    track = gathered([Point(1, 2)])
    with pytest.raises(InvalidValue):
        track.add(point)
    assert (track.text(), track.count) == ("1.00000,2.00000", 1)


@pytest.mark.parametrize("text", ["1", "1,2,3,4", "91,0", "a,b", "1,2,x", "nan,0", f"1,2,{10**20}"])
def test_another_text_is_no_track(text: str) -> None:
    """What was not written by a track is a typed error, whoever wrote it."""
    with pytest.raises(InvalidValue, match="no point of a track"):
        list(points(text, START))
