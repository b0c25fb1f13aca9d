"""The example job on the real load curve, against an independent computation."""

import csv
import math
from collections import defaultdict
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

import chez
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.runtime.host import Runtime
from tests.jobs.examples import DATA as EXAMPLES_DATA
from tests.jobs.examples import example, run_example

DATA = EXAMPLES_DATA / "energy-linky-fr"
PARIS = ZoneInfo("Europe/Paris")
DAY = date(2026, 11, 24)


def independent_costs() -> dict[str, Fraction]:
    """Exact euros of the file's year under each tariff, straight from the two CSV files."""
    tempo = {}
    for line in (DATA / "tempo_days_2014.csv").read_text().split():
        day, colour = line.split(";")
        tempo[datetime.strptime(day, "%d/%m/%Y").date()] = colour
    # Hundredths of a cent, as in the manifest's comment (EDF, 1 January 2023, 9 kVA).
    prices = {
        "BLEU": (862, 1272), "BLANC": (1112, 1653), "ROUGE": (1222, 5486),
    }  # fmt: skip
    cost: dict[str, Fraction] = defaultdict(Fraction)
    cost |= {
        "base": Fraction(12 * 1418, 100),
        "off_peak": Fraction(12 * 1526, 100),
        "tempo": Fraction(12 * 1482, 100),
    }
    with (DATA / "linky_courbe_de_charge_30min.csv").open(encoding="utf-8-sig") as file:
        for row in list(csv.reader(file, delimiter=";"))[3:]:
            begin = (datetime.fromisoformat(row[0]) - timedelta(minutes=30)).astimezone(PARIS)
            kwh = Fraction(int(row[1]), 2000)
            night = begin.hour >= 22 or begin.hour < 6
            tempo_day = begin.date() - timedelta(days=begin.hour < 6)
            cost["base"] += kwh * Fraction(1740, 10_000)
            cost["off_peak"] += kwh * Fraction(1470 if night else 1841, 10_000)
            cost["tempo"] += kwh * Fraction(prices[tempo[tempo_day]][0 if night else 1], 10_000)
    return dict(cost)


@pytest.mark.timeout(900)
@pytest.mark.slow
async def test_the_answer_is_that_of_an_independent_computation(runtime: Runtime, empty_home: chez.Home) -> None:
    """On the real year, sandbox, plain Python and exact arithmetic name the same tariff and saving."""
    for name in ("linky_courbe_de_charge_30min.csv", "tempo_days_2014.csv"):
        await empty_home.import_file(DATA / name)
    bundle = example("tariff-advisor")
    assert (bundle.manifest.schema.count, bundle.manifest.schema.bits) == (3 * 401, math.log2(3 * 401 + 1))
    tables = await granted_tables(empty_home, bundle.manifest, DAY)
    assert [len(table.rows) for table in tables] == [17_520, 3_259]

    cost = sorted((euros, name) for name, euros in independent_costs().items())
    expected = {"cheapest": cost[0][1], "saving": 5 * round((cost[1][0] - cost[0][0]) / 5)}
    _, told = await run_example(runtime, bundle, empty_home, DAY)
    assert told == expected


async def test_half_a_year_gives_no_answer(runtime: Runtime, home: chez.Home) -> None:
    """With too few days the job says so, and nothing may leave."""
    done, told = await run_example(runtime, example("tariff-advisor"), home, DAY)
    assert told is None and done.run.code == "not-enough-data"
