"""The budget-categories example on an account's year and on OFX statements, against sums by SQL."""

import json
import math
import sqlite3
from datetime import date
from decimal import Decimal

import pytest

import chez
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime
from tests.jobs.examples import DATA, example, run_example, sample_folder

BANK = DATA / "bank-mesinfos" / "bank.json"

pytestmark = pytest.mark.timeout(900)
"""Each run starts processes, on machines that may have other work."""

SUMS = """
    select
        case
            when raw like 'VIR %' then 'transfers'
            when raw like '% RETRAIT DAB %' then 'cash'
            when raw like '% INTERMARCHE%' or raw like '% LIDL%' then 'groceries'
            when raw like '% SNCF %' then 'transport'
            when raw like '% MOBILE %' then 'phone'
            else 'other'
        end,
        -sum(cents) / 100.0
    from lines where cents < 0 and day like ? group by 1
"""


def independent(lines: list[dict[str, object]], month: str) -> dict[str, int]:
    """Euros by kind of one month, straight from the file, by SQL's own rules."""
    database = sqlite3.connect(":memory:")
    database.execute("create table lines (day, raw, cents)")
    values = [(line["date"], line["raw"], int(Decimal(str(line["amount"])) * 100)) for line in lines]
    database.executemany("insert into lines values (?, ?, ?)", values)
    kinds = dict.fromkeys(("transfers", "cash", "groceries", "transport", "phone", "other"), 0)
    found = {kind: 50 * round(euros / 50) for kind, euros in database.execute(SUMS, [f"{month}%"])}
    database.close()
    return kinds | found


async def test_each_month_is_that_of_an_independent_computation(runtime: Runtime, empty_home: chez.Home) -> None:
    """Three months of the account give, in the sandbox and in plain Python, the sums that SQL gives."""
    lines = [line for line in json.loads(BANK.read_text()) if line["docType"] == "BankOperation"]
    await empty_home.collection("transactions").put_many([
        {"account": "mesinfos", "reference": str(number), "posted": line["date"][:10], "amount": str(line["amount"]),
         "currency": "EUR", "kind": "debit" if line["amount"] < 0 else "credit", "name": line["raw"], "memo": ""}
        for number, line in enumerate(lines)
    ])  # fmt: skip
    bundle = example("budget-categories")
    for month in (9, 10, 11):
        _, told = await run_example(runtime, bundle, empty_home, date(2013, month + 1, 5))
        assert told == independent(lines, f"2013-{month:02d}")
    # By hand: 600 to others, 130 from machines, 151.78 of food, no train, two bills of 19.99, 179 of clothes.
    _, told = await run_example(runtime, bundle, empty_home, date(2013, 10, 31))
    assert told == {"transfers": 600, "cash": 150, "groceries": 150, "transport": 0, "phone": 50, "other": 200}
    assert (bundle.manifest.schema.count, bundle.manifest.schema.bits) == (41**6, math.log2(41**6 + 1))


@pytest.mark.slow
async def test_ofx_statements_are_sorted_by_name_and_memo(runtime: Runtime, empty_home: chez.Home) -> None:
    """Lines of imported statements are sorted likewise; other currencies, and a month without lines, give nothing."""
    for name in ("checking.ofx", "fidelity-savings.ofx", "suncorp.ofx"):
        await empty_home.import_file(DATA / "bank-ofx" / name)
    bundle = example("budget-categories", {'value = "EUR"': 'value = "USD"'})
    _, told = await run_example(runtime, bundle, empty_home, date(2012, 8, 1))
    # 1,500.00 by cheque, 197.11 and 197.12 of bills; what was transferred came in.
    assert told == {"transfers": 0, "cash": 0, "groceries": 0, "transport": 0, "phone": 0, "other": 1900}
    done, told = await run_example(runtime, bundle, empty_home, date(2014, 1, 1))
    assert told is None and done.run.code == "not-enough-data"


async def test_the_sample_is_a_whole_month(runtime: Runtime) -> None:
    """The made-up November gives an answer in every kind that it has."""
    with open_samples(sample_folder("budget-categories")) as november:
        _, told = await run_example(runtime, example("budget-categories"), november, date(2026, 12, 2))
    assert told is not None and all(told.values())
