"""How many of a month's car trips a shared bike could have made: short, and from near one station to near another.

The stations are open data that the device holds already, so that nobody is asked about a place.
Metres between two points are those of a great circle; stations that lie further off to the
north or south alone are left out first.
"""

import math

EARTH = 6_371_008.8    # mean radius in metres


def run(data, params):
    """Trips that a bike could have made, and the kilograms of CO2 that the car gave off on them."""
    stations = [(row["latitude"], row["longitude"]) for row in data.rows("open_velov_stations")
                if row["latitude"] is not None and row["longitude"] is not None]
    count = trips = metres = 0
    for row in data.rows("trips"):
        count += 1
        if row["metres"] is None or row["metres"] > params["most_metres"]:
            continue
        ends = (row["from_latitude"], row["from_longitude"]), (row["to_latitude"], row["to_longitude"])
        if all(None not in end and near(end, stations, params["walk_metres"]) for end in ends):
            trips += 1
            metres += row["metres"]
    if not stations or not count:
        data.fail("not-enough-data", f"{count} trips by car in the month, {len(stations)} stations")
    data.log(trips, "of", count, "trips,", round(metres), "metres;", len(stations), "stations")
    return {"trips": min(60, trips), "kilograms": min(60, metres * params["grams_per_kilometre"] / 1e6)}


def near(place, stations, most):
    """Whether a station is at most so many metres from a place."""
    latitude, longitude = map(math.radians, place)
    band = most / EARTH * 1.0001
    for north, east in stations:
        north = math.radians(north)
        if abs(north - latitude) > band:
            continue
        half = math.sin((north - latitude) / 2) ** 2 + math.cos(latitude) * math.cos(north) * math.sin(
            (math.radians(east) - longitude) / 2) ** 2
        if 2 * EARTH * math.asin(math.sqrt(min(1, half))) <= most:
            return True
    return False
