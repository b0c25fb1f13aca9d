"""sync.bootstrap_100k, relay.bytes_checkpointed: what checkpoints give a new device, and a relay's room."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.processes import Talker, command, free_port, start, talk, wait_for_port
from benchmarks.sync import python

__all__ = ("benchmarks",)

RECORDS: Final = 100_000
FEWER: Final = 10_000
KEPT: Final = 1000
ROUNDS: Final = 100
PATIENCE: Final = 200


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((
            Figure("sync.bootstrap_100k", "records/s", "more", f"How many records a second a new device takes in "
                   f"from a checkpoint of {RECORDS:,} six-field records and the log behind it, all of whose "
                   "entries the relay dropped: from opening its home until a sync is done and a query finds all; "
                   "checked, decrypted and durable.", 5000),
            Figure("sync.bootstrap_rss", "MB", "less", "How far the new device's peak memory rises above that with "
                   f"{FEWER:,} records, which do not fill the pages that SQLite keeps: 16 MB for a writer and as much "
                   "for a reader. Beyond that it does not grow (tests/checkpoints/test_memory.py).", None),
        ), _bootstrap),
        Benchmark((
            Figure("relay.bytes_checkpointed", "bytes", "less", f"What the relay keeps for each of {KEPT:,} records "
                   f"after {KEPT * ROUNDS:,} changes to them, once a checkpoint was made and what it stands for was "
                   "dropped: segments and all entries.", None,
                   {"documents": "zstd of all saved documents, one after the other",
                    "each": "the same, each document by itself",
                    "entries": "what the relay kept before"}, {"documents": 1.3}),
        ), _bytes),
    )


@asynccontextmanager
async def _pair(bench: Bench) -> AsyncIterator[tuple[Talker, Path, str, Path]]:
    """A relay that drops at once, and a device; its url, the relay's folder and one for another device."""
    folder, port = bench.folder("checkpoint"), free_port()
    url, data = f"ws://127.0.0.1:{port}", folder / "relay"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(start(
            command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(data),
            "--set", "quotas.grace=0.001", "--set", "limits.expiry_interval=0.05", log=folder / "relay.log"))
        await wait_for_port(port)
        a = await stack.enter_async_context(talk(*python("benchmarks.device"), str(folder / "a"), log=folder / "a.log"))
        await a.ask("create", url=url)
        yield a, data, url, folder


async def _held(data: Path) -> tuple[int, int]:
    """Bytes of entries, and of segments, at the relay, by its own count."""
    process = await asyncio.create_subprocess_exec(
        command("chez-relay"), "inspect", "--data", str(data), "--json", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    told = json.loads(out)
    return told["bytes"], told["blob_bytes"]


async def _dropped(data: Path, before: int) -> int:
    """What the relay holds once it let go of what was dropped; it had so many bytes of entries before."""
    for _ in range(PATIENCE):
        if (await _held(data))[0] < before:
            await asyncio.sleep(0.5)
            return sum(await _held(data))
        await asyncio.sleep(0.2)
    raise BenchmarkFailed("the relay does not let go of what was dropped")


async def _newcomer(bench: Bench, records: int) -> tuple[float, float]:
    """Seconds and megabytes that a new device takes."""
    async with _pair(bench) as (a, data, url, folder):
        await a.ask("fill", count=records, rounds=1)
        before, _ = await _held(data)
        await a.ask("checkpoint")
        await _dropped(data, before)
        code = (await a.ask("pair", url=url))["code"]
        async with talk(*python("benchmarks.device"), str(folder / "b"), log=folder / "b.log") as b:
            await b.send("enter", code=code, url=url)
            await a.ask("paired")
            await b.answer()
            await a.ask("sync")
            found = await b.ask("bootstrap", url=url, count=records)
            return found["seconds"], (await b.ask("peak"))["megabytes"]


async def _bootstrap(bench: Bench) -> dict[str, Runs]:
    rate, rss = Runs(), Runs()
    for _ in range(bench.runs):
        _, small = await _newcomer(bench, FEWER)
        seconds, large = await _newcomer(bench, RECORDS)
        rate.add(RECORDS / seconds)
        rss.add(max(0.0, large - small))
    return {"sync.bootstrap_100k": rate, "sync.bootstrap_rss": rss}


async def _bytes(bench: Bench) -> dict[str, Runs]:
    size = Runs()
    for _ in range(bench.runs):
        async with _pair(bench) as (a, data, _, _):
            await a.ask("fill", count=KEPT, rounds=ROUNDS)
            before, _ = await _held(data)
            await a.ask("checkpoint")
            after = await _dropped(data, before)
            plain = await a.ask("documents")
            size.add(after / KEPT, documents=plain["together"] / KEPT, each=plain["each"] / KEPT,
                     entries=before / KEPT)
    return {"relay.bytes_checkpointed": size}
