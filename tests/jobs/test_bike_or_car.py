"""The bike-or-car example on the real stations of Lyon as open data, against another way to measure."""

import json
import math
import random
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chez.opendata.loading import load
from chez.vocabulary import Trip
from chez.vocabulary.track import Point, distance
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime
from tests.jobs.examples import DATA, example, run_example, sample_folder
from tests.opendata.support import about

pytestmark = pytest.mark.timeout(900)
"""Each run starts processes, on machines that may have other work."""

DAY = date(2026, 12, 3)


def stations() -> list[dict[str, Any]]:
    """The rows that a city publishes when it gives the list of stations as its dataset `velov`."""
    content = load(DATA / "mobility-velov" / "Lyon.json", about(identity=())).content
    assert content.tables == ("open_velov_stations",)
    return [json.loads(row.json) for row in content]


def trip(number: int, begin: tuple[float, float], end: tuple[float, float], **said: Any) -> dict[str, Any]:
    """A trip by car in November, a fifth longer than the beeline."""
    metres = 1.2 * distance(Point(*begin), Point(*end))
    made: dict[str, Any] = msgspec.to_builtins(msgspec.convert({
        "service": "test", "reference": str(number), "start": "2026-11-17T08:00:00Z", "mode": "car", "metres": metres,
        "from_latitude": begin[0], "from_longitude": begin[1], "to_latitude": end[0], "to_longitude": end[1],
        **said}, Trip))
    return made


def write(folder: Path, **tables: list[dict[str, Any]]) -> None:
    """A folder of samples."""
    for name, rows in tables.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


async def test_the_answer_is_that_of_another_measure(runtime: Runtime, tmp_path: Path) -> None:
    """Of made-up trips over Lyon those count that every pair of their ends and all stations says; others never."""
    lots, known = random.Random(5), stations()
    places = [(lots.uniform(45.70, 45.80), lots.uniform(4.78, 4.92)) for _ in range(160)]
    trips = [trip(number, *pair) for number, pair in enumerate(zip(places[::2], places[1::2], strict=True))]
    fitting, metres = 0, 0.0
    for one in trips:
        ends = [(one["from_latitude"], one["from_longitude"]), (one["to_latitude"], one["to_longitude"])]
        near = [min(distance(Point(*end), Point(row["latitude"], row["longitude"])) for row in known) for end in ends]
        if max(near) <= 400 and one["metres"] <= 5000:
            fitting, metres = fitting + 1, metres + one["metres"]
    assert 4 < fitting < 40
    first = trips[0] | {"metres": 1000.0}
    by_foot = first | {"mode": "walking"}
    earlier = first | {"start": "2026-10-31T22:59:59Z"}
    unknown = first | {"from_latitude": None}
    write(tmp_path, trips=[*trips, by_foot, earlier, unknown], open_velov_stations=known)
    bundle = example("bike-or-car")
    with open_samples(tmp_path) as lyon:
        done, told = await run_example(runtime, bundle, lyon, DAY)
    assert f"{fitting} of 81 trips, {round(metres)} metres; 345 stations" in done.run.log
    assert told == {"trips": 2 * round(fitting / 2), "kilograms": 2 * round(metres / 5000 / 2)}
    assert (bundle.manifest.schema.count, bundle.manifest.schema.bits) == (31 * 31, math.log2(31 * 31 + 1))


async def test_both_bounds_hold_at_their_edge(runtime: Runtime, tmp_path: Path) -> None:
    """5,000 m of way from 399.9 m beside a station count, 5,000.1 m or 400.1 m do not; the sample gives an answer."""
    degree = math.radians(1) * 6_371_008.8
    ends = [(45.75 + walk / degree, 4.85) for walk in (399.9, 400.1)]
    trips = [trip(number, end, (45.75, 4.87), metres=metres)
             for number, (end, metres) in enumerate(product(ends, (5000.0, 5000.1)))]
    write(tmp_path, trips=trips * 7, open_velov_stations=[
        {"latitude": 45.75, "longitude": 4.85}, {"latitude": 45.75, "longitude": 4.87}, {"latitude": None}])
    bundle = example("bike-or-car")
    with open_samples(tmp_path) as made:
        done, told = await run_example(runtime, bundle, made, DAY)
    assert "7 of 28 trips, 35000 metres; 2 stations" in done.run.log
    assert told == {"trips": 8, "kilograms": 8}
    with open_samples(sample_folder("bike-or-car")) as november:
        _, told = await run_example(runtime, bundle, november, DAY)
        assert told == {"trips": 8, "kilograms": 6}
