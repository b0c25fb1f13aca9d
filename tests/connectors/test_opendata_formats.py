"""GeoJSON, stations of shared bikes, and timetables: what cities publish."""

import io
import json
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Found, Item, Progress, Source, recognise
from chez.connectors.elements import MAX_VALUES
from chez.connectors.gbfs import Gbfs, StationStatus
from chez.connectors.geojson import GeoJson
from chez.connectors.gtfs import Gtfs, TransitDay, TransitRoute, TransitService, TransitStopTime, TransitTrip
from chez.errors import BadArchive, InvalidValue
from chez.vocabulary import Station
from tests.connectors.support import FEED, VELOV, feed, read_bytes, records, rejects
from tests.tries import tries


def features(*given: Any, **more: Any) -> bytes:
    """A feature collection."""
    return json.dumps({"type": "FeatureCollection", **more, "features": given}).encode()


def feature(geometry: Any = None, id: Any = None, **properties: Any) -> dict[str, Any]:
    """One feature."""
    return {"type": "Feature", "properties": properties, "geometry": geometry} | ({} if id is None else {"id": id})


def point(longitude: Any = 4.8, latitude: Any = 45.7) -> dict[str, Any]:
    """A point."""
    return {"type": "Point", "coordinates": [longitude, latitude]}


def named(name: str, data: bytes) -> list[Item]:
    """What the stations' connector says of a file of this name."""
    return list(Gbfs().read(io.BytesIO(data), Source(name, bytes(32), len(data))))


def test_all_stations_of_lyon_come_from_either_file() -> None:
    """The list of 2016 has 345 stations, their numbers out of their names; the GeoJSON of the same day has as many
    points, at the same places."""
    stations = records(named("Lyon.json", (VELOV / "Lyon.json").read_bytes()))
    points = records(read_bytes(GeoJson(), (VELOV / "lyon_velov.geojson").read_bytes()))
    assert len(stations) == len(points) == 345
    first = stations[0]
    assert isinstance(first, Station)
    assert (first.network, first.number, first.name, first.latitude) == ("lyon", "2010", "CONFLUENCE DARSE", 45.743317)
    places = {(one.latitude, one.longitude) for one in stations}  # type: ignore[attr-defined]
    assert places == {(one.latitude, one.longitude) for one in points}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("written", "at"), [
    ({"num_bikes_available": 3, "num_docks_available": 7, "is_renting": 1, "last_reported": 1640887163},
     datetime(2021, 12, 30, 17, 59, 23, tzinfo=UTC)),
    ({"num_vehicles_available": 3, "num_docks_available": 7, "is_renting": True,
      "last_reported": "2023-07-17T13:34:13+02:00"}, datetime(2023, 7, 17, 11, 34, 13, tzinfo=UTC)),
])
def test_what_is_free_is_read_in_each_version(written: dict[str, Any], at: datetime) -> None:
    """GBFS 2 and 3 tell the same of a station in their own words, and which network it is stands in the file's name."""
    data = json.dumps({"last_updated": 5, "data": {"stations": [{"station_id": "7", **written}]}}).encode()
    (one,) = records(named("velov_station_status.json", data))
    assert one == StationStatus(network="velov", number="7", vehicles=3, docks=7, open=True, at=at)


def test_stations_are_read_in_each_version_and_bad_ones_cost_themselves() -> None:
    """A name that is a list of translations, a place off the earth, no id, an id twice and a count that is none."""
    given = [{"station_id": "1", "name": [{"text": "Été", "language": "fr"}], "lat": 45.5, "lon": 4.5, "capacity": 9},
             {"station_id": "1"}, {"name": "x"}, {"station_id": "2", "lat": 95}, {"station_id": "3", "capacity": -1},
             {"station_id": "4", "name": 5}, 7, {"station_id": "5", "num_bikes_available": 1, "last_reported": 1e300}]
    items = named("station_information.json", json.dumps({"ttl": 1, "data": {"stations": given}}).encode())
    (one,) = records(items)
    assert one == Station(network="gbfs", number="1", kind="bike", name="Été", latitude=45.5, longitude=4.5, capacity=9)
    assert [line for line, _ in rejects(items)] == [2, 3, 4, 5, 6, 7, 8]
    for other in (b"{}", b"", b"nothing", b'{"data": {"bikes": []}}'):
        with pytest.raises(InvalidValue):
            named("x.json", other)


def test_features_keep_what_is_said_and_where() -> None:
    """A point gives its place, another geometry its text; nested properties are text; a named layer's ids identify."""
    line = {"type": "LineString", "coordinates": [[4.8, 45.7], [4.9, 45.8]]}
    data = features(feature(point(), 7, bois=True, n=3, tags=["a"]), feature(line, "b"), feature(None, 9), name="bancs")
    one, two, three = records(read_bytes(GeoJson(), data))
    assert (one.layer, one.feature, one.latitude, one.longitude) == ("bancs", "7", 45.7, 4.8)  # type: ignore[attr-defined]
    assert one.properties == {"bois": True, "n": 3, "tags": '["a"]'}  # type: ignore[attr-defined]
    assert (two.kind, json.loads(two.geometry)) == ("LineString", line)  # type: ignore[attr-defined]
    assert (three.kind, three.latitude) == ("", None)  # type: ignore[attr-defined]
    nameless = features(feature(point(), 7), feature(point(), 7), feature(point(1), 7))
    assert len({one.feature for one in records(read_bytes(GeoJson(), nameless))}) == 3  # type: ignore[attr-defined]


def test_hostile_json_is_bounded() -> None:
    """A feature that is none, off the earth, too wide, too long or too large costs itself; what is nested without end,
    cut off, no JSON, or no collection is told."""
    wide = {f"p{n}": n for n in range(500)}
    outline = {"type": "Polygon", "coordinates": [[[0, n] for n in range(10_000)]]}
    long = {"type": "X", "coordinates": [0] * (MAX_VALUES + 9)}
    bad = [5, feature(point(200)), feature(point(10**400)), feature(point("x")), feature({"type": "Point"}),
           {"type": "Feature", "properties": wide}, feature(outline), feature(long), feature(point(), a="x" * 9999),
           feature(point(), a="\0"), feature(point(), _source="x"), feature(point(), a=2**70)]
    items = read_bytes(GeoJson(), features(feature(point(), a=1), *bad[:-1], feature(point(), a=2)))
    assert len(records(items)) == 2 and [line for line, _ in rejects(items)] == list(range(2, 13))
    deep = b"[" * 100_000
    for data in (b'{"type":"FeatureCollection","a":' + deep, b'{"type":"FeatureCollection","features":[' + deep,
                 b"\xff", b"", b'{"features": 5}', b'{"type": "Feature"}'):
        with pytest.raises(InvalidValue):
            read_bytes(GeoJson(), data)
    for tail in (b"", b", {", b", nonsense", features(bad[-1])[45:]):
        half = read_bytes(GeoJson(), features(feature(point()))[:-2] + tail)
        assert len(records(half)) == 1
    assert isinstance(half[-1], Progress)


def test_a_timetable_is_read_whole() -> None:
    """Every table of a feed gives its records, in whatever folder of the zip, times after midnight and days as they
    are."""
    for folder in ("", "gtfs/2026/"):
        items = read_bytes(Gtfs(), feed(folder))
        assert rejects(items) == []
        stop, other, route, trip, time, untimed, service, day = records(items)
        assert (stop.network, stop.number, stop.name) == ("tcl", "S1", "Bellecour, place")  # type: ignore[attr-defined]
        assert isinstance(other, Station) and route == TransitRoute(
            feed="tcl", route="A", name="A", long_name="Perrache - Vaulx", kind=1)
        assert trip == TransitTrip(feed="tcl", trip="T1", route="A", service="week", headsign="Vaulx", direction=0)
        assert time == TransitStopTime(feed="tcl", trip="T1", sequence=1, stop="S1", arrives=92_100, departs=92_160)
        assert untimed.arrives is None  # type: ignore[attr-defined]
        assert service == TransitService(feed="tcl", service="week", begins=date(2026, 1, 1), ends=date(2026, 12, 31),
                                         days="1111100")
        assert day == TransitDay(feed="tcl", service="week", day=date(2026, 7, 14), goes=False)


def test_feeds_of_two_cities_are_two() -> None:
    """Many agencies are number 1: their name tells whose ids a feed's are; an id that is a word suffices."""
    head = "agency_id,agency_name,agency_url,agency_timezone\n"
    for agency, name in (("1,TCL", "tcl_1"), (",TCL", "tcl"), ("1,Tisséo", "tisseo_1"), ("tcl,Lyon", "tcl")):
        (stop, *_) = records(read_bytes(Gtfs(), feed(agency=f"{head}{agency},https://x,Europe/Paris\n")))
        assert stop.network == name  # type: ignore[attr-defined]


def test_progress_only_rises_whatever_the_order_in_the_zip() -> None:
    """Tables are read in an order of their own: what they have in the zip before them counts when it is read, and files
    that are not read don't."""
    rows = "".join(f"T{at},9:00:00,9:00:00,S1,{at}\n" for at in range(5000))
    for one in (feed(stop_times=FEED["stop_times.txt"] + rows), feed(agency=FEED["agency.txt"] + "x,y\n" * 9000)):
        done = [item.done for item in read_bytes(Gtfs(), one) if isinstance(item, Progress)]
        assert done == sorted(done) and done[0] < len(one) / 3 and done[-1] == len(one)


def test_a_feed_is_recognised_by_its_tables_and_bad_rows_cost_themselves(tmp_path: Any) -> None:
    """A zip with the tables that each feed has is one; a row with a wrong time, place, day or no id is a reject of its
    table and line; a zip without stop times, and what is no zip, are refused."""
    (tmp_path / "gtfs.zip").write_bytes(feed())
    assert recognise(tmp_path / "gtfs.zip").name == "gtfs"
    header = FEED["stop_times.txt"].splitlines()[0]
    rows = ["T1,9:00:00,9:61:00,S1,1", "T1,x,,S1,2", ",,,S1,3", "T1,,,S1,", "T1,9:00:00,9:00:00,S1,4,5",
            "T1,1:0:0,,S1,6",
            "T2,8:00:00,8:00:00,S1,7"]
    bent = feed(stop_times="\n".join([header, *rows]), stops="stop_id,stop_lat\nS1,95\nS2,\n",
                calendar_dates="service_id,date,exception_type\nw,20260230,1\nw,20260101,3\n")
    items = read_bytes(Gtfs(), bent)
    places = [(one.member, one.line) for one in items if not isinstance(one, Found | Progress)]
    assert places == [("stops.txt", 2), *(("stop_times.txt", line) for line in range(2, 8)), ("calendar_dates.txt", 2),
                      ("calendar_dates.txt", 3)]
    for other, error in ((b"no zip", BadArchive), (feed()[:300], BadArchive)):
        with pytest.raises(error):
            read_bytes(Gtfs(), other)
    assert not Gtfs().recognise_members(["stop_times.txt", "a/agency.txt", "a/routes.txt", "a/trips.txt"])


@pytest.mark.slow
def test_memory_is_that_of_one_feature() -> None:
    """A long array takes no more memory than a short one, beyond a small digest of each."""
    def peak(count: int) -> int:
        data = features(*(feature(point(), n=n, text="x" * 200) for n in range(count)))
        file = io.BytesIO(data)
        tracemalloc.start()
        try:
            assert sum(isinstance(one, Found) for one in GeoJson().read(file, Source("x", b"", len(data)))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(8000) < peak(500) + 8000 * 400


@pytest.mark.parametrize("kind", [GeoJson, Gtfs])
def test_what_is_refused_is_not_kept(kind: type[GeoJson] | type[Gtfs]) -> None:
    """A property's name, or a time, that is far too long is looked at and forgotten: each was kept to know it again."""
    long = [f"{number:05}" * 6000 for number in range(200)]
    if kind is GeoJson:
        data = features(*(feature(point(), **{text: 1}) for text in long))
    else:
        data = feed(stop_times=FEED["stop_times.txt"] + "".join(f"T,{text},,S1,1\n" for text in long))
    del long
    tracemalloc.start()
    try:
        assert len(rejects(read_bytes(kind(), data))) == 200
        assert tracemalloc.get_traced_memory()[1] < len(data) / 4
    finally:
        tracemalloc.stop()


SAID = st.sampled_from([None, True, 0, 5, -1, 2**70, 4.5, 1e300, "", " 05 - Quai ", "5", "\0", "_a", "\u2028",
                        "x" * 600, "\u00e9" * 1030, "x" * 5000, [], [{"text": "a"}], {"a": [1]}])
PLACES = st.sampled_from([None, point(), point(200), point("x"), {"type": "Point", "coordinates": [1, 2, 3.5, 4]},
                          {"type": "Point", "coordinates": [1]}, {"type": "Point", "coordinates": [True, 2]},
                          {"type": "Line", "coordinates": [[1, 2]]}, {"coordinates": [1, 2]}, 7])
STATIONS = st.dictionaries(st.sampled_from([
    "name", "address", "lat", "lon", "capacity", "number", "num_bikes_available", "num_vehicles_available",
    "num_docks_available", "is_renting", "last_reported", "latitude", "other"]), SAID, max_size=5)


def twice(before: str, given: Sequence[object], around: str) -> tuple[bytes, bytes]:
    """A file, and one in which each element has a key before its others which is given again: the last one counts."""
    plain = [json.dumps(one) for one in given]
    return ((around % ",".join(plain)).encode(),
            (around % ",".join(before + one[1:] for one in plain)).encode())


FEATURES = st.fixed_dictionaries({"geometry": PLACES, "type": st.sampled_from(["Feature", "x"])}, optional={
    "id": SAID, "properties": SAID | st.dictionaries(st.sampled_from(["a", "b", "_a", ""]), SAID, max_size=3)})


@given(st.lists(FEATURES, max_size=5), st.sampled_from(["", '"name": "n", ']))
@settings(max_examples=tries(150), deadline=None)
def test_a_feature_says_the_same_however_it_is_read(given: list[Any], name: str) -> None:
    """What is read by its type at once and what is looked at value by value is one feature, or one reject."""
    around = f'{{"type": "FeatureCollection", {name}"features": [%s]}}'
    first, second = (read_bytes(GeoJson(), data) for data in twice('{"type": 1, ', given, around))
    assert [one for one in first if not isinstance(one, Progress)] == [
        one for one in second if not isinstance(one, Progress)]


@given(st.lists(st.builds(lambda id, rest: {"station_id": id, **rest}, SAID, STATIONS), max_size=5))
@settings(max_examples=tries(150), deadline=None)
def test_a_station_says_the_same_however_it_is_read(given: list[Any]) -> None:
    """What is read by its type at once and what is looked at value by value is one station, or one reject."""
    first, second = (named("x.json", data) for data in twice('{"station_id": 1.5, ', given,
                                                             '{"ttl": 1, "data": {"stations": [%s]}}'))
    assert [one for one in first if not isinstance(one, Progress)] == [
        one for one in second if not isinstance(one, Progress)]
