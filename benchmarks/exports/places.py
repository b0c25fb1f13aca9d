"""Ways, places and timetables."""

import zipfile
from io import BytesIO
from typing import Final

from benchmarks.exports.case import DATA, Case

__all__ = ("CASES",)


# --- gpx ----------------------------------------------------------------------------------------

_TRACKS: Final = 100
_POINTS: Final = 104
"""Points of the real track."""


def _gpx() -> bytes:
    text = (DATA / "mobility-gpx" / "around-visnjan-with-car.gpx").read_text(encoding="utf-8")
    begin, end = text.index("<trk>"), text.index("</gpx>")
    return (text[:begin] + "".join(text[begin:end].replace("2020", f"{2000 + at}") for at in range(_TRACKS))
            + text[end:]).encode()


def _bare_gpx(data: bytes) -> int:
    import gpxpy

    return len([(track.name, track.length_2d(), track.get_time_bounds().start_time,
                 [(point.latitude, point.longitude, point.time) for part in track.segments for point in part.points])
                for track in gpxpy.parse(data.decode()).tracks])


# --- google-location ----------------------------------------------------------------------------

_DAYS: Final = 50
_FIXES: Final = 1_000


def _google_location() -> bytes:
    points = (f'{{"timestampMs": "{1_437_264_000_000 + day * 86_400_000 + at * 60_000}", '
              f'"latitudeE7": {376_955_289 + at}, "longitudeE7": -1219287261, "accuracy": 45}}'
              for day in range(_DAYS) for at in range(_FIXES))
    return ('{"locations": [' + ",\n".join(points) + "]}").encode()


def _bare_google_location(data: bytes) -> int:
    from datetime import UTC, datetime
    from itertools import pairwise

    import ijson

    from chez.vocabulary.track import Point, distance

    days: dict[int, list[tuple[int, Point]]] = {}
    for one in ijson.items(BytesIO(data), "locations.item"):
        ms = int(one["timestampMs"])
        days.setdefault(ms // 86_400_000, []).append(
            (ms, Point(one["latitudeE7"] / 1e7, one["longitudeE7"] / 1e7, datetime.fromtimestamp(ms / 1000, UTC))))
    return len([sum(distance(one, other) for (_, one), (_, other) in pairwise(sorted(day, key=lambda point: point[0])))
                for day in days.values()])


# --- geojson ------------------------------------------------------------------------------------

_FEATURES: Final = 10_000


def _geojson() -> bytes:
    features = ",\n".join(
        f'{{"type": "Feature", "id": {at}, "properties": {{"name": "bench {at}", "wood": true, "places": {at % 5}, '
        f'"street": "rue du banc"}}, "geometry": {{"type": "Point", "coordinates": [{4 + at / 1e5:.5f}, 45.75]}}}}'
        for at in range(_FEATURES))
    return f'{{"type": "FeatureCollection", "name": "benches", "features": [\n{features}\n]}}'.encode()


def _bare_geojson(data: bytes) -> int:
    import ijson

    return len([(one["id"], one["properties"], one["geometry"]["type"], *one["geometry"]["coordinates"])
                for one in ijson.items(BytesIO(data), "features.item", use_float=True)])


# --- gbfs ---------------------------------------------------------------------------------------

_BIKE_STATIONS: Final = 10_000


def _gbfs() -> bytes:
    stations = ",".join(f'{{"station_id": "{at}", "name": "{at:05} - PLACE {at}", "address": "rue de la roue {at}", '
                        f'"lat": 45.75, "lon": {4 + at / 1e5:.5f}, "capacity": 20}}' for at in range(_BIKE_STATIONS))
    return f'{{"last_updated": 1640887163, "ttl": 60, "version": "2.3", "data": {{"stations": [{stations}]}}}}'.encode()


def _bare_gbfs(data: bytes) -> int:
    import ijson

    return len([(one["station_id"], one["name"], one["address"], one["lat"], one["lon"], one["capacity"])
                for one in ijson.items(BytesIO(data), "data.stations.item", use_float=True)])


# --- gtfs ---------------------------------------------------------------------------------------

_STOP_TIMES: Final = 20_000
_FEED: Final = {
    "agency.txt": "agency_id,agency_name\nTCL,Transports\n",
    "routes.txt": "route_id,route_short_name,route_long_name,route_type\n",
    "trips.txt": "route_id,service_id,trip_id,trip_headsign,direction_id\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n" + "".join(
        f"T{at // 20},{6 + at % 20:02}:{at % 60:02}:00,{6 + at % 20:02}:{at % 60:02}:30,S{at % 500},{at % 20}\n"
        for at in range(_STOP_TIMES)),
}


def _gtfs() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in _FEED.items():
            made.writestr(name, text)
    return out.getvalue()


def _bare_gtfs(data: bytes) -> int:
    import csv
    from io import TextIOWrapper

    def seconds(text: str) -> int:
        hours, minutes, rest = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(rest)

    with zipfile.ZipFile(BytesIO(data)) as feed, feed.open("stop_times.txt") as file:
        return len([(row["trip_id"], int(row["stop_sequence"]), row["stop_id"], seconds(row["arrival_time"]),
                     seconds(row["departure_time"])) for row in csv.DictReader(TextIOWrapper(file, "utf-8"))])


CASES: Final = (
    Case("gpx", f"{_TRACKS} tracks with {_POINTS} points each, where a row is a track", "`gpxpy` reading the file "
         "whole, length and times of each track and all its points taken", _gpx, _TRACKS, _bare_gpx),
    Case("google-location", f"{_DAYS} days with {_FIXES:,} points each of a location history, where a row is a day",
         "`ijson.items` (yajl, in C), time and place of each point kept, length of each day by Chez", _google_location,
         _DAYS, _bare_google_location),
    Case("geojson", f"{_FEATURES:,} points of a feature collection", "`ijson.items` (yajl, in C), id, properties and "
         "coordinates taken", _geojson, _FEATURES, _bare_geojson),
    Case("gbfs", f"{_BIKE_STATIONS:,} stations of shared bikes", "`ijson.items` (yajl, in C), six fields taken", _gbfs,
         _BIKE_STATIONS, _bare_gbfs),
    Case("gtfs", f"{_STOP_TIMES:,} stop times of a timetable, in its zip", "the standard library's `zipfile` and "
         "`csv.DictReader`, five fields taken, times and order converted", _gtfs, _STOP_TIMES, _bare_gtfs),
)
