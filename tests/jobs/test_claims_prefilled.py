"""The claims-prefilled example on made-up contracts, claims and receipts, against a second computation in cents."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from chez.vocabulary import Claim, Contract, Receipt, ReceiptLine
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.host import Runtime
from tests.jobs.examples import example, run_example, sample_folder

pytestmark = pytest.mark.timeout(900)
"""Each run starts processes, on machines that may have other work."""

DAY = date(2026, 12, 3)
INSURER = "Mutuelle Exemple"
COVERS = {"PHARMACIE": "health", "OPTIQUE": "health", "DENTAIRE": "health", "REPARATION": "devices"}
KINDS = {"health": "health-insurance", "devices": "device-insurance"}


@dataclass(slots=True)
class Life:
    """What one person has."""

    contracts: list[Contract] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    receipt_lines: list[ReceiptLine] = field(default_factory=list)

    def insured(self, reference: str, key: str, *, provider: str = INSURER, start: date = date(2026, 1, 1),
                end: date | None = None, ceiling: int | None = None, excess: int | None = None) -> None:
        """One more contract; amounts in cents."""
        self.contracts.append(Contract(
            provider=provider, reference=reference, kind=KINDS[key], start=start, end=end, currency="EUR",
            ceiling=None if ceiling is None else euros(ceiling), excess=None if excess is None else euros(excess)))

    def bought(self, reference: str, day: int, *lines: tuple[str, int], month: int = 11, currency: str = "EUR") -> None:
        """One more receipt: sections and cents."""
        at = datetime(2026, month, day, 12, tzinfo=UTC)
        total = euros(sum(cents for _, cents in lines))
        self.receipts.append(Receipt(seller="Shop", reference=reference, at=at, total=total, currency=currency))
        self.receipt_lines += [
            ReceiptLine(seller="Shop", receipt=reference, number=number, at=at, section=section, price=euros(cents))
            for number, (section, cents) in enumerate(lines, 1)]

    def write(self, folder: Path) -> None:
        """As a folder of samples."""
        for name in self.__slots__:
            rows = [msgspec.json.encode(one) for one in getattr(self, name)]
            (folder / f"{name}.jsonl").write_bytes(b"".join(row + b"\n" for row in rows))


def euros(cents: int) -> Decimal:
    """Cents as euros."""
    return Decimal(cents).scaleb(-2)


def expected(life: Life) -> dict[str, int]:
    """The same answer, contract by contract, in cents and on the types of the vocabulary."""
    told = {"health": 0, "health_receipts": 0, "devices": 0, "devices_receipts": 0}
    filed = [one for one in life.claims if one.insurer == INSURER and one.status != "draft"]
    free = {one.reference for one in life.receipts if one.currency == "EUR" and one.at.month == 11}
    free -= {name.removeprefix("Shop/") for claim in filed for name in claim.receipts}
    for contract in sorted((one for one in life.contracts if one.provider == INSURER),
                           key=lambda one: (one.start or date.min, one.reference)):
        (key,) = (key for key, kind in KINDS.items() if kind == contract.kind)
        mine = [one for one in life.receipts if one.reference in free
                and (contract.start or date.min) <= one.at.date() <= (contract.end or date.max)
                and covered(life.receipt_lines, one.reference, key) > 0]
        free -= {one.reference for one in mine}
        cents = sum(min(covered(life.receipt_lines, one.reference, key), round(100 * one.total)) for one in mine)
        cents -= round(100 * (contract.excess or 0))
        if contract.ceiling is not None:
            used = [claim.paid if claim.paid is not None else claim.claimed for claim in filed
                    if claim.contract == contract.reference and claim.status != "refused"]
            cents = min(cents, round(100 * (contract.ceiling - sum(one or 0 for one in used))))
        if mine and cents > 0:
            told[key] += cents
            told[f"{key}_receipts"] += len(mine)
    return {key: min(12, value) if key.endswith("_receipts") else 10 * round(Decimal(min(100_000, value)) / 1000)
            for key, value in told.items()}


def covered(lines: Sequence[ReceiptLine], reference: str, key: str) -> int:
    """Cents of a receipt's lines that a kind of contract covers."""
    return sum(round(100 * (one.price or 0)) for one in lines if one.receipt == reference
               and COVERS.get(one.section) == key)


def random_life(lots: random.Random) -> Life:
    """A month of many receipts, some of them claimed, under contracts that begin, end and run dry."""
    life = Life()
    for number in range(4):
        life.insured(f"P{number}", lots.choice(["health", "devices"]), start=date(2026, lots.choice([1, 11]), 10),
                     end=lots.choice([None, date(2026, 11, 20)]), ceiling=lots.choice([None, 12_000]), excess=1500)
    for number in range(24):
        life.bought(str(number), lots.randint(2, 28), *(
            (lots.choice([*COVERS, "CREMERIE LS"]), lots.choice([-500, 1234, 4999, 12_900])) for _ in range(3)))
    for number in range(6):
        claimed = [f"Shop/{lots.randrange(24)}"]
        life.claims.append(Claim(insurer=INSURER, reference=str(number), contract=f"P{number % 4}", receipts=claimed,
                                 claimed=euros(3000), paid=lots.choice([None, euros(2500)]),
                                 status=lots.choice(["draft", "filed", "paid", "refused"])))
    return life


async def test_the_answer_is_that_of_a_second_computation(runtime: Runtime, tmp_path: Path) -> None:
    """Contracts that begin, end, run dry and have an excess, and receipts that were claimed, in two made-up lives."""
    bundle = example("claims-prefilled")
    for seed in (1, 2):
        life = random_life(random.Random(seed))
        life.write(tmp_path)
        with open_samples(tmp_path) as november:
            _, told = await run_example(runtime, bundle, november, DAY)
        assert told == expected(life)
    answers = 101**2 * 13**2
    assert (bundle.manifest.schema.count, bundle.manifest.schema.bits) == (answers, math.log2(answers + 1))


async def test_what_no_contract_covers_is_not_told(runtime: Runtime, tmp_path: Path) -> None:
    """By hand: other insurers, days, months and currencies, and what is below the excess, come to nothing."""
    life = Life()
    life.insured("theirs", "health", provider="Autre")
    life.insured("ours", "devices", start=date(2026, 11, 10), excess=3000)
    life.bought("a", 20, ("PHARMACIE", 5000))
    life.bought("b", 9, ("REPARATION", 5000))
    life.bought("c", 20, ("REPARATION", 5000), currency="CHF")
    life.bought("d", 20, ("REPARATION", 5000), month=10)
    life.bought("e", 20, ("REPARATION", 2999))
    life.write(tmp_path)
    bundle = example("claims-prefilled")
    with open_samples(tmp_path) as november:
        _, told = await run_example(runtime, bundle, november, DAY)
    assert told == {"health": 0, "health_receipts": 0, "devices": 0, "devices_receipts": 0}
    with open_samples(sample_folder("claims-prefilled")) as november:
        done, told = await run_example(runtime, bundle, november, DAY)
    # 22.60 of a basket of 42.50 and 149 for glasses, less 15; 129 for a phone that was insured by then, less 30.
    assert told == {"health": 160, "health_receipts": 2, "devices": 100, "devices_receipts": 1}
    assert "Pharmacie Terreaux/5540 falls under S-1" in done.run.log
