"""What Google exports of places, ways and searches: the real files, exactly; all forms; broken and hostile ones."""

import json
from datetime import UTC, datetime

import pytest

from chez.connectors import Item, read
from chez.connectors.google_activity import GoogleActivity
from chez.connectors.google_location import MAX_DAY, GoogleLocation
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Activity, Trip, Visit
from tests.connectors.support import GOOGLE, read_bytes, records, rejects

TAKEOUT = GOOGLE / "Takeout"


def timeline(*segments: object) -> list[Item]:
    """What is read of a phone's timeline with these segments, one a line."""
    rows = ",\n".join(json.dumps(segment) for segment in segments)
    return read_bytes(GoogleLocation(), f'{{"semanticSegments": [\n{rows}\n]}}'.encode())


def history(*points: tuple[str, int, int], device: int = 0) -> list[Item]:
    """What is read of a location history with these points: time, and degrees times ten million."""
    rows = [{"timestamp": at, "latitudeE7": latitude, "longitudeE7": longitude, "deviceTag": device}
            for at, latitude, longitude in points]
    return read_bytes(GoogleLocation(), json.dumps({"locations": rows}).encode())


def test_the_real_files() -> None:
    """The phone's two visits and two paths, the one day of the old history, and five activities; nothing rejected."""
    files = (GOOGLE / "device_timeline_2024.json", TAKEOUT / "Location History" / "Location History.json",
             *sorted((TAKEOUT / "My Activity").glob("*/*.json")))
    found = [list(read(path)) for path in files]
    assert [len(records(items)) for items in found] == [4, 1, 1, 2, 2] and not any(map(rejects, found))
    visit, path = records(found[0])[:2]
    assert visit == Visit(
        service="google", place="ChIJd8BlQ2BZwokRAFUEcm_qrcA", start=datetime(2023, 10, 1, 8, tzinfo=UTC),
        end=datetime(2023, 10, 1, 9, tzinfo=UTC), latitude=40.712776, longitude=-74.005974, local="2023-10-01T08:00",
        offset=0, kind="work", probability=0.95)
    assert isinstance(path, Trip)
    assert (path.points, path.metres, path.local) == (5, 558.1, "2023-10-01T08:15")
    assert path.track.startswith("40.71278,-74.00597,0 40.71378,-74.00697,900 ")
    assert records(found[1]) == [Trip(
        service="google", reference="day:2015-07-18", start=datetime(2015, 7, 18, 23, 57, 26, 12_000, tzinfo=UTC),
        end=datetime(2015, 7, 18, 23, 58, 25, 529_000, tzinfo=UTC), metres=2.5, points=2,
        track="37.69553,-121.92873,0 37.69555,-121.92875,60", from_latitude=37.6955289, from_longitude=-121.9287261,
        to_latitude=37.6955454, to_longitude=-121.9287454)]
    searched = records(found[4])[1]
    assert isinstance(searched, Activity) and (searched.kind, searched.title, searched.product) == (
        "search", 'Searched for "myactivity" google export', "Search")


def test_a_history_is_told_by_days() -> None:
    """Points of a day are one trip, newest first or oldest first, and one for each device; old ones ran over."""
    morning, evening = ("2024-01-31T08:00:00Z", 450_000_000, 0), ("2024-01-31T18:00:00Z", 450_000_000, -10_000)
    next_day = ("2024-02-01T00:00:00Z", 450_000_000, 4_294_967_296 - 10_000)
    forth, back = records(history(morning, evening, next_day)), records(history(next_day, evening, morning))
    assert forth == back[::-1] and len(forth) == 2
    assert [(trip.points, trip.to_longitude) for trip in forth if isinstance(trip, Trip)] == [(2, -0.001), (1, -0.001)]
    assert records(history(morning, device=7))[0] != records(history(morning))[0]
    rest = records(history(morning))[0]
    assert isinstance(rest, Trip) and isinstance(forth[0], Trip) and identity_of(rest) == identity_of(forth[0])


def test_points_out_of_order_take_no_days_place() -> None:
    """Around midnight points are not in order, and a day that is over stays what it was: no trip of one point takes its
    place."""
    points = [(f"2024-01-31T23:59:{at:02}Z", 450_000_000 + at, 0) for at in range(20, 59, 2)]
    after = [("2024-02-01T00:00:01Z", 450_000_000, 5), ("2024-01-31T23:59:59Z", 460_000_000, 0),
             ("2024-02-01T00:00:03Z", 450_000_000, 5)]
    later = [("2024-02-02T08:00:00Z", 450_000_000, 5), ("2024-01-31T08:00:00Z", 0, 0), ("2024-01-31T09:00:00Z", 0, 0)]
    items = history(*points, *after, *later)
    found = [one for one in records(items) if isinstance(one, Trip)]
    assert [(one.reference, one.points, one.to_latitude) for one in found] == [
        ("day:2024-01-31", 21, 46.0), ("day:2024-02-01", 2, 45.0), ("day:2024-02-02", 1, 45.0)]
    assert [reason for _, reason in rejects(items)] == [
        "points of 2024-01-31 that come behind those of two other days are left out"]


def test_whoever_had_many_devices_loses_no_part_of_a_day() -> None:
    """A new one, and Google counts each as one after it was reset, ends the days of the one that is out of use for the
    longest time, and not the day that another is in the middle of."""
    rows = []
    for number in range(1, 31):
        for hour, device in ((8, 0), (9, number), (18, 0)):
            rows.append({"timestamp": f"2024-01-{number:02}T{hour:02}:00:00Z", "latitudeE7": 450_000_000,
                         "longitudeE7": device, "deviceTag": device})
    items = read_bytes(GoogleLocation(), json.dumps({"locations": rows}).encode())
    found = [one for one in records(items) if isinstance(one, Trip)]
    assert rejects(items) == [] and len(found) == 60 == len({one.reference for one in found})
    assert sorted(one.points for one in found) == [1] * 30 + [2] * 30


def test_a_day_with_too_many_points_keeps_an_even_part() -> None:
    """More points than are held of a day are counted, and its ends are those of what was held."""
    row = b'{"timestampMs":%d,"latitudeE7":1,"longitudeE7":1}'
    data = b'{"locations":[' + b",".join(row % (1_437_264_000_000 + at) for at in range(MAX_DAY + 10)) + b"]}"
    (trip,) = records(read_bytes(GoogleLocation(), data))
    assert isinstance(trip, Trip) and trip.points == MAX_DAY + 10 and trip.start is not None


def test_takeouts_old_timeline() -> None:
    """Visits with name and address, and ways with mode and distance; times as text or in milliseconds."""
    stay = {"placeVisit": {"location": {"latitudeE7": 457_640_000, "longitudeE7": 48_350_000, "placeId": "ChI", "name":
                                        "Part-Dieu", "address": "Lyon", "semanticType": "TYPE_WORK"},
                           "duration": {"startTimestampMs": "1706688000000", "endTimestampMs": 1706691600000}}}
    way = {"activitySegment": {"startLocation": {"latitudeE7": 457_640_000, "longitudeE7": 48_350_000},
                               "activityType": "IN_PASSENGER_VEHICLE", "distance": 1200, "duration": {
                                   "startTimestamp": "2024-01-31T09:00:00Z", "endTimestamp": "2024-01-31T09:10:00.5Z"}}}
    data = json.dumps({"timelineObjects": [stay, way, {"other": 1}]}).encode()
    items = read_bytes(GoogleLocation(), data)
    visit, trip = records(items)
    assert isinstance(visit, Visit) and isinstance(trip, Trip)
    assert (visit.name, visit.kind, visit.start) == ("Part-Dieu", "work", datetime(2024, 1, 31, 8, tzinfo=UTC))
    assert (trip.mode, trip.metres, trip.from_latitude, trip.to_latitude) == ("car", 1200.0, 45.764, None)
    assert rejects(items) == [(1, "it is neither a visit nor a way")]


def test_the_timelines_of_both_phones() -> None:
    """Android's and iOS's ways, visits and paths: other keys, numbers as text, the wall's clock where it is told."""
    way = {"startTime": "2024-07-31T08:00:00.000+02:00", "endTime": "2024-07-31T08:20:00+02:00", "activity": {
        "start": {"latLng": "45.1°, 4.2°"}, "end": "geo:45.3,4.4", "distanceMeters": "5000.5",
        "topCandidate": {"type": "cycling", "probability": "0.9"}}}
    stay = {"startTime": "2024-07-31T08:00:00Z", "visit": {"topCandidate": {
        "placeID": "ChI", "semanticType": "Inferred Home", "placeLocation": "geo:45.3,-4.4"}}}
    path = {"startTime": "2024-07-31T08:00:00Z", "timelinePath": [
        {"point": "geo:45.0,4.0", "durationMinutesOffsetFromStartTime": "0"},
        {"point": "geo:45.1,4.0", "durationMinutesOffsetFromStartTime": "30"}]}
    data = json.dumps([way, stay, path]).encode()
    assert GoogleLocation().recognise(data, "x")
    trip, visit, track = records(read_bytes(GoogleLocation(), data))
    assert isinstance(trip, Trip) and isinstance(visit, Visit) and isinstance(track, Trip)
    assert (trip.mode, trip.metres, trip.probability, trip.local, trip.offset, trip.to_longitude) == (
        "cycling", 5000.5, 0.9, "2024-07-31T08:00", 120, 4.4)
    assert (visit.place, visit.longitude, visit.local, visit.offset) == ("ChI", -4.4, "", None)
    assert (track.track, track.end) == (
        "45.00000,4.00000,0 45.10000,4.00000,1800", datetime(2024, 7, 31, 8, 30, tzinfo=UTC))
    assert records(timeline(way, stay, path, {"memory": {}}))[:2] == [trip, visit]


@pytest.mark.parametrize(("bad", "reason"), [
    ({"startTime": "soon", "visit": {"topCandidate": {"placeId": "x"}}}, "isoformat"),
    ({"startTime": "2024-01-31T08:00:00", "visit": {"topCandidate": {"placeId": "x"}}}, "no time zone"),
    ({"startTime": "0001-01-01T00:00:00+14:00", "visit": {"topCandidate": {"placeId": "x"}}}, "the year is not"),
    ({"startTime": "2024-01-31T08:00:00Z", "visit": {"topCandidate": {}}}, "does not say where"),
    ({"startTime": "2024-01-31T08:00:00Z", "timelinePath": [{"point": "91°, 0°"}]}, "not on the Earth"),
    ({"startTime": "2024-01-31T08:00:00Z", "timelinePath": [{"point": "here"}]}, "no latitude and longitude"),
    ({"startTime": "2024-01-31T08:00:00Z", "visit": 7}, "nothing that is read here"),
])
def test_a_broken_segment_costs_itself(bad: object, reason: str) -> None:
    """A segment that can't be is one reject at its line; those around it are read."""
    good = {"startTime": "2024-01-31T08:00:00Z", "visit": {"topCandidate": {"placeId": "a"}}}
    items = timeline(good, bad, good)
    ((line, told),) = rejects(items)
    assert len(records(items)) == 2 and line == 3 and reason in told


@pytest.mark.parametrize("bad", [("2024-01-31T08:00:00Z", 2_000_000_000, 0), ("2024-01-31T08:00:00", 0, 0),
                                 ("2024-01-31T08:00:00Z", 0, 10**17)])
def test_a_broken_point_costs_itself(bad: tuple[str, int, int]) -> None:
    """A point that is not on the Earth, or at no instant, is a reject; the day has the others."""
    items = history(("2024-01-31T08:00:00Z", 0, 0), bad)
    assert [trip.points for trip in records(items) if isinstance(trip, Trip)] == [1] and len(rejects(items)) == 1


def test_activities_that_are_none() -> None:
    """An activity without time, or outside of years, costs itself; a list without any is refused."""
    times = ("x", "2024-01-31T08:00:00", "0001-01-01T00:00:00Z")
    rows = [{"header": "h", "title": "Visited x", "time": at} for at in times]
    items = read_bytes(GoogleActivity(), json.dumps(rows).encode())
    assert records(items) == [] and len(rejects(items)) == 3
    for connector in (GoogleActivity(), GoogleLocation()):
        with pytest.raises(InvalidValue, match="holds no"):
            read_bytes(connector, b"[]")
