"""keys.pair, keys.join and keys.recover: another device comes in, another person, and whoever has 24 words.

The relay is a process of its own; who lets in and who comes in are homes of one process, so
that their work adds up instead of going on side by side.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import chez
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.store import PASSPHRASE, six_fields
from chez.crypto import Kdf, random_bytes
from chez.keys import new_words

__all__ = ("benchmarks", "home_at", "relay")

RECORDS: Final = 10_000
EPOCHS: Final = 20


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "keys.pair", "s", "less",
            "From asking for a code until another device, made meanwhile, is let in and in step with a home that has "
            "one record; nobody types. The cheapest key derivation."),), _pair),
        Benchmark((Figure(
            "keys.join", "s", "less",
            f"A person joins a space of {RECORDS:,} records of six fields, sealed under {EPOCHS} epochs, by its link: "
            "until all records are there.", 30.0,
            {"alone": f"putting {RECORDS:,} such records into a home, in {EPOCHS} transactions"}),), _join),
        Benchmark((Figure(
            "keys.recover", "s", "less",
            f"A home of {RECORDS:,} records of six fields, sealed under {EPOCHS} epochs, from 24 words and the relay, "
            "all other devices taken out: until its relay has the new keys. The cheapest key derivation.", 30.0,
            {"alone": f"putting {RECORDS:,} such records into a home, in {EPOCHS} transactions"}),), _recover))


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[str]:
    """A relay in a process of its own; its address."""
    port = free_port()
    async with start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "relay"),
                     log=folder / "relay.log"):
        await wait_for_port(port)
        yield f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def home_at(path: Path, url: str, words: str | None = None) -> AsyncIterator[chez.Home]:
    """A new person's home, open, at a relay."""
    await chez.create(path, passphrase=PASSPHRASE, name=path.name, words=words, kdf=Kdf.minimum())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.set_relay(url)
        yield home


async def _pair(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        folder = bench.folder("pair")
        async with relay(folder) as url, home_at(folder / "old", url) as old:
            await old.collection("notes").put({"text": "here"}, id="one")
            await old.sync()
            began = time.perf_counter()
            async with old.pair(url) as pairing:
                joined = asyncio.create_task(chez.join(folder / "new", pairing.code, passphrase=PASSPHRASE,
                                                       name="new", relay=url, kdf=Kdf.minimum()))
                await pairing.confirm()
                await joined
            async with chez.open(folder / "new", passphrase=PASSPHRASE) as new:
                await old.sync()
                await new.sync()
                await new.collection("notes").get("one")
                runs.add(time.perf_counter() - began)
    return {"keys.pair": runs}


async def _fill(home: chez.Home, space: chez.Space, rotate: Callable[[], Awaitable[object]]) -> float:
    """Records under as many epochs but one, in step with the relay; the seconds that putting them took."""
    part, alone = RECORDS // EPOCHS, 0.0
    for epoch in range(EPOCHS):
        values = [six_fields(number) for number in range(epoch * part, (epoch + 1) * part)]
        began = time.perf_counter()
        await space.collection("items").put_many(values)
        alone += time.perf_counter() - began
        await home.sync()
        if epoch < EPOCHS - 1:
            await rotate()
    return alone


async def _join(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        folder = bench.folder("join")
        async with relay(folder) as url, home_at(folder / "anna", url) as anna, home_at(folder / "berta", url) as berta:
            space = await anna.create_space("Ours")
            alone = await _fill(anna, space, space.rotate)  # letting in starts the last epoch
            await space.add(await berta.card())
            await anna.sync()
            began = time.perf_counter()
            hers = await berta.join(space.link())
            await berta.sync()
            if (found := await hers.collection("items").count()) != RECORDS:
                raise BenchmarkFailed(f"{found} of {RECORDS} records came")
            runs.add(time.perf_counter() - began, alone=alone)
    return {"keys.join": runs}


async def _recover(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        folder, words = bench.folder("recover"), new_words(random_bytes(32))
        async with relay(folder) as url:
            async with home_at(folder / "lost", url, words) as lost:
                alone = await _fill(lost, lost.space(), lost.devices.rotate)
            began = time.perf_counter()
            back = await chez.recover(folder / "new", words, relay=url, passphrase=PASSPHRASE, expel_others=True,
                                      kdf=Kdf.minimum())
            if back.records != RECORDS or back.problem or not back.expelled:
                raise BenchmarkFailed(f"{back.records} of {RECORDS} records came back; {back.problem}")
            runs.add(time.perf_counter() - began, alone=alone)
    return {"keys.recover": runs}
