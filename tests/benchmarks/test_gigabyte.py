"""The export that import.gigabyte brings home."""

import io
import os

from benchmarks.gigabyte import statement
from benchmarks.memory import most, peak

from chez.connectors import Found, Source, find
from chez.vocabulary import Transaction


def test_the_statement_is_read_whole() -> None:
    """Each entry is a transaction of its own, and nothing is rejected."""
    text = "".join(statement(40_000)).encode()
    items = list(find("camt").read(io.BytesIO(text), Source("x", bytes(32), len(text))))
    found = [item.record for item in items if isinstance(item, Found)]
    booked = {record.reference for record in found if isinstance(record, Transaction)}
    assert len(text) >= 40_000 and len(booked) == text.count(b"<Ntry>") == len(found) - 1


def test_memory_is_asked_of_living_processes() -> None:
    """A process's own peak is among those told; one that is gone has none."""
    assert most(os.getpid())[os.getpid()] > 0 < peak() and most(2**22 - 1) == {}
