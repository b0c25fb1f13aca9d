"""relay.*: one relay process on SQLite under load from one other process, beside bare websockets and bare SQLite."""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import msgspec

from benchmarks.certificate import certificate
from benchmarks.disk import written
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.load import ENTRY_BYTES, Load, envelope
from benchmarks.memory import resident
from benchmarks.processes import command, finish, free_port, start, wait_for_port

__all__ = ("CLIENTS", "LONE_BYTES", "LONE_CLIENTS", "SPACES", "WINDOW", "benchmarks", "loaded", "rate", "standing")

CLIENTS: Final = 50
WINDOW: Final = 64
APPENDS: Final = 1000
SECONDS: Final = 4
STEADY: Final = 10_000
FANOUT: Final = 4000
IDLE: Final = 1000
LONE_CLIENTS: Final = 400
LONE_APPENDS: Final = 40
LONE_BYTES: Final = 1300
"""A sealed entry of the usual size: the padding's floor of 1 KiB, header and signature."""
LONE_FOLLOWERS: Final = 2
COMING: Final = 400
SPACES: Final = 3
"""Of a client that logs in, as of a device in `benchmarks.capacity`."""
FLOOD: Final = 100
FLOODED: Final = 500
"""Entries that each of those who flood has unanswered."""
BESIDE: Final = 40
PACED: Final = "the same frames, as fast, through a bare websocket server"
STORED: Final = (f"{PACED} that puts all that came meanwhile into bare SQLite, WAL, synchronous=FULL, and then sends "
                 "each back")
LATE: Final = "how late the load was to send an entry to the relay (99th percentile): no server's doing"


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    load = f"{CLIENTS} clients, each in a space of its own, {ENTRY_BYTES}-byte entries, one a frame"
    lone = (f"{LONE_CLIENTS} clients, each in a space of its own, {LONE_BYTES:,}-byte entries, one of a client "
            f"unanswered, {LONE_CLIENTS * LONE_APPENDS:,} in all")
    lone_used = "Processor time of the relay's process, all its threads and the system's part"
    return (
        Benchmark((
            Figure("relay.append", "entries/s", "more", f"Entries acknowledged, each durable: {load}, {WINDOW} of a "
                   f"client unanswered, {CLIENTS * APPENDS:,} in all. The load, in one process, asks afterwards what "
                   "the relay holds.", 20_000,
                   {"echo": "the same frames, each sent back by a bare websocket server",
                    "sqlite": f"as many rows of {ENTRY_BYTES} bytes with an id into bare SQLite, WAL, "
                              f"synchronous=FULL, {WINDOW * CLIENTS // 4} in a transaction"}),
        ), _append),
        Benchmark((
            Figure("relay.append_lone", "entries/s", "more", "Entries acknowledged, each durable, that come alone: "
                   f"{lone}. `relay.append` has {WINDOW} of a space under way at a time, which are checked and stored "
                   "together.", None,
                   {"echo": "the same frames, each sent back by a bare websocket server"}),
            Figure("relay.append_lone_used", "µs", "less", f"{lone_used}, for each of these entries.", None,
                   {"echo": "the bare server's"}),
            Figure("relay.fanout_lone", "deliveries/s", "more", f"The same with {LONE_FOLLOWERS} other connections "
                   "that follow each space: entries that reached a follower, durable before. `relay.fanout` has many "
                   f"entries in one push to {CLIENTS}; here each is a push of its own.", None),
            Figure("relay.fanout_lone_used", "µs", "less", f"{lone_used}, for each of these deliveries: what it took "
                   "beyond the appends, by the figure before.", None),
        ), _lone),
        Benchmark((
            Figure("relay.login_used", "µs", "less", f"{lone_used}, for a client that comes, proves two roles at each "
                   f"of {SPACES} spaces that are there, follows them and goes: {COMING} clients, some at a time, no "
                   "TLS. The relay knows none of them from before.", None),
        ), _coming),
        Benchmark((
            Figure("relay.append_p99", "ms", "less", "99th percentile from when an entry is due until it is "
                   f"acknowledged, durable, at {STEADY:,} entries a second, half of the rate that `relay.append` is to "
                   f"reach: {load}, evenly paced for {SECONDS} s. Paced entries come one by one: less is done together "
                   "than at the full rate. Where the load itself is late to send, that counts too.", 20,
                   {"bare": STORED, "echo": PACED, "load": LATE}),
            Figure("relay.append_p99_most", "ms", "less", "The same at half of the rate at which it took "
                   f"{CLIENTS * APPENDS:,} just before, however many more those are than the relay is to take "
                   "(docs/decisions/0053).", None,
                   {"bare": STORED, "echo": PACED, "load": LATE}),
            Figure("relay.append_written", "bytes", "less", "What the relay's process has the disk write for each of "
                   "these (write_bytes of /proc/PID/io), its log and its file together.", None,
                   {"bare": "the bare server that puts them into bare SQLite, where they are found by nothing"}),
        ), _paced),
        Benchmark((
            Figure("relay.append_beside", "ms", "less", f"From when one entry of {ENTRY_BYTES} bytes is due until it "
                   f"is acknowledged, durable, the median of {BESIDE}, twenty a second, while {FLOOD} clients of "
                   f"another address have {FLOODED} entries unanswered each, {FLOOD * FLOODED:,} in all, and send "
                   "another for each answer.", None,
                   {"same": "the same beside a flood from its own address, whose turns it shares",
                    "quiet": "the same while nobody floods"}),
        ), _beside),
        *_crowds(),
    )


def _crowds() -> tuple[Benchmark, ...]:
    """Those of many who follow a space, or stand still."""
    return (
        Benchmark((
            Figure("relay.fanout", "deliveries/s", "more", f"One client appends {FANOUT:,} entries of {ENTRY_BYTES} "
                   f"bytes, {WINDOW} unanswered, {CLIENTS} follow the space: entries that reached a follower, durable "
                   "before.", None,
                   {"broadcast": "a bare websocket server that broadcasts the same frames, nothing stored"},
                   {"broadcast": 0.6}),
        ), _fanout),
        Benchmark((
            Figure("relay.idle_memory", "KB", "less", f"Memory of the relay's process for each of {IDLE:,} connections "
                   "that have opened two roles of a space of their own, follow it and stand still.", None,
                   {"echo": "a connection to a bare websocket server"}, {"echo": 1.5}),
            Figure("relay.idle_memory_tls", "KB", "less", "The same where the relay itself has TLS.", None),
        ), _idle),
    )


@asynccontextmanager
async def _relay(bench: Bench, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    folder, port = bench.folder("relay"), free_port()
    async with start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "data"),
                     *options, log=folder / "relay.log") as process:
        await wait_for_port(port)
        yield process, port


@asynccontextmanager
async def _bare(kind: str, *files: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port()
    async with start(sys.executable, "-m", "benchmarks.bare", kind, str(port), *map(str, files)) as process:
        await wait_for_port(port)
        yield process, port


async def loaded(bench: Bench, **what: Any) -> dict[str, Any]:
    """What a load found. Raises `BenchmarkFailed` with its last words."""
    log = bench.folder("load") / "log"
    argument = msgspec.json.encode(Load(**what)).decode()
    with open(log, "wb") as errors:  # noqa: ASYNC230
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.load", argument, stdout=asyncio.subprocess.PIPE, stderr=errors)
    try:
        out, _ = await process.communicate()
    finally:
        await finish(process)
    if process.returncode:
        raise BenchmarkFailed(f"the load failed: {log.read_text()[-2000:]}")
    found: dict[str, Any] = json.loads(out)
    return found


async def rate(bench: Bench, port: int, relay: bool, each: int = APPENDS) -> float:
    """Messages a second that a server took, `each` of every client."""
    found = await loaded(bench, do="append", port=port, clients=CLIENTS, each=each, window=WINDOW, relay=relay)
    return float(CLIENTS * each / found["seconds"])


async def _append(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with _relay(bench) as (_, port):
            ours = await rate(bench, port, True)
        async with _bare("echo") as (_, port):
            echo = await rate(bench, port, False)
        runs.add(ours, echo=echo, sqlite=await asyncio.to_thread(_rows, bench.folder("sqlite")))
    return {"relay.append": runs}


async def _lone(bench: Bench) -> dict[str, Runs]:
    rates, used, deliveries, pushes = Runs(), Runs(), Runs(), Runs()
    count = LONE_CLIENTS * LONE_APPENDS
    what: dict[str, Any] = {"do": "lone", "clients": LONE_CLIENTS, "each": LONE_APPENDS, "size": LONE_BYTES}
    for _ in range(bench.runs):
        async with _relay(bench) as (process, port):
            ours = await loaded(bench, **what, port=port, watched=(process.pid,))
        async with _bare("echo") as (process, port):
            echo = await loaded(bench, **what, port=port, watched=(process.pid,), relay=False)
        async with _relay(bench) as (process, port):
            pushed = await loaded(bench, **what, port=port, watched=(process.pid,), followers=LONE_FOLLOWERS)
        rates.add(count / ours["seconds"], echo=count / echo["seconds"])
        used.add(ours["busy"][0] / count * 1e6, echo=echo["busy"][0] / count * 1e6)
        deliveries.add(count * LONE_FOLLOWERS / pushed["seconds"])
        pushes.add((pushed["busy"][0] - ours["busy"][0]) / count / LONE_FOLLOWERS * 1e6)
    return {"relay.append_lone": rates, "relay.append_lone_used": used, "relay.fanout_lone": deliveries,
            "relay.fanout_lone_used": pushes}


async def _coming(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with _relay(bench) as (process, port):
            found = await loaded(bench, do="login", port=port, clients=COMING, spaces=SPACES, watched=(process.pid,))
        runs.add(found["busy"][0] / COMING * 1e6)
    return {"relay.login_used": runs}


def _rows(folder: Path) -> float:
    """Rows a second into bare SQLite."""
    count, together = CLIENTS * APPENDS, WINDOW * CLIENTS // 4
    rows = [(number, number.to_bytes(32, "big"), envelope(bytes(32), number)) for number in range(count)]
    with closing(sqlite3.connect(folder / "rows.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE entries (place INTEGER PRIMARY KEY, entry BLOB UNIQUE, envelope BLOB)")
        began = time.perf_counter()
        for first in range(0, count, together):
            db.execute("BEGIN IMMEDIATE")
            for row in rows[first:first + together]:
                db.execute("INSERT INTO entries VALUES (?, ?, ?)", row)
            db.execute("COMMIT")
        return count / (time.perf_counter() - began)


async def _paced(bench: Bench) -> dict[str, Runs]:
    half, steady, disk = Runs(), Runs(), Runs()

    async def paced(port: int, rate: float, relay: bool, first: int = 0) -> tuple[float, float]:
        """The 99th percentile of the entries, and of how late the load was."""
        found = await loaded(bench, do="append", port=port, clients=CLIENTS, each=int(rate * SECONDS / CLIENTS),
                            first=first, rate=rate, relay=relay)
        return _p99(found["taken"]), _p99(found["late"])

    for _ in range(bench.runs):
        for runs in (half, steady):
            async with _relay(bench) as (process, port):
                # Into a store that is not empty: a relay puts off what it can until there is more of it.
                reached = await rate(bench, port, True)
                pace = reached / 2 if runs is half else float(STEADY)
                before = written(process.pid)
                ours, late = await paced(port, pace, True, first=APPENDS)
                ours_written = written(process.pid) - before
            async with _bare("store", bench.folder("bare") / "entries.sqlite") as (process, port):
                before = written(process.pid)
                bare, _ = await paced(port, pace, False)
                bare_written = written(process.pid) - before
            async with _bare("echo") as (_, port):
                echo, _ = await paced(port, pace, False)
            runs.add(ours, bare=bare, echo=echo, load=late)
        entries = STEADY * SECONDS
        disk.add(ours_written / entries, bare=bare_written / entries)
    return {"relay.append_p99": steady, "relay.append_p99_most": half, "relay.append_written": disk}


async def _beside(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    what: dict[str, Any] = {"do": "append", "clients": 1, "each": BESIDE, "rate": 20, "space": FLOOD}

    async def taken(port: int, address: int) -> float:
        found = await loaded(bench, **what, port=port, address=address)
        return median(found["taken"]) * 1e3

    for _ in range(bench.runs):
        async with _relay(bench) as (_, port):
            quiet = await taken(port, 3)
        found = []
        for address in (3, 2):
            async with _relay(bench) as (_, port), _flood(bench, port):
                found.append(await taken(port, address))
        runs.add(found[0], same=found[1], quiet=quiet)
    return {"relay.append_beside": runs}


@asynccontextmanager
async def _flood(bench: Bench, port: int) -> AsyncIterator[None]:
    """Clients pile up entries meanwhile."""
    async with _under_way(bench, Load(do="flood", port=port, clients=FLOOD, each=4000, window=FLOODED)):
        yield


def _p99(seconds: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return quantiles(seconds, n=100, method="inclusive")[98] * 1e3


async def _fanout(bench: Bench) -> dict[str, Runs]:
    runs = Runs()

    async def delivered(port: int, relay: bool) -> float:
        found = await loaded(bench, do="fanout", port=port, clients=CLIENTS, each=FANOUT, window=WINDOW, relay=relay)
        return float(CLIENTS * FANOUT / found["seconds"])

    for _ in range(bench.runs):
        async with _relay(bench) as (_, port):
            ours = await delivered(port, True)
        async with _bare("broadcast") as (_, port):
            runs.add(ours, broadcast=await delivered(port, False))
    return {"relay.fanout": runs}


async def _idle(bench: Bench) -> dict[str, Runs]:
    runs, tls = Runs(), Runs()
    files = await asyncio.to_thread(certificate, bench.folder("tls"))
    options = ("--set", f"tls_certificate={files[0]}", "--set", f"tls_key={files[1]}")
    for _ in range(bench.runs):
        async with _relay(bench) as (process, port):
            ours = await standing(bench, process.pid, port=port, clients=IDLE)
        async with _bare("echo") as (process, port):
            runs.add(ours, echo=await standing(bench, process.pid, port=port, clients=IDLE, relay=False))
        async with _relay(bench, *options) as (process, port):
            tls.add(await standing(bench, process.pid, port=port, clients=IDLE, tls=True))
    return {"relay.idle_memory": runs, "relay.idle_memory_tls": tls}


async def standing(bench: Bench, server: int, **what: Any) -> float:
    """Kilobytes of a server for each connection of a load that stands still."""
    before = resident(server)
    load = Load(do="idle", **what)
    async with _under_way(bench, load):
        return (resident(server) - before) * 1e3 / load.clients


@asynccontextmanager
async def _under_way(bench: Bench, load: Load) -> AsyncIterator[None]:
    """A load that goes on until this block ends. Raises `BenchmarkFailed` with its last words, also at its end."""
    log = bench.folder("load") / "log"
    argument = msgspec.json.encode(load).decode()
    async with start(sys.executable, "-m", "benchmarks.load", argument, log=log, talks=True) as process:
        if process.stdout is None or process.stdin is None or not await process.stdout.readline():
            raise BenchmarkFailed(f"the load failed: {log.read_text()[-2000:]}")
        yield
        process.stdin.close()
        if await process.wait():
            raise BenchmarkFailed(f"the load failed: {log.read_text()[-2000:]}")
