"""sync.*, relay.bytes_per_record: two devices and a relay, each a process, durable at all three."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import msgspec
import websockets

from benchmarks import pipeline
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.peers.repo import EARLIER_GAP, attempt, installed
from benchmarks.processes import Talker, command, free_port, start, talk, wait_for_port
from benchmarks.store import document, six_fields

__all__ = ("GAP", "Trio", "benchmarks", "edited", "python", "started", "trio")

RECORDS: Final = 1000
CHANGES: Final = 200
MANY: Final = 10_000
HELD: Final = 1000
EARLIER: Final = 240
KEYS: Final = 1000
GAP: Final = 0.02
"""Seconds between two changes, as between those of the bare work that the goal was set beside. It matters: a process
that slept for longer finds less of itself in the processor's caches (docs/decisions/0056)."""

REPO_CHANGES: Final = 60
REPO_GAP: Final = 0.3
"""automerge-repo gathers changes for 100 ms; further apart it shows its best."""

REPO: Final = ("automerge-repo 2.5.6 with its sync server, file storage, plaintext, no fsync; the second "
               "client asks for each document one second after it was made, else some become unavailable")
BARE: Final = ("the bare steps, three processes, SQLite, each commit synced: change, compress, sign, seal, commit, "
               "send; commit, send on (ours passes a lone change on while it commits); open, verify; the value comes "
               "beside the change (benchmarks/pipeline.py)")
ECHO: Final = "a bare websocket echo of 1,200 bytes through one server process: the same two hops"
REPO_TICK: Final = (f"automerge-repo 2.5.6, one change every {REPO_GAP * 1e3:.0f} ms (it gathers for 100 ms), after "
                    f"its clients exchanged {HELD:,} documents: node compiles what it runs often")


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    latency = (f"from the call that changes one field on A until B's live answer has it, {CHANGES} changes "
               f"{GAP * 1e3:.0f} ms apart; durable at A before it leaves, at the relay and at B right after it shows "
               "(docs/decisions/0007, 0073)")
    return (
        Benchmark((
            Figure("sync.records_1000", "s", "less", f"From the first of {RECORDS:,} separate puts of "
                   "six-field records, issued by concurrent tasks on A, until B's query finds all; A, relay "
                   "and B each a process, durable at A and the relay before, at B right after it shows "
                   "(docs/decisions/0007).", 0.25,
                   {"automerge_repo": REPO,
                    "automerge_repo_cold": "there, a fresh client catching up, with nothing waited for"}),
            Figure("relay.bytes_per_record", "bytes", "less", "What the relay keeps of these "
                   f"{RECORDS:,} records: sealed entries, divided by records.", None,
                   {"change": "the raw Automerge change of one record, unsealed",
                    "json": "the record's JSON"}),
        ), _records),
        Benchmark((
            Figure("sync.latency_p50", "ms", "less", f"Median {latency}.", 3,
                   {"bare": BARE, "echo": ECHO, "automerge_repo": REPO_TICK}, {"automerge_repo": 3 / 8}),
            Figure("sync.latency_p99", "ms", "less", f"99th percentile {latency}.", None,
                   {"bare": BARE, "echo": ECHO, "automerge_repo": REPO_TICK}),
            Figure("sync.latency_apart_p50", "ms", "less", f"The same of {REPO_CHANGES} changes that are as far apart "
                   "as automerge-repo's, when each process has slept meanwhile.", None,
                   {"automerge_repo": REPO_TICK}),
        ), _latency),
        Benchmark((
            Figure("sync.ephemeral_p50", "ms", "less", "Median from the call that says an ephemeral message on A until "
                   f"B's app has it, {CHANGES} of them {GAP * 1e3:.0f} ms apart; sealed, signed, stored nowhere.", None,
                   {"echo": ECHO}),
        ), _ephemeral),
        Benchmark((
            Figure("sync.changes_10000", "s", "less", f"From the first of {MANY:,} puts that each change the one "
                   "field of a new record beside which nothing is held (other conditions: sync.changes_wide), by "
                   "concurrent tasks on A, until B's live answer has the last; each a change of its own in the "
                   "record's history at both, durable as above.", None,
                   {"automerge_repo": "automerge-repo 2.5.6: as many changes of one field of a new document, its "
                                      "network given its turn after every ten; plaintext, no fsync"},
                   {"automerge_repo": 1 / 6}),
        ), _changes),
        Benchmark((
            Figure("sync.changes_wide", "s", "less", "The same under the conditions of the driver whose figure the "
                   f"goal was set by: both devices hold {HELD:,} six-field records, the record has {EARLIER} earlier "
                   f"changes, and each of the {MANY:,} puts changes two fields: a number, and one of {KEYS:,} others "
                   f"in turn, so that the record comes to have {KEYS + 2:,}. By tasks that hold one value each.", None,
                   {"automerge_repo": f"automerge-repo 2.5.6 under the same conditions: {HELD:,} documents, {EARLIER} "
                                      "earlier changes, two fields a change, its network given its turn after every "
                                      "ten, as it takes the time that the goal was set by; plaintext, no fsync",
                    "automerge_repo_tick": "the same, all in one tick: its network has its turn afterwards"},
                   {"automerge_repo": 1 / 6}),
        ), _wide),
    )


@dataclass(frozen=True, slots=True)
class Trio:
    """A relay and two paired, connected devices."""

    a: Talker
    b: Talker
    data: Path


@asynccontextmanager
async def trio(bench: Bench) -> AsyncIterator[Trio]:
    """Start the relay and both devices, pair them and connect them."""
    async with AsyncExitStack() as stack:
        yield await started(stack, bench.folder("trio"), command("chez-relay"), sys.executable)


async def started(stack: AsyncExitStack, folder: Path, relay: str, interpreter: str) -> Trio:
    """As `trio`, by these programs, until the stack ends; the devices are of what `interpreter` imports."""
    port = free_port()
    url, data = f"ws://127.0.0.1:{port}", folder / "relay"
    await stack.enter_async_context(start(
        relay, "serve", "--listen", f"127.0.0.1:{port}", "--data", str(data), log=folder / "relay.log"))
    await wait_for_port(port)
    a, b = [await stack.enter_async_context(talk(
        interpreter, "-m", "benchmarks.device", str(folder / name), log=folder / f"{name}.log")) for name in "ab"]
    await a.ask("create", url=url)
    code = (await a.ask("pair", url=url))["code"]
    await b.ask("join", code=code, url=url)
    await a.ask("paired")
    await a.ask("connect", url=url)
    await b.ask("connect", url=url)
    return Trio(a, b, data)


def python(module: str) -> tuple[str, ...]:
    """The command that runs a module as a process."""
    return sys.executable, "-m", module


async def _held(data: Path) -> int:
    """Bytes of sealed entries at the relay, by its own count."""
    process = await asyncio.create_subprocess_exec(
        command("chez-relay"), "inspect", "--data", str(data), "--json", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    held: int = json.loads(out)["bytes"]
    return held


async def _records(bench: Bench) -> dict[str, Runs]:
    seconds, size = Runs(), Runs()
    values = [six_fields(number) for number in range(RECORDS)]
    change = median(len(document(value)) for value in values)
    plain = median(len(msgspec.json.encode(value)) for value in values)
    peer = await installed(bench)
    for _ in range(bench.runs):
        async with trio(bench) as three:
            before = await _held(three.data)
            await three.b.send("wait", count=RECORDS)
            began = (await three.a.ask("puts", count=RECORDS))["began"]
            seconds.add(((await three.b.answer())["at"] - began) / 1e9)
            size.add((await _held(three.data) - before) / RECORDS, change=change, json=plain)
        if found := await attempt(bench, peer, lambda repo: repo.records(RECORDS)):
            seconds.peers.setdefault("automerge_repo", []).append(found[0])
            seconds.peers.setdefault("automerge_repo_cold", []).append(found[1])
    return {"sync.records_1000": seconds, "relay.bytes_per_record": size}


async def _latency(bench: Bench) -> dict[str, Runs]:
    p50, p99, apart = Runs(), Runs(), Runs()
    peer = await installed(bench)
    for _ in range(bench.runs):
        ours, slow = await _edits(bench, CHANGES, GAP), await _edits(bench, REPO_CHANGES, REPO_GAP)
        bare, echo = await pipeline.latencies(bench, CHANGES, GAP), await _echo()
        p50.add(median(ours), bare=median(bare), echo=median(echo))
        p99.add(_p99(ours), bare=_p99(bare), echo=_p99(echo))
        apart.add(median(slow))
        if found := await attempt(bench, peer, lambda repo: repo.latencies(REPO_CHANGES, REPO_GAP, HELD)):
            theirs = [second * 1e3 for second in found]
            p50.peers.setdefault("automerge_repo", []).append(median(theirs))
            p99.peers.setdefault("automerge_repo", []).append(_p99(theirs))
            apart.peers.setdefault("automerge_repo", []).append(median(theirs))
    return {"sync.latency_p50": p50, "sync.latency_p99": p99, "sync.latency_apart_p50": apart}


async def _edits(bench: Bench, count: int, gap: float) -> list[float]:
    """Milliseconds of each of so many live changes of one record, which are so many seconds apart."""
    async with trio(bench) as three:
        await three.a.ask("one")
        await three.b.ask("has")
        return await edited(three, count, gap)


async def edited(three: Trio, count: int, gap: float, first: int = 1) -> list[float]:
    """As `_edits`, of the record that is there; the changes' numbers begin with `first`."""
    await three.b.send("watch", upto=first + count - 1)
    sent = (await three.a.ask("edit", count=count, gap=gap, first=first))["sent"]
    seen = (await three.b.answer())["seen"]
    # A value may be overtaken by the next: it is there when a later one is.
    return [(next(at for n, at in seen if n >= number) - began) / 1e6 for number, began in enumerate(sent, first)]


async def _ephemeral(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with trio(bench) as three:
            await three.b.send("hear", upto=CHANGES)
            sent = (await three.a.ask("say", count=CHANGES + 1, gap=GAP))["sent"]
            seen = dict((await three.b.answer())["seen"])
        runs.add(median([(at - sent[number]) / 1e6 for number, at in seen.items()]), echo=median(await _echo()))
    return {"sync.ephemeral_p50": runs}


async def _changes(bench: Bench) -> dict[str, Runs]:
    seconds = Runs()
    peer = await installed(bench)
    for _ in range(bench.runs):
        async with trio(bench) as three:
            await three.a.ask("one")
            await three.b.ask("has")
            await three.b.send("watch", upto=MANY)
            began = (await three.a.ask("changes", count=MANY))["began"]
            seen = (await three.b.answer())["seen"]
            held = (await three.b.ask("history"))["count"]
            if held != MANY + 1:
                raise BenchmarkFailed(f"B's history has {held} changes")
            seconds.add((seen[-1][1] - began) / 1e9)
        if found := await attempt(bench, peer, lambda repo: repo.changes(MANY)):
            seconds.peers.setdefault("automerge_repo", []).append(found)
    return {"sync.changes_10000": seconds}


async def _wide(bench: Bench) -> dict[str, Runs]:
    seconds = Runs()
    peer = await installed(bench)
    for _ in range(bench.runs):
        async with trio(bench) as three:
            await three.b.send("wait", count=HELD)
            await three.a.ask("puts", count=HELD)
            await three.b.answer()
            await three.a.ask("one", text=True)
            await three.b.ask("has")
            await three.b.send("watch", upto=EARLIER + MANY)
            await three.a.ask("edit", count=EARLIER, gap=EARLIER_GAP)
            began = (await three.a.ask("wide", count=MANY, first=EARLIER, keys=KEYS))["began"]
            seen = (await three.b.answer())["seen"]
            held = (await three.b.ask("history"))["count"]
            if held != MANY + EARLIER + 1:
                raise BenchmarkFailed(f"B's history has {held} changes")
            seconds.add((seen[-1][1] - began) / 1e9)
        for name, turns in (("automerge_repo", True), ("automerge_repo_tick", False)):
            if found := await attempt(bench, peer, lambda repo, turns=turns: repo.wide(  # type: ignore[misc]
                    MANY, HELD, EARLIER, KEYS, turns=turns)):
                seconds.peers.setdefault(name, []).append(found)
    return {"sync.changes_wide": seconds}


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


async def _echo() -> list[float]:
    """Milliseconds of each of 200 echoes through a server process, as far apart as our changes."""
    port, taken = free_port(), []
    async with start(*python("benchmarks.bare"), "echo", str(port)):
        await wait_for_port(port)
        async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as connection:
            for _ in range(CHANGES):
                began = time.perf_counter()
                await connection.send(bytes(1200))
                await connection.recv()
                taken.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(GAP)
    return taken
