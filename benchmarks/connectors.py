"""connector.<name>: rows that a connector reads in a second, beside the bare library that it stands on.

The bare side reads the same bytes into Python values with the library alone and takes the same
fields, unchecked: no identity, no bounds, no rejects, no typed record.
"""

import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Final

from benchmarks.exports import energy, money, personal, places
from benchmarks.exports.case import Case
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from chez.connectors import Connector, Found, Source, find
from chez.errors import ChezError

__all__ = ("CASES", "benchmarks")

CASES: Final = (*money.CASES, *energy.CASES, *personal.CASES, *places.CASES)
"""One for each connector that comes with Chez, and one for a mapping."""

LEAST_SECONDS: Final = 0.5
"""A file is read again and again until then: what is read once may have the collector look at all there is, or not,
and 10,000 rows take as long as that."""


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return tuple(Benchmark((_figure(case),), _measuring(case)) for case in CASES)


def _figure(case: Case) -> Figure:
    return Figure(f"connector.{case.name}", "rows/s", "more", f"{case.what}: bytes into checked, typed records.",
                  peers={"bare": case.peer}, times={} if case.share is None else {"bare": case.share})


def _measuring(case: Case) -> Callable[[Bench], Awaitable[dict[str, Runs]]]:
    async def measure(bench: Bench) -> dict[str, Runs]:
        data, runs = case.make(), Runs()
        connector = find(case.name) if case.connector is None else case.connector()
        for _ in range(bench.runs):
            ours = _rate(case, lambda case, data: _read(case, connector, data), data)
            theirs = _rate(case, lambda _, data: case.bare(data), data)
            runs.add(ours, bare=theirs)
        return {f"connector.{case.name}": runs}

    return measure


def _read(case: Case, connector: Connector, data: bytes) -> int:
    """Rows that the connector finds; each file has a few records beside them, such as the account."""
    try:
        items = connector.read(BytesIO(data), Source(f"{case.name}.json", bytes(32), len(data)))
        return min(case.rows, sum(isinstance(item, Found) for item in items))
    except ChezError as error:
        raise BenchmarkFailed(f"{case.name}: {error}") from error


def _rate(case: Case, read: Callable[[Case, bytes], int], data: bytes) -> float:
    count, began, seconds = 0, time.perf_counter(), 0.0
    while seconds < LEAST_SECONDS:
        if (rows := read(case, data)) != case.rows:
            raise BenchmarkFailed(f"{case.name}: {rows} rows instead of {case.rows}")
        count, seconds = count + 1, time.perf_counter() - began
    return count * case.rows / seconds
