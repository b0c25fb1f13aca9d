"""sync.idle_reconnect*: what it costs to come again when nothing happened, with 1,000 spaces."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import chez
from benchmarks.counting import Counter, counting
from benchmarks.harness import Bench, Benchmark, Figure, Runs
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.store import PASSPHRASE
from chez.crypto import Kdf
from chez.sync.link import Link

__all__ = ("benchmarks",)

SPACES: Final = 1000
QUIET: Final = 0.5
"""Seconds without a byte after which nothing more comes of it."""


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    what = (f"by a device with {SPACES:,} spaces whose connection was cut, and to which nothing is new. That holds "
            "while the relay has kept the session; where it has not, as after its own restart, it costs what `first` "
            "does")
    login = "the same, of whom the relay keeps nothing: every role proven, every space subscribed to"
    return (Benchmark((
        Figure("sync.idle_reconnect", "KB", "less", f"Bytes both ways through a TCP proxy, HTTP included, {what}.", 100,
               {"first": login}),
        Figure("sync.idle_reconnect_turns", "round trips", "less", "How often it waits for the relay: the websocket's "
               f"handshake, the greeting, and all else, {what}.", 3, {"first": login}),
        Figure("sync.idle_reconnect_time", "ms", "less", "From the connection to the proxy until every space is "
               f"in step, relay and device each a process, on loopback: {what}.", None, {"first": login}),
    ), _measured),)


async def _measured(bench: Bench) -> dict[str, Runs]:
    size, turns, took = Runs(), Runs(), Runs()
    async with _many(bench) as (home, counter, url):
        for _ in range(bench.runs):
            await home._database.write(lambda db: db.execute("DELETE FROM kept"))
            counter.clear()
            began = time.perf_counter()
            async with home.connect(url) as link:
                await link.synced(120)
                first = time.perf_counter() - began
                before = (counter.up + counter.down, counter.turns)
                await counter.quiet(QUIET)  # by now the relay keeps what is followed
                again = await _cut(link, counter)
                size.add((counter.up + counter.down) / 1e3, first=before[0] / 1e3)
                turns.add(counter.turns, first=before[1])
                took.add(again * 1e3, first=first * 1e3)
    return {"sync.idle_reconnect": size, "sync.idle_reconnect_turns": turns, "sync.idle_reconnect_time": took}


async def _cut(link: Link, counter: Counter) -> float:
    """Cut the connection and wait until all is in step again, and quiet; seconds from the first byte till then."""
    connections = link.connections
    counter.clear()
    counter.cut()
    await counter.begun.wait()
    began = time.perf_counter()
    while link.connections == connections or link.status != "synced":
        await link.turn()
    took = time.perf_counter() - began
    await counter.quiet(QUIET)
    return took


@asynccontextmanager
async def _many(bench: Bench) -> AsyncIterator[tuple[chez.Home, Counter, str]]:
    """A home with so many spaces, all at a relay behind a proxy."""
    folder, port = bench.folder("reconnect"), free_port()
    async with (
        counting(port) as counter,
        start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "relay"),
              "--name", f"127.0.0.1:{counter.port}", log=folder / "relay.log"),
    ):
        await wait_for_port(port)
        await chez.create(folder / "home", passphrase=PASSPHRASE, name="bench", kdf=Kdf.minimum())
        async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
            for number in range(SPACES - 1):
                await home.create_space(f"space {number}")
            url = f"ws://127.0.0.1:{counter.port}"
            await home.sync(url, timeout=120)
            yield home, counter, url
