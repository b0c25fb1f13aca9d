"""query.indexed, query.fulltext, open.first_query, scan.rss: reading from 100,000 records.

The home is made once and kept in the cache, until what it is made by changes.
"""

import asyncio
import hashlib
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import chez
from benchmarks.harness import ROOT, Bench, Benchmark, BenchmarkFailed, Figure, Runs, say
from benchmarks.query_once import PASSPHRASE
from chez import field, store
from chez.crypto import Kdf
from chez.query import fulltext
from chez.store.database import Connection

__all__ = ("RECORDS", "benchmarks", "filled_home", "records", "statement", "timed")

COUNT: Final = 100_000
BATCH: Final = 5_000
CITIES: Final = 5_000
WORDS: Final = 5_000
ASKED: Final = 300
"""Queries in one run of a figure, whose median it is."""
PROCESSES: Final = 3

RECORDS: Final = f"{COUNT:,} records of six fields, two of them indexed and one searched"
SQLCIPHER: Final = "the same statement and its rows in the database's thread, nothing decoded"
INDEXES: Final = ("city", ("done", "amount"))


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "query.indexed", "ms", "less", f"Median of {ASKED} queries `where(city=…)` among {RECORDS}: "
            "20 records each.", 1.0, {"sqlcipher": SQLCIPHER}),), _indexed),
        Benchmark((Figure(
            "query.fulltext", "ms", "less", f"Median of {ASKED} searches for a word among {RECORDS}: it is in "
            "about 160, the best 20 come with rank and snippet.", 5.0, {"sqlcipher": SQLCIPHER}),), _fulltext),
        Benchmark((Figure(
            "open.first_query", "ms", "less", f"A new process, from before Chez is imported to the first answer of an "
            f"indexed query among {RECORDS}: 20 records. The cheapest key derivation.", 300.0,
            {"python": "starting and ending a Python process that does nothing"}),), _first),
        Benchmark((Figure(
            "scan.rss", "MB", "less", f"The most memory of a process that goes through all of {RECORDS}, one by one.",
            250.0, {"python": "a process that starts an event loop and does nothing"}),), _scan),
    )


def records() -> Iterator[dict[str, Any]]:
    """The same records each time."""
    chance = random.Random(4)
    words = ["".join(chance.choices("aeioulmnprst", k=chance.randrange(4, 10))) for _ in range(WORDS)]
    for number in range(COUNT):
        yield {"name": f"person {number}", "city": f"city {number % CITIES}", "number": number,
               "amount": round(chance.uniform(-500, 500), 2), "done": number % 3 == 0,
               "note": " ".join(chance.choices(words, k=8))}


async def filled_home(bench: Bench) -> Path:
    """The home with all records, made if it is not in the cache."""
    schema = Path(store.__file__).parent / "schema" / "0001.sql"
    recipe = b"".join(Path(path).read_bytes() for path in (schema, fulltext.__file__, __file__))
    folder = bench.cache / f"queries-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if folder.exists():
        return folder / "home"
    for old in bench.cache.glob("queries-*"):
        shutil.rmtree(old)
    say(f"  making {RECORDS}")
    path = bench.folder("queries") / "home"
    await chez.create(path, passphrase=PASSPHRASE, name="bench", kdf=Kdf.minimum())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        people = home.collection("people", indexes=INDEXES, search=("note",))
        source = records()
        while batch := list(islice(source, BATCH)):
            await people.put_many(batch)
        await people.search("ready")
    path.parent.rename(folder)  # only a whole one is in the cache
    return folder / "home"


@asynccontextmanager
async def opened(bench: Bench) -> AsyncIterator[Any]:
    """The home, open."""
    async with chez.open(await filled_home(bench), passphrase=PASSPHRASE) as home:
        yield home


async def timed(home: Any, sql: str) -> float:
    """Seconds of a bare statement, inside the database's thread."""
    def work(db: Connection) -> float:
        began = time.perf_counter()
        db.execute(sql).fetchall()
        return time.perf_counter() - began

    found: float = await home._database.read(work)
    return found


async def statement(home: Any, ask: Any) -> str:
    """The statement over records that a query runs, with its parameters in it."""
    seen: list[str] = []
    await home._database.read(lambda db: db.set_trace_callback(seen.append))
    await ask()
    await home._database.read(lambda db: db.set_trace_callback(None))
    return next(one for one in seen if one.startswith("SELECT id, json, kinds"))


async def _asked(bench: Bench, figure: str, ask: Any, expected: int) -> dict[str, Runs]:
    runs, chance = Runs(), random.Random(1)
    async with opened(bench) as home:
        people = home.collection("people")
        for run in range(bench.runs + 1):
            ours, theirs = [], []
            for _ in range(ASKED):
                number = chance.randrange(CITIES)
                began = time.perf_counter()
                found = await ask(people, number)
                ours.append(time.perf_counter() - began)
                if len(found) != expected:
                    raise BenchmarkFailed(f"{len(found)} records were found, not {expected}")
            for _ in range(ASKED // 10):
                number = chance.randrange(CITIES)
                sql = await statement(home, lambda number=number: ask(people, number))
                theirs.append(await timed(home, sql))
            if run:  # the first round warms
                runs.add(median(ours) * 1e3, sqlcipher=median(theirs) * 1e3)
    return {figure: runs}


async def _indexed(bench: Bench) -> dict[str, Runs]:
    def ask(people: Any, number: int) -> Any:
        return people.where(field("city") == f"city {number}").all()

    return await _asked(bench, "query.indexed", ask, COUNT // CITIES)


async def _fulltext(bench: Bench) -> dict[str, Runs]:
    words = sorted({word for record in islice(records(), 2_000) for word in record["note"].split()})

    def ask(people: Any, number: int) -> Any:
        return people.search(words[number % len(words)])

    return await _asked(bench, "query.fulltext", ask, 20)


async def _process(*arguments: str) -> tuple[float, bytes]:
    """Seconds that a process took, and what it printed."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{' '.join(arguments[:3])} ended with {process.returncode}")
    return time.perf_counter() - began, out


async def _first(bench: Bench) -> dict[str, Runs]:
    runs, path = Runs(), await filled_home(bench)
    for _ in range(bench.runs):
        ours = [float((await _process("-m", "benchmarks.query_once", "first", str(path)))[1]) for _ in range(PROCESSES)]
        bare = [(await _process("-c", "pass"))[0] * 1e3 for _ in range(PROCESSES)]
        runs.add(median(ours), python=median(bare))
    return {"open.first_query": runs}


async def _scan(bench: Bench) -> dict[str, Runs]:
    runs, path = Runs(), await filled_home(bench)
    for _ in range(bench.runs):
        ours, bare = [float((await _process("-m", "benchmarks.query_once", verb, str(path)))[1])
                      for verb in ("scan", "nothing")]
        runs.add(ours, python=bare)
    return {"scan.rss": runs}
