"""Tracks: the real files, exactly; against the library `gpxpy`; and what broken or hostile ones give."""

from datetime import UTC, datetime
from itertools import cycle, islice

import pytest

from chez.connectors import Item, read
from chez.connectors.gpx import Gpx
from chez.connectors.kit import Sample, memory_is_bounded
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Trip, Visit
from chez.vocabulary.track import MOST, points
from tests.connectors.support import TRACKS, read_bytes, records, rejects

COUNTS = {
    "Mojstrovka": (1, 0, 0), "around-visnjan-with-car": (1, 0, 0), "cerknicko-without-times": (7, 0, 7),
    "gpx1.1_with_all_fields": (1, 1, 3), "korita-zbevnica": (3, 0, 2), "track-with-empty-segment": (1, 0, 0),
    "track_with_dilution_errors": (1, 0, 2), "unicode2": (0, 0, 0), "unicode_with_bom": (0, 1, 0),
}
"""Trips, visits and rejects."""


def trips(items: list[Item]) -> list[Trip]:
    """The trips among the items."""
    return [one for one in records(items) if isinstance(one, Trip)]


def gpx(*lines: str) -> bytes:
    """A file with these lines."""
    return "\n".join(("<gpx version='1.1' xmlns='http://www.topografix.com/GPX/1/1'>", *lines, "</gpx>", "")).encode()


def point(lat: object, lon: object = 5, more: str = "") -> str:
    """A point of a track."""
    return f'<trkpt lat="{lat}" lon="{lon}">{more}</trkpt>'


def track(*lines: str) -> bytes:
    """A file with one track."""
    return gpx("<trk><trkseg>", *lines, "</trkseg></trk>")


def test_the_real_files() -> None:
    """9 files: 15 trips with 1,466 points, two marked places with a time; places without one and routes are told."""
    found = {path.stem: list(read(path)) for path in TRACKS.glob("*.gpx")}
    assert {name: (len(trips(items)), sum(isinstance(one, Visit) for one in records(items)), len(rejects(items)))
            for name, items in found.items()} == COUNTS
    assert sum(trip.points for items in found.values() for trip in trips(items)) == 1466
    assert {told for items in found.values() for _, told in rejects(items)} == {
        "a marked place without a time is no visit: it is left out",
        "a route is a plan and no way that somebody went: it is left out"}
    assert len({identity_of(trip) for items in found.values() for trip in trips(items)}) == 15
    (car,) = trips(found["around-visnjan-with-car"])
    assert (car.start, car.end, car.name, car.metres, car.climb, car.points) == (
        datetime(2020, 12, 18, 6, 15, 50, tzinfo=UTC), datetime(2020, 12, 18, 6, 24, 24, tzinfo=UTC),
        "2020-12-18 07:24:29", 2733.2, 51.4, 104)
    assert (car.track.split()[1], car.from_latitude, car.to_longitude) == (
        "45.27341,13.71419,10", 45.273518851, 13.7139970623)
    (hike,) = trips(found["Mojstrovka"])
    assert (hike.start, hike.points, len(list(points(hike.track, None)))) == (None, 184, 184)  # its clock stood in 1901
    (place,) = (one for one in records(found["unicode_with_bom"]))
    assert place == Visit(service="gpx", place="43.30963,3.51539", latitude=43.309634, longitude=3.515386, name="test",
                          start=datetime(2016, 5, 27, 10, 8, 47, 800_000, tzinfo=UTC))


def test_the_library_says_the_same() -> None:
    """Names, numbers of points, ends and lengths are those of `gpxpy`, whose Earth is a little larger."""
    import gpxpy

    for path in TRACKS.glob("*.gpx"):
        theirs = [one for one in gpxpy.parse(path.read_text(encoding="utf-8-sig")).tracks if one.get_points_no()]
        for ours, other in zip(trips(list(read(path))), theirs, strict=True):
            first, last = other.segments[0].points[0], [part for part in other.segments if part.points][-1].points[-1]
            assert (ours.name, ours.points) == ((other.name or "").strip(), other.get_points_no())
            assert (ours.from_latitude, ours.to_longitude) == (first.latitude, last.longitude)
            assert ours.metres == pytest.approx(other.length_2d(), rel=0.01, abs=1)
            start = other.get_time_bounds().start_time
            assert start is None or start.year == 1901 or ours.start == start.replace(tzinfo=UTC)


def test_a_track_in_the_making_and_its_copies() -> None:
    """A track is the same when more was recorded, renamed, and without its times it is told by all its points."""
    timed = [point(45 + at / 1000, more=f"<time>2024-01-31T08:00:{at:02}</time>") for at in range(9)]
    early, late = (trips(read_bytes(Gpx(), data))[0] for data in (track(*timed[:4]), gpx(
        "<trk><name>x</name><trkseg>", *timed[:4], "</trkseg><trkseg>", *timed[4:], "</trkseg></trk>")))
    assert identity_of(early) == identity_of(late) and (early.points, late.points) == (4, 9)
    bare, other = (trips(read_bytes(Gpx(), track(point(45), point(end))))[0] for end in (46, 47))
    assert identity_of(bare) != identity_of(other)


def test_two_tracks_that_begin_together_are_two() -> None:
    """Two who set out there and then, in one file, are two trips; the same track twice is one."""
    at = "<time>2024-01-31T08:00:00Z</time>"
    one, other = (f"<trk><trkseg>{point(45, more=at)}{point(to)}</trkseg></trk>" for to in (46, 47))
    found = trips(read_bytes(Gpx(), gpx(one, other, one)))
    assert [trip.to_latitude for trip in found] == [46, 47, 46]
    assert identity_of(found[0]) == identity_of(found[2]) != identity_of(found[1])
    assert identity_of(trips(read_bytes(Gpx(), gpx(one)))[0]) == identity_of(found[0])


def test_gaps_and_heights() -> None:
    """Neither the way nor the climb between two segments counts; what goes down adds nothing."""
    gap = gpx("<trk><link><type>no</type></link><type>Hiking</type><trkseg>", point(45, 5, "<ele>100</ele>"),
              point(45.001, 5, "<ele>130.5</ele>"), point(45, 5, "<ele>90</ele>"), "</trkseg><trkseg>",
              point(46, 5, "<ele>900</ele>"), point(46.001, 5, "<ele>901</ele>"), "</trkseg></trk>")
    (trip,) = trips(read_bytes(Gpx(), gap))
    assert (trip.climb, trip.mode, trip.points) == (31.5, "hiking", 5)
    assert trip.metres == pytest.approx(3 * 111.2, abs=0.5)


@pytest.mark.parametrize(("bad", "reason"), [
    (point("x"), "no latitude"), (point(91), "not on the Earth"), (point(45, 181), "not on the Earth"),
    ("<trkpt lat='45'/>", "no latitude"), (point("nan"), "no latitude"),
    (point(45, more="<ele>1e9</ele>"), "the height"), (point(45, more="<ele>high</ele>"), "the height"),
    (point(45, more="<time>soon</time>"), "time can't be"),
    (point(45, more="<time>3609-01-01T00:00:00Z</time>"), "the year is not between"),
    (point(45, more=f"<x>{'x' * 5000}</x>"), "longer than"), ("<wpt lat='45' lon='5'/>", "without a time"),
])
def test_a_broken_point_costs_itself(bad: str, reason: str) -> None:
    """A point that can't be is one reject at its line; the way goes on with the next one."""
    items = read_bytes(Gpx(), track(point(45), bad, point(45.001)))
    ((line, told),) = rejects(items)
    assert [trip.points for trip in trips(items)] == [2] and line == 4 and reason in told


def test_files_that_end_too_soon_or_are_none() -> None:
    """What was recorded before a file breaks off is a trip; a point outside of tracks is told; other XML is refused."""
    items = read_bytes(Gpx(), track(point(45), point(46))[:-10])
    assert [trip.points for trip in trips(items)] == [2] and "not well-formed" in rejects(items)[0][1]
    assert rejects(read_bytes(Gpx(), gpx(point(45)))) == [(2, "the point is in no track")]
    for data, reason in ((b"<kml/>", "is no GPX file"), (b"<!DOCTYPE gpx []><gpx/>", "document type")):
        with pytest.raises(InvalidValue, match=reason):
            read_bytes(Gpx(), data)
    assert Gpx().recognise(b'<?xml version="1.0"?>\n<!-- by hand -->\n<gpx>', "x")
    assert not Gpx().recognise(b"<html>" + b"<!--" * 10_000 + b"<gpx>", "x.gpx")


def test_a_long_track_is_held_in_little() -> None:
    """A track of 2,000 points takes no more memory than one whose points are all kept."""
    rows = (point(45), point(45.0001))
    long = Sample(track(*rows), grown=lambda count: track(*islice(cycle(rows), count)))
    memory_is_bounded(Gpx(), long)
    (trip,) = trips(read_bytes(Gpx(), track(*rows * 1000)))
    assert trip.points == 2000 and len(trip.track.split()) <= MOST
