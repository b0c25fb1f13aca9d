"""cli.warm, job.cold, job.fresh, job.linky_year, job.sql_1m: what a person waits for, command and job."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from benchmarks.harness import ROOT, Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.imports import LINKY
from benchmarks.job_once import KEY, TRIVIAL
from benchmarks.processes import command, start
from benchmarks.store import PASSPHRASE
from chez.connectors import Found, read
from chez.records.types import collection_of, identity_of
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.execution import execute
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.provider.native import run_native
from chez_sandbox.provider.project import open_project
from chez_sandbox.provider.samples import open_samples
from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.host import Limits, Runtime, Table

__all__ = ("INTERPRETER", "REPEATS", "benchmarks", "code_folder", "interpreter")

ADVISOR: Final = ROOT / "examples" / "jobs" / "tariff-advisor"
TEMPO: Final = LINKY.with_name("tempo_days_2014.csv")
REPEATS: Final = 7
"""Commands or runs in one run of a figure, whose median it is."""
INTERPRETER: Final = "starting and ending a Python process that does nothing"


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "cli.warm", "ms", "less", "`chez get` of one record with an owner running: the whole process.",
            300, {"python": INTERPRETER}),), _warm),
        Benchmark((Figure(
            "job.cold", "ms", "less", "The first run of a trivial job in a new process, compiled code on "
            "disk but not in the system's cache: from importing the sandbox to the result.", 250,
            {"python": INTERPRETER}),), _cold),
        Benchmark((Figure(
            "job.fresh", "ms", "less", "A trivial job from the call to its result, in a worker process "
            "started for it and walled in; the parent has run one before.", 250,
            {"python": INTERPRETER}),), _fresh),
        Benchmark((Figure(
            "job.linky_year", "s", "less", "tariff-advisor on a year of half-hours and the Tempo calendar: "
            "granted rows to the worker process, the job, its result checked against the schema.", None,
            {"cpython": "the same source in plain CPython, a process of its own given the same rows"},
            {"cpython": 3}), ), _linky_year),
        Benchmark((Figure(
            "job.sql_1m", "s", "less", "One SQL aggregation by day over 1,000,000 granted rows of three fields: "
            "from the rows in memory to a started worker process, the job, its result.", None,
            {"bare": "copying the same rows into an in-memory SQLite of this process and asking the same"},
            {"bare": 2}), ), _sql_1m),
    )


async def _spawned(*arguments: str, log: Path) -> float:
    """Milliseconds of a whole process. Raises `BenchmarkFailed` when it fails."""
    began = time.perf_counter()
    async with start(*arguments, log=log) as process:
        code = await process.wait()
        taken = (time.perf_counter() - began) * 1e3
    if code:
        raise BenchmarkFailed(f"{arguments[:3]} ended with {code}: {log.read_text()[-2000:]}")
    return taken


async def interpreter(log: Path) -> float:
    """Milliseconds of a Python process that does nothing."""
    return median([await _spawned(sys.executable, "-c", "pass", log=log) for _ in range(REPEATS)])


async def _warm(bench: Bench) -> dict[str, Runs]:
    runs, folder = Runs(), bench.folder("warm")
    passphrase, log, chez = folder / "passphrase", folder / "log", command("chez")
    passphrase.write_text(PASSPHRASE + "\n")
    common = ("--home", str(folder / "home"), "--passphrase-file", str(passphrase))
    await _spawned(chez, *common, "init", "--words-file", str(folder / "words"), log=log)
    await _spawned(chez, *common, "put", "notes", '{"text": "hello"}', "--id", "one", log=log)
    await _spawned(chez, *common, "up", "--detach", log=log)
    try:
        for _ in range(bench.runs):
            ours = [await _spawned(chez, "--home", str(folder / "home"), "get", "notes", "one", log=log)
                    for _ in range(REPEATS)]
            runs.add(median(ours), python=await interpreter(log))
    finally:
        await _spawned(chez, "--home", str(folder / "home"), "lock", log=log)
    return {"cli.warm": runs}


async def code_folder(bench: Bench) -> Path:
    """Where components are compiled to; Python for the sandbox is built and compiled first."""
    await _spawned(sys.executable, str(ROOT / "bin" / "build-runtime"), log=bench.work / "build.log")
    folder = bench.cache / "code"
    folder.mkdir(exist_ok=True)
    return folder


@asynccontextmanager
async def _runtime(bench: Bench) -> AsyncIterator[Runtime]:
    """The sandbox, its Python built and compiled."""
    async with Runtime(await code_folder(bench), KEY) as runtime:
        await runtime.prepare()
        yield runtime


async def _cold(bench: Bench) -> dict[str, Runs]:
    runs, log = Runs(), bench.work / "cold.log"
    folder = await code_folder(bench)
    async with _runtime(bench):
        pass
    for _ in range(bench.runs):
        ours = []
        for _ in range(3):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.job_once", str(folder), str(find_artifact().parent), cwd=ROOT,
                stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            if process.returncode:
                raise BenchmarkFailed(f"the job's process ended with {process.returncode}")
            ours.append(float(out))
        runs.add(median(ours), python=await interpreter(log))
    return {"job.cold": runs}


async def _fresh(bench: Bench) -> dict[str, Runs]:
    runs, log = Runs(), bench.work / "fresh.log"
    async with _runtime(bench) as runtime:
        for run in range(bench.runs + 1):
            ours = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                result = await runtime.run_python(TRIVIAL, b"{}", (), Limits(), bytes(32), "2026-11-24")
                ours.append((time.perf_counter() - began) * 1e3)
                if result.value != b'{"answer":42}':
                    raise BenchmarkFailed(f"the job ended with {result.outcome}: {result.log}")
            if run:  # the first round warms
                runs.add(median(ours), python=await interpreter(log))
    return {"job.fresh": runs}


def _samples(folder: Path, files: Iterable[Path]) -> None:
    """Write what the files hold as the sample data that jobs are tried on."""
    lines: dict[str, list[bytes]] = {}
    for file in files:
        for item in read(file):
            if isinstance(item, Found):
                value = {"_id": "/".join(identity_of(item.record)), **msgspec.to_builtins(item.record)}
                lines.setdefault(collection_of(type(item.record)), []).append(msgspec.json.encode(value))
    folder.mkdir(exist_ok=True)
    for name, records in lines.items():
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(records) + b"\n")


async def _linky_year(bench: Bench) -> dict[str, Runs]:
    runs, today = Runs(), date(2023, 8, 3)
    project = open_project(ADVISOR, None)
    samples = bench.folder("samples")
    _samples(samples, (LINKY, TEMPO))
    with open_samples(samples) as home:
        tables = await granted_tables(home, project.manifest, today)
    if sum(len(table.rows) for table in tables) < 17_000:
        raise BenchmarkFailed("the job's scope does not cover the year")
    bundle = Bundle(project.manifest, project.kind, project.manifest_text, project.code, b"")
    source, parameters = project.code.decode(), project.manifest.parameters_json
    async with _runtime(bench) as runtime:
        for _ in range(bench.runs):
            began = time.perf_counter()
            ours = await execute(runtime, bundle, tables, bytes(32), today.isoformat())
            taken = time.perf_counter() - began
            began = time.perf_counter()
            native = await run_native(source, parameters, tables, bytes(32), today.isoformat())
            beside = time.perf_counter() - began
            if ours.admitted is None or native.value != ours.run.value:
                raise BenchmarkFailed(f"the results differ: {ours.problem} {ours.run.log} {native.trace}")
            runs.add(taken, cpython=beside)
    return {"job.linky_year": runs}


ROWS: Final = 1_000_000
DAILY: Final = ("select substr(local, 1, 10) as day, sum(watts) as w, count(*) as n from readings "
                "group by 1 order by w desc, day limit 10")


def _minutes() -> Table:
    """A million minutes, as a scope hands them over."""
    first = datetime(2024, 1, 1)
    rows = [(f"{first + timedelta(minutes=n):%Y-%m-%dT%H:%M}", 60, 200 + n % 977) for n in range(ROWS)]
    return Table("readings", ("local", "seconds", "watts"), rows)


def _bare(table: Table) -> list[tuple[object, ...]]:
    """The same rows, copied and asked without anything around."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute(f"create table readings ({', '.join(table.columns)})")
        database.execute("begin")
        database.executemany("insert into readings values (?, ?, ?)", table.rows)
        database.execute("commit")
        return database.execute(DAILY).fetchall()


async def _sql_1m(bench: Bench) -> dict[str, Runs]:
    runs, table = Runs(), _minutes()
    source = f"def run(data, params):\n    return data.query({DAILY!r})\n"
    async with _runtime(bench) as runtime:
        for run in range(bench.runs + 1):
            began = time.perf_counter()
            ours = await runtime.run_python(source, b"{}", (table,), Limits(), bytes(32), "2026-11-24")
            taken = time.perf_counter() - began
            began = time.perf_counter()
            bare = _bare(table)
            beside = time.perf_counter() - began
            if msgspec.json.decode(ours.value or b"[]") != [{"day": d, "w": w, "n": n} for d, w, n in bare]:
                raise BenchmarkFailed(f"the answers differ: {ours.outcome} {ours.log}")
            if run:  # the first round warms
                runs.add(taken, bare=beside)
    return {"job.sql_1m": runs}
