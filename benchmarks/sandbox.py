"""job.warm, job.rate, job.pool_memory and what hostile jobs cost: the sandbox seen from a home that lives on."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.job_once import KEY, TRIVIAL
from benchmarks.jobs import INTERPRETER, REPEATS, code_folder, interpreter
from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.host import Limits, Outcome, Runtime, Table

__all__ = ("benchmarks",)

SPARES: Final = 1
"""Workers that a home has waiting."""
STANDS: Final = 0.3
"""Seconds between two jobs of a person: the next worker stands by then."""
IDLE: Final = 3.0
"""Seconds after which a system may have taken back what nobody touched."""
IN_A_ROW: Final = 60
HOSTILE: Final = 50
LIMIT: Final = 128 << 20
"""Bytes of memory that a job may have by default."""

_LOOP = "def run(data, params):\n    while True: pass\n"
_BOMB = "def run(data, params):\n    held = []\n    while True: held.append(bytearray(1 << 20))\n"
_SORT = ("    data.query('select group_concat(a.n) as g from t a, t b, t c group by a.n order by g')\n")
_FILL = ("def run(data, params):\n    held = []\n    try:\n        while True: held.append(bytearray(1 << 20))\n"
         "    except MemoryError: pass\n")
ATTACKS: Final = (
    (_LOOP, Outcome.TIME),
    (_BOMB, Outcome.MEMORY),
    ("def run(data, params):\n    while True: print('x' * 1000)\n", Outcome.FUEL),
    ("def f(n):\n    return f(n + 1)\ndef run(data, params):\n    return f(0)\n", Outcome.STACK),
    ("def run(data, params):\n    return 'x' * 100_000\n", Outcome.REFUSED),
)


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((
            Figure(
                "job.warm", "ms", "less", "A trivial Python job from the call to its result, in a worker that waits "
                "for one and serves this run only; the next call comes when another one stands.", 15,
                {"python": INTERPRETER}),
            Figure(
                "job.warm_idle", "ms", "less", f"The same after {IDLE:.0f} seconds in which nothing was asked."),
        ), _warm),
        Benchmark((Figure(
            "job.rate", "runs/s", "more", f"{IN_A_ROW} trivial Python jobs one after the other, each in a worker of "
            "its own; starting them included.", 20),), _rate),
        Benchmark((Figure(
            "job.pool_memory", "MB", "less", f"What is kept for the next job: the zygote and {SPARES} waiting worker, "
            "pages that they share counted once.", 60),), _pool_memory),
        Benchmark((Figure(
            "job.hostile_lag", "ms", "less", f"How late the engine's event loop is, p99 of a task that asks for a "
            f"millisecond, while {HOSTILE} jobs loop, allocate, recurse, flood the log and answer too much.", 20,
            {"quiet": "the same task for two seconds before, without a job"}),),
            _hostile_lag),
        Benchmark((Figure(
            "job.loop_overrun", "ms", "less", "An endless loop that may take 0.5 s: from the call to its end, "
            "beyond these.", 50),), _loop_overrun),
        Benchmark((Figure(
            "job.bomb_rss", "MB", "less", "The most memory that a worker had, beyond the 134 MB its job may have, "
            "when it fills them and then asks SQL for more.", 100),), _bomb_rss),
        Benchmark((Figure(
            "job.first_compile", "s", "less", "Compiling the Python runtime to native code: once for each device and "
            "version.", 30),), _first_compile),
    )  # fmt: skip


@asynccontextmanager
async def _living(bench: Bench) -> AsyncIterator[Runtime]:
    """The sandbox of a home that lives on."""
    folder = await code_folder(bench)
    async with Runtime(folder, KEY, spares=SPARES) as runtime:
        await runtime.prepare()
        yield runtime


async def _trivial(runtime: Runtime) -> float:
    """Milliseconds of one trivial job."""
    began = time.perf_counter()
    result = await runtime.run_python(TRIVIAL, b"{}", (), Limits(), bytes(32), "2026-11-24")
    if result.value != b'{"answer":42}':
        raise BenchmarkFailed(f"the job ended with {result.outcome}: {result.log}")
    return (time.perf_counter() - began) * 1e3


async def _warm(bench: Bench) -> dict[str, Runs]:
    runs, idle, log = Runs(), Runs(), bench.work / "warm.log"
    async with _living(bench) as runtime:
        for run in range(bench.runs + 1):
            ours = [await _after(runtime, STANDS) for _ in range(REPEATS)]
            if run:  # the first round warms
                later = [await _after(runtime, IDLE) for _ in range(3)]
                runs.add(median(ours), python=await interpreter(log))
                idle.add(median(later))
    return {"job.warm": runs, "job.warm_idle": idle}


async def _after(runtime: Runtime, seconds: float) -> float:
    """Milliseconds of one trivial job after so long a time without any."""
    await asyncio.sleep(seconds)
    return await _trivial(runtime)


async def _rate(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    async with _living(bench) as runtime:
        await _trivial(runtime)
        for _ in range(bench.runs):
            began = time.perf_counter()
            for _ in range(IN_A_ROW):
                await _trivial(runtime)
            runs.add(IN_A_ROW / (time.perf_counter() - began))
    return {"job.rate": runs}


def _family() -> list[int]:
    """The processes that descend from this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family, found = {os.getpid()}, True
    while found:
        found = {child for child, parent in parents.items() if parent in family} - family
        family |= found
    return sorted(family - {os.getpid()})


def _proportional(process: int) -> float:
    """Megabytes of a process, shared pages divided among those that share them."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except PermissionError:
        raise BenchmarkFailed("the memory of a walled worker is told to root only") from None
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / 1e6


async def _pool_memory(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with _living(bench) as runtime:
            await _trivial(runtime)
            await asyncio.sleep(STANDS)
            runs.add(sum(map(_proportional, _family())))
    return {"job.pool_memory": runs}


async def _while(work: Awaitable[None], look: Callable[[], None], every: float) -> None:
    """Look again and again until the work is done."""
    async def looking() -> None:
        while True:
            await asyncio.sleep(every)
            look()

    task = asyncio.create_task(looking())
    try:
        await work
    finally:
        task.cancel()


async def _attack(runtime: Runtime, source: str, outcome: Outcome) -> None:
    limits = Limits(seconds=0.5, fuel=10**13, calls=5000)
    result = await runtime.run_python(source, b"{}", (), limits, bytes(32), "2026-11-24")
    if result.outcome not in (outcome, Outcome.TIME):
        raise BenchmarkFailed(f"a hostile job ended with {result.outcome}, not {outcome}: {result.log[-500:]}")


async def _p99_lag(work: Awaitable[None]) -> float:
    """Milliseconds by which a task that asks for one is late, p99 while the work goes on."""
    asked, late = 0.001, [time.perf_counter()]
    await _while(work, lambda: late.append(time.perf_counter()), asked)
    return quantiles([max(0.0, after - before - asked) * 1e3 for before, after in pairwise(late)], n=100)[98]


def _files(work: Path) -> set[str]:
    """The files where a job's could be left: the benchmark's folder and the system's for temporary ones."""
    places = (*work.rglob("*"), *Path(tempfile.gettempdir()).glob("chez*"))
    return {str(place) for place in places if place.is_file()}


def _descriptors() -> set[str]:
    """This process's open descriptors, with what each leads to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is gone by then
            found.add(f"{entry.name}: {entry.readlink()}")
    return found


async def _hostile_lag(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    await code_folder(bench)
    files, descriptors = _files(bench.work), _descriptors()
    async with _living(bench) as runtime:

        async def attack() -> None:
            attacks = (ATTACKS[number % len(ATTACKS)] for number in range(HOSTILE))
            await asyncio.gather(*(_attack(runtime, *one) for one in attacks))

        for _ in range(bench.runs):
            quiet = await _p99_lag(asyncio.sleep(2))
            runs.add(await _p99_lag(attack()), quiet=quiet)
    if left := _family():
        raise BenchmarkFailed(f"{len(left)} processes were left behind")
    if new := _files(bench.work) - files:
        raise BenchmarkFailed(f"files were left behind: {', '.join(sorted(new))}")
    if opened := _descriptors() - descriptors:
        raise BenchmarkFailed(f"descriptors were left open: {', '.join(sorted(opened))}")
    return {"job.hostile_lag": runs}


async def _loop_overrun(bench: Bench) -> dict[str, Runs]:
    runs, seconds = Runs(), 0.5
    async with _living(bench) as runtime:
        for _ in range(bench.runs):
            over = []
            for _ in range(REPEATS):
                await asyncio.sleep(STANDS)
                began = time.perf_counter()
                await _attack(runtime, _LOOP, Outcome.TIME)
                over.append((time.perf_counter() - began - seconds) * 1e3)
            runs.add(median(over))
    return {"job.loop_overrun": runs}


def _high_water() -> float:
    """The most memory of any living process below this one, in megabytes."""
    most = 0
    for process in _family():
        try:
            text = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        most = max([most, *(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))])
    return most * 1024 / 1e6


async def _bomb_rss(bench: Bench) -> dict[str, Runs]:
    runs, table = Runs(), Table("t", ("n",), tuple((n,) for n in range(200)))
    limits = Limits(fuel=10**13, memory=LIMIT, seconds=5.0, query_steps=10**9)
    async with Runtime(await code_folder(bench), KEY) as runtime:

        async def bomb() -> None:
            result = await runtime.run_python(_FILL + _SORT, b"{}", (table,), limits, bytes(32), "2026-11-24")
            if result.value is not None:
                raise BenchmarkFailed("the bomb got an answer")

        for _ in range(bench.runs):
            seen: list[float] = [0.0]
            await _while(bomb(), lambda seen=seen: seen.append(_high_water()), 0.005)  # type: ignore[misc]
            runs.add(max(seen) - LIMIT / 1e6)
    return {"job.bomb_rss": runs}


async def _first_compile(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    await code_folder(bench)
    artifact = bench.folder("artifact") / "python.wasm"  # beside which no code is
    shutil.copyfile(find_artifact(), artifact)
    for _ in range(bench.runs):
        async with Runtime(bench.folder("compiled"), KEY, artifact=artifact) as runtime:
            began = time.perf_counter()
            await runtime.prepare()
            runs.add(time.perf_counter() - began)
    return {"job.first_compile": runs}
