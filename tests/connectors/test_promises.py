"""Banks, receipts and Green Button held to the promises on rows of their real files: overlap, and a bad row."""

import re
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest

from chez.connectors import find, kit
from chez.connectors.kit import Sample
from tests.connectors.support import CAISSE_EPARGNE, CAMT, GREEN_BUTTON, MESINFOS, MT940

ROWS = 12


def _of(path: Path, row: bytes, spoil: tuple[bytes, bytes], *, between: bytes = b"\n", head: bytes = b"",
        told: Callable[[bytes, int], bytes] = lambda row, at: row) -> Sample:
    """A sample of the first rows of a file, which an expression finds; `told` tells copies of one row apart."""
    data = path.read_bytes()
    found = list(re.finditer(row, data, re.DOTALL))
    rows = [told(one[0], at) for at, one in enumerate(islice(cycle(found), ROWS))]
    top, tail = head or data[:found[0].start()], data[found[-1].end():]

    def file(rows: list[bytes]) -> bytes:
        return top + between.join(rows) + tail

    damaged = [*rows[:5], rows[5].replace(*spoil), *rows[6:]]
    assert damaged != rows
    return Sample(file(rows), path.name, (file(rows[:8]), file(rows[4:])), file(damaged), 1,
                  lambda n: file(list(islice(cycle(rows), n))))


SAMPLES: dict[str, Callable[[], Sample]] = {
    "camt": lambda: _of(CAMT / "camt053.v3.xml", rb"<Ntry>.*</Ntry>", (b">8.85<", b">8,8,5<"),
                        told=lambda row, at: row.replace(b"EUR</AcctSvcrRef>", b"%d</AcctSvcrRef>" % at)),
    "mt940": lambda: _of(MT940 / "sepa_mt9401-betterplace.sta", rb"(?<=\n):61:[^\n]*\n:86:[^:]*?(?=\n:6)",
                         (b":61:", b":61:x")),
    "caisse-epargne": lambda: kit.table(CAISSE_EPARGNE.read_bytes() + b"\r\n", "lines.csv", head=1),
    "mesinfos": lambda: _of(MESINFOS[0], rb"\{[^{}]*BankOperation[^{}]*\}", (b'"amount": -', b'"amount": x'),
                            between=b",\n", head=b"["),
    "green-button": lambda: _of(GREEN_BUTTON, rb"<IntervalReading>.*?</IntervalReading>", (b"<value>", b"<value>x")),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_overlapping_exports_and_bad_rows(name: str) -> None:
    """Exports that overlap make the records of the whole, a bad row costs itself, and calls grow with the file only."""
    sample = SAMPLES[name]()
    for check in kit.CHECKS:
        check(find(name), sample)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mesinfos", "green-button"])
def test_memory(name: str) -> None:
    """Of a file of four times the rows no more is held; the memory of the others is in test_fuzz.py."""
    kit.memory_is_bounded(find(name), SAMPLES[name]())
