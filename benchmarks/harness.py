"""Figures, their runs and their results.

A *figure* is one number with a unit, an id and the peers or limits it stands beside. A
*benchmark* measures one or more figures in one go. Every figure is the median of at
least three runs (of one that takes very long, and was asked for as such, of one), and
every ratio is this figure over the peer's, both medians of the same session on the same
machine: below 1 is better for times, above 1 for rates.
"""

import asyncio
import importlib.metadata
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

__all__ = (
    "ROOT", "Bench", "Benchmark", "BenchmarkFailed", "Figure", "Result", "Results", "Runs", "machine",
    "measure", "select", "versions", "write",
)

ROOT: Final = Path(__file__).resolve().parent.parent
LEAST_RUNS: Final = 3
MOST_SECONDS: Final = 300.0
"""No figure takes longer; a benchmark that does has failed."""


class BenchmarkFailed(Exception):
    """A benchmark could not be measured; says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `goal` is what the project wants to reach, in `unit`, if it said so.

    `peers` tells for each peer's id what it is and under which conditions it runs; `times`,
    for some of them, how many times the peer's value ours may be at most (or, where more is better, at least).
    """

    id: str
    unit: str
    better: Literal["less", "more"]
    what: str
    goal: float | None = None
    peers: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runs:
    """What was measured for one figure: a value for each run, and the same for each peer."""

    values: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)

    def add(self, value: float, **peers: float) -> None:
        """One more run; peers' values of the same run."""
        self.values.append(value)
        for name, peer in peers.items():
            self.peers.setdefault(name, []).append(peer)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a benchmark gets: where to work, and how much.

    `cache` is kept between sessions (fixtures, installed peers); `work` is an empty
    folder on the same disk, removed afterwards. `installed_peers` says whether peers
    that need an installation may be used.
    """

    cache: Path
    work: Path
    runs: int = LEAST_RUNS
    installed_peers: bool = True

    def folder(self, name: str) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Measures its figures: `measure` returns the runs of each, by id.

    One that is measured `once` has one run, however long it takes: it was asked for as such.
    """

    figures: tuple[Figure, ...]
    measure: Callable[[Bench], Awaitable[dict[str, Runs]]]
    once: bool = False


class Result(msgspec.Struct, frozen=True):
    """One figure as it is written: the median, its unit, every run, ratios to the peers, and their runs."""

    value: float
    unit: str
    runs: list[float]
    ratio: dict[str, float]
    peers: dict[str, list[float]] = {}


class Results(msgspec.Struct):
    """All of one session."""

    machine: dict[str, Any]
    versions: dict[str, str]
    figures: dict[str, Result]


def select(
    benchmarks: Iterable[Benchmark], ids: Collection[str]
) -> list[tuple[Benchmark, tuple[Figure, ...]]]:
    """The benchmarks that measure these figures (all, without ids), with the figures asked for.

    An id may be the beginning of several, up to a dot. Raises `BenchmarkFailed` for one that
    no benchmark has.
    """
    benchmarks = tuple(benchmarks)
    known = {figure.id for benchmark in benchmarks for figure in benchmark.figures}
    asked = {id: {one for one in known if one == id or one.startswith(f"{id}.")} for id in ids}
    if unknown := sorted(id for id, found in asked.items() if not found):
        raise BenchmarkFailed(f"no such figure: {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    wanted = set().union(*asked.values()) if ids else known
    chosen = [(b, tuple(f for f in b.figures if f.id in wanted)) for b in benchmarks]
    return [(benchmark, figures) for benchmark, figures in chosen if figures]


def measure(benchmark: Benchmark, figures: tuple[Figure, ...], bench: Bench) -> dict[str, Result]:
    """Run one benchmark. Raises `BenchmarkFailed` when it fails or takes too long."""
    async def within() -> dict[str, Runs]:
        async with asyncio.timeout(None if benchmark.once else MOST_SECONDS):
            return await benchmark.measure(bench)

    try:
        found = asyncio.run(within())
    except TimeoutError:
        raise BenchmarkFailed(f"took longer than {MOST_SECONDS:.0f} s") from None
    least = 1 if benchmark.once else bench.runs
    return {figure.id: _result(figure, found.get(figure.id, Runs()), least) for figure in figures}


def _result(figure: Figure, runs: Runs, least: int) -> Result:
    if len(runs.values) < least:
        raise BenchmarkFailed(f"{figure.id} has {len(runs.values)} runs, at least {least} are needed")
    value = statistics.median(runs.values)
    medians = {name: statistics.median(values) for name, values in runs.peers.items() if values}
    return Result(value, figure.unit, runs.values, {n: value / m for n, m in medians.items() if m}, runs.peers)


@contextmanager
def workplace(cache: Path, runs: int, installed_peers: bool) -> Iterator[Bench]:
    """A `Bench` whose work folder lies beside the cache: on a disk, where fsync costs what it costs."""
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=cache))
    try:
        yield Bench(cache, work, runs, installed_peers)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write(path: Path, results: Results) -> None:
    """Replace the file of results: at any instant it is whole."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    part = path.with_name(path.name + ".part")
    part.write_bytes(text + b"\n")
    part.replace(path)


def added_to(path: Path, results: Results) -> dict[str, Result]:
    """The figures of a file of results, to which these are added. Raises `BenchmarkFailed` where they are of others."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.DecodeError as error:
        raise BenchmarkFailed(f"{path} holds no results: {error}") from None
    if found.versions != results.versions or _lasting(found.machine) != _lasting(results.machine):
        raise BenchmarkFailed(f"{path} is of another machine, or of other versions: measure all anew, without --add")
    return found.figures


def _lasting(machine: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in machine.items() if name != "fdatasync_us"}


def machine(folder: Path) -> dict[str, Any]:
    """What the figures were measured on; nothing that names the machine."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "fdatasync_us": round(_fdatasync(folder) * 1e6),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _fdatasync(folder: Path) -> float:
    """Median seconds of one durable write of 4 KiB: what every commit pays at least."""
    with tempfile.TemporaryFile(dir=folder) as file:
        taken = []
        for _ in range(64):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def versions() -> dict[str, str]:
    """Versions of Python, of Chez and of what it stands on."""
    found = {"python": platform.python_version()}
    for name in ("chez", "automerge", "sqlcipher3", "pynacl", "websockets", "msgspec", "zstandard",
                 "wasmtime"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def say(text: str) -> None:
    """A line about what is happening, beside the table."""
    print(text, file=sys.stderr, flush=True)
