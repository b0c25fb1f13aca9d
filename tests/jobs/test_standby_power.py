"""The standby-power example on the real minutes, against an independent computation."""

import csv
import math
from datetime import date, datetime, timedelta
from fractions import Fraction
from statistics import median

import pytest

import chez
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime
from tests.jobs.examples import DATA, example, run_example, sample_folder

FILE = DATA / "energy-uci-sceaux" / "household_power_consumption_excerpt.txt"
pytestmark = pytest.mark.timeout(900)
"""Each run starts processes, on machines that may have other work."""

DAY = date(2026, 11, 24)


def independent() -> tuple[Fraction, Fraction]:
    """Exact watts of the nights' standby and of the whole, straight from the file."""
    watts: dict[datetime, Fraction] = {}
    with FILE.open() as file:
        for row in list(csv.reader(file, delimiter=";"))[1:]:
            if row[2] != "?":
                watts[datetime.strptime(f"{row[0]} {row[1]}", "%d/%m/%Y %H:%M:%S")] = Fraction(row[2]) * 1000
    nights = []
    for day in {minute.date() for minute in watts}:
        minutes = [datetime(day.year, day.month, day.day) + timedelta(minutes=n) for n in range(360)]
        halves = [minutes[n:n + 30] for n in range(331)]
        whole = [sum((watts[minute] for minute in half), Fraction()) / 30 for half in halves if set(half) <= set(watts)]
        nights += [min(whole)] if whole else []
    assert len(nights) == 5
    return median(nights), sum(watts.values(), Fraction()) / len(watts)


@pytest.mark.slow
async def test_the_answer_is_that_of_an_independent_computation(runtime: Runtime, empty_home: chez.Home) -> None:
    """On the real minutes, sandbox, plain Python and exact arithmetic give the same standby and share."""
    await empty_home.import_file(FILE)
    # The month is read once it is whole: a first reading of January says that December is.
    await empty_home.collection("readings").put(
        {"flow": "consumption", "local": "2007-01-01T00:00", "seconds": 60, "watts": 900})  # fmt: skip
    bundle = example("standby-power")
    done, told = await run_example(runtime, bundle, empty_home, DAY)
    standby, mean = independent()
    assert f"{float(standby):.1f} of {float(mean):.1f}" in done.run.log
    assert told == {"kwh": 5 * round(standby * 31 * 24 / 1000 / 5), "share": 5 * round(100 * standby / mean / 5)}
    assert (bundle.manifest.schema.count, bundle.manifest.schema.bits) == (151 * 21, math.log2(3172))


async def test_the_sample_is_a_whole_month_and_half_of_it_is_none(runtime: Runtime) -> None:
    """Half-hours do as well as minutes; while the month is not over there are too few nights for an answer."""
    bundle = example("standby-power")
    with open_samples(sample_folder("standby-power")) as november:
        early, told = await run_example(runtime, bundle, november, DAY)
        assert told is None and early.run.code == "not-enough-data"
        _, told = await run_example(runtime, bundle, november, date(2026, 12, 2))
        assert told == {"kwh": 110, "share": 35}
