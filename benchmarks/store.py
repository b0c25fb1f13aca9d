"""put.bulk, put.single, put.concurrent64: records made durable on one device.

Beside: the bare work in the same session, its rows of the same bytes in SQLCipher with
the same settings and durability, and the Automerge documents alone.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import automerge.core as automerge
import msgspec

import chez
from benchmarks.harness import Bench, Benchmark, Figure, Runs
from chez.crypto import Kdf
from chez.store.database import Connection
from chez.store.file import connect

__all__ = ("PASSPHRASE", "Bare", "benchmarks", "document", "fresh_home", "six_fields")

PASSPHRASE: Final = "benchmark only"
BULK: Final = 10_000
SINGLES: Final = 300
TASKS: Final = 64
EACH: Final = 64

SQLCIPHER: Final = "rows of the same bytes (change and JSON) into SQLCipher, WAL, synchronous=FULL"
AUTOMERGE: Final = "making the same Automerge documents and their changes, nothing stored"


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "put.bulk", "records/s", "more", f"{BULK:,} records of six fields by put_many into a new home: "
            "durable, projected and with one index, in one transaction.", 8_000,
            {"sqlcipher": f"{SQLCIPHER}, one transaction", "automerge": AUTOMERGE}),), _bulk),
        Benchmark((Figure(
            "put.single", "ms", "less", f"Median of {SINGLES} puts of a six-field record, each awaited "
            "before the next: durable when it returns.", None,
            {"sqlcipher": f"{SQLCIPHER}, a transaction each"}, {"sqlcipher": 3.0}),), _single),
        Benchmark((Figure(
            "put.concurrent64", "puts/s", "more", f"{TASKS} tasks put {EACH} six-field records each, every "
            "put awaited by its task and durable when it returns.", 6_000,
            {"sqlcipher": f"{SQLCIPHER}, a transaction for {TASKS} rows", "automerge": AUTOMERGE}),),
            _concurrent),
    )


def six_fields(number: int) -> dict[str, str]:
    """The record that all figures use: about 130 bytes of JSON."""
    return {f"field{k}": f"value {number} {k}" for k in range(6)}


def document(value: dict[str, str]) -> bytes:
    """The bare binding's work for one record: a document, one change, its bytes."""
    doc = automerge.Document()
    with doc.transaction() as change:
        for key, text in value.items():
            change.put(automerge.ROOT, key, automerge.ScalarType.Str, text)
    made: Any = doc.get_last_local_change()
    return bytes(made.bytes)


@asynccontextmanager
async def fresh_home(folder: Path) -> AsyncIterator[Any]:
    """A new home, open; the cheapest key derivation, which no figure here contains."""
    path = folder / "home"
    await chez.create(path, passphrase=PASSPHRASE, name="bench", kdf=Kdf.minimum())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        yield home


class Bare:
    """The database alone: what `sqlcipher` stands for."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        db.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, record TEXT, change BLOB)")
        db.execute("CREATE TABLE record (id TEXT PRIMARY KEY, json TEXT) WITHOUT ROWID")

    def insert(self, rows: list[tuple[str, bytes, bytes]]) -> None:
        """One transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany("INSERT INTO log (record, change) VALUES (?, ?)", [(i, c) for i, c, _ in rows])
        self.db.executemany("INSERT INTO record VALUES (?, ?)", [(i, j.decode()) for i, _, j in rows])
        self.db.execute("COMMIT")


@contextmanager
def bare(folder: Path) -> Iterator[Bare]:
    """An empty database with the engine's own settings."""
    db = connect(folder / "bare.db", os.urandom(32))
    try:
        yield Bare(db)
    finally:
        db.close()


def rows_of(first: int, count: int) -> list[tuple[str, bytes, bytes]]:
    """Id, change and JSON of records, made before the clock starts."""
    values = [six_fields(n) for n in range(first, first + count)]
    return [(os.urandom(12).hex(), document(v), msgspec.json.encode(v)) for v in values]


def automerge_rate(count: int) -> float:
    """Documents a second by the bare binding."""
    began = time.perf_counter()
    for number in range(count):
        document(six_fields(number))
    return count / (time.perf_counter() - began)


async def _bulk(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    values = [six_fields(number) for number in range(BULK)]
    for _ in range(bench.runs):
        folder = bench.folder("bulk")
        async with fresh_home(folder) as home:
            items = home.collection("items", indexes=("field0",))
            began = time.perf_counter()
            await items.put_many(values)
            ours = BULK / (time.perf_counter() - began)
        rows = rows_of(0, BULK)
        with bare(folder) as database:
            began = time.perf_counter()
            database.insert(rows)
            theirs = BULK / (time.perf_counter() - began)
        runs.add(ours, sqlcipher=theirs, automerge=automerge_rate(BULK))
    return {"put.bulk": runs}


async def _single(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    folder = bench.folder("single")
    async with fresh_home(folder) as home:
        items = home.collection("items")
        with bare(folder) as database:
            for run in range(bench.runs):
                await items.put(six_fields(0))
                ours, theirs = [], []
                for number in range(SINGLES):
                    value = six_fields(run * SINGLES + number)
                    began = time.perf_counter()
                    await items.put(value)
                    ours.append(time.perf_counter() - began)
                for row in rows_of(run * SINGLES, SINGLES):
                    began = time.perf_counter()
                    database.insert([row])
                    theirs.append(time.perf_counter() - began)
                runs.add(median(ours) * 1e3, sqlcipher=median(theirs) * 1e3)
    return {"put.single": runs}


async def _concurrent(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    count = TASKS * EACH
    for _ in range(bench.runs):
        folder = bench.folder("concurrent")
        async with fresh_home(folder) as home:
            items = home.collection("items")

            async def task(number: int, items: Any = items) -> None:
                for k in range(EACH):
                    await items.put(six_fields(number * EACH + k))

            began = time.perf_counter()
            await asyncio.gather(*(task(number) for number in range(TASKS)))
            ours = count / (time.perf_counter() - began)
        rows = rows_of(0, count)
        with bare(folder) as database:
            began = time.perf_counter()
            for start in range(0, count, TASKS):
                database.insert(rows[start:start + TASKS])
            theirs = count / (time.perf_counter() - began)
        runs.add(ours, sqlcipher=theirs, automerge=automerge_rate(count))
    return {"put.concurrent64": runs}
