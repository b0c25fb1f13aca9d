"""deposit.*: an organisation gives 10,000 customers 100 records each; one device takes what lies in its inbox.

The customers' addresses are made without homes, which would take hours: their keys and inboxes are as homes make them.
Afterwards the relay's own store is asked for each inbox's items, and some are opened.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.store import fresh_home
from chez.crypto import SealingKey, SigningKey, hash_fields
from chez.deposits.address import Address, AddressKeys, Quota, Terms, read_address, sign_address
from chez.deposits.message import open_deposit
from chez.deposits.types import type_named
from chez.sync.connection import connect
from chez_deposit import Book, OrganisationKeys, build, new_keys, save_keys, send, stage
from chez_wire.login import inbox_of

__all__ = ("benchmarks",)

CUSTOMERS: Final = 10_000
EACH: Final = 100
MESSAGES: Final = 50
"""Messages of 100 records that wait for the one device."""

SAMPLE: Final = 100_000

OPENED: Final = 50
"""Inboxes whose item is opened afterwards: every two hundredth."""

_TYPES: Final = (type_named("transactions"),)
_NOW: Final = 1_800_000_000
_LINE: Final = ('{"customer":"C%05d","collection":"transactions","record":{"account":"b/%05d","reference":"%s-%d",'
                '"posted":"2026-11-%02d","amount":"-%d.%02d","currency":"EUR","kind":"pos","name":"Boulangerie %d"}}\n')


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "deposit.batch", "records/s", "more", f"`chez-deposit send` of a file with {CUSTOMERS * EACH:,} "
            f"transactions for {CUSTOMERS:,} customers: the whole command, until each customer's message is durable at "
            "one relay (SQLite, its limits for one address raised). Each line is checked against the address, each "
            "message signed, sealed, and durable in the organisation's book before it leaves. The inboxes are "
            "made before; no device takes anything meanwhile.", 1_000,
            {"parsing": f"{SAMPLE:,} lines of the same file decoded by json, nothing checked or sent"}),), _batch),
        Benchmark((Figure(
            "deposit.take", "records/s", "more", f"One device takes {MESSAGES} messages of {EACH} transactions from "
            "its inbox at a relay: each a transaction of its own with a receipt, then acknowledged to the "
            "organisation."),), _take),
    )


@asynccontextmanager
async def _relay(bench: Bench) -> AsyncIterator[tuple[str, Path]]:
    folder, port = bench.folder("relay"), free_port()
    raised = [word for name in ("inboxes_burst_per_address", "spaces_burst_per_address")
              for word in ("--set", f"limits.{name}={2 * CUSTOMERS}")]
    async with start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "data"),
                     *raised, log=folder / "relay.log"):
        await wait_for_port(port)
        yield f"ws://127.0.0.1:{port}", folder / "data"


def _keys(n: int) -> AddressKeys:
    seeds = [hash_fields("benchmark", what, n.to_bytes(4, "big")) for what in (b"sign", b"seal", b"inbox", b"put")]
    return AddressKeys(SigningKey.from_seed(seeds[0]), SealingKey.from_seed(seeds[1]), SigningKey.from_seed(seeds[2]),
                       SigningKey.from_seed(seeds[3]))


def _address(n: int, url: str) -> Address:
    return sign_address(_keys(n), Terms("Bank", url, (), _TYPES, Quota(), True, (_NOW + 10**9) * 1000, b""))


async def _open_inboxes(url: str) -> None:
    async with connect(url) as relay:
        for first in range(0, CUSTOMERS, 200):
            made = [_keys(n) for n in range(first, min(first + 200, CUSTOMERS))]
            await asyncio.gather(*(relay.create_inbox(keys.inbox, keys.put.public, 86_400) for keys in made))


def _organisation(url: str, folder: Path) -> OrganisationKeys:
    keys = new_keys("Bank", "dpo@bank.example", "bank.example", url, lambda size: bytes([7]) * size)
    save_keys(folder / "bank.key", keys)
    return keys


def _write(path: Path, run: str, customers: int) -> None:
    with path.open("w") as file:
        for customer in range(customers):
            file.writelines(_LINE % (customer, customer, run, n, n % 30 + 1, n, n % 100, n) for n in range(EACH))


async def _batch(bench: Bench) -> dict[str, Runs]:
    runs, folder = Runs(), bench.folder("organisation")
    async with _relay(bench) as (url, data):
        await _open_inboxes(url)
        with Book(folder / "bank.key.book", _organisation(url, folder), now=_NOW) as book:
            book.add_customers((f"C{n:05}", _address(n, url).text) for n in range(CUSTOMERS))
        file = folder / "batch.jsonl"
        _write(file, "once", CUSTOMERS)
        for run in range(bench.runs):
            began = time.perf_counter()
            async with start(sys.executable, "-m", "chez_deposit", "send", str(file), "--batch", f"run {run}", "--key",
                             str(folder / "bank.key"), log=folder / "log") as process:
                code = await process.wait()
            took = time.perf_counter() - began
            if code:
                raise BenchmarkFailed(f"chez-deposit ended with {code}: {(folder / 'log').read_text()[-2000:]}")
            _check(data, run + 1)
            began = time.perf_counter()
            with file.open("rb") as lines:
                count = sum(bool(json.loads(line)) for line in islice(lines, SAMPLE))
            runs.add(CUSTOMERS * EACH / took, parsing=count / (time.perf_counter() - began))
    return {"deposit.batch": runs}


def _check(data: Path, messages: int) -> None:
    """That each inbox has a message of each run, and that some of them hold all records. Raises `BenchmarkFailed`."""
    with closing(sqlite3.connect(f"file:{data / 'relay.sqlite'}?mode=ro", uri=True)) as db:
        counts = db.execute("SELECT count(*), min(n), max(n) FROM (SELECT count(*) AS n FROM items GROUP BY inbox)")
        if (found := counts.fetchone()) != (CUSTOMERS, messages, messages):
            raise BenchmarkFailed(f"the relay has {found} instead of {messages} messages for each customer")
        for n in range(0, CUSTOMERS, CUSTOMERS // OPENED):
            keys = _keys(n)
            name = inbox_of(keys.inbox.public)
            items = db.execute("SELECT item FROM items JOIN inboxes USING (inbox) WHERE name = ?", (name,)).fetchall()
            if any(open_deposit(item, keys.sealing, name).count != EACH for (item,) in items):
                raise BenchmarkFailed("a message does not have all records of its customer")


async def _take(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        folder = bench.folder("take")
        async with _relay(bench) as (url, _), fresh_home(folder / "home") as home:
            await home.set_relay(url)
            keys = _organisation(url, folder)
            made = await home.deposits.new("Bank", ["transactions"], card=keys.card.text, acks="soon")
            if made.text is None:
                raise BenchmarkFailed("the address has no text on the device that made it")
            await home.deposits.take()
            with Book(folder / "bank.key.book", keys, now=_NOW) as book:
                book.add_customer("C00000", read_address(made.text).text)
                for number in range(MESSAGES):
                    file = folder / "batch.jsonl"
                    _write(file, f"message {number}", 1)
                    build(book, keys, stage(book, file, batch=str(number)).batch, now=_NOW)
                await send(book, keys, now=lambda: _NOW)
            began = time.perf_counter()
            report = await home.deposits.take()
            took = time.perf_counter() - began
            if (report.added, report.acknowledged) != (MESSAGES * EACH, MESSAGES):
                raise BenchmarkFailed(f"{report.added} records were taken instead of {MESSAGES * EACH}")
            runs.add(report.added / took)
    return {"deposit.take": runs}
