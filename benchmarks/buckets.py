"""One message on a condition, beside a bucket's record and an object store: `python -m benchmarks.buckets`.

What docs/decisions/0026 chose, and what it chose it over, on clusters of three nodes on this machine (R=3, file
storage, sync_interval always). Each round has a cluster of its own, for who leads a stream is chance; in it all ways of
a line are taken one after the other, in another order each time. What is told is the median of the rounds.

An append: a space's entries that wait, with its state, in one message on the condition that the subject's last one is
known (as `chez_relay.storage.jetstream` does it, and that itself), beside entries in a stream and the state as a
record of a key-value bucket, written behind them by its revision. A chunk: a message of its own, beside nats-py's
object store. Neither counts what a space has of chunks, which either would have to do besides.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import click
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from benchmarks.cluster import READY_SECONDS, three_nodes
from benchmarks.harness import ROOT, Bench, BenchmarkFailed, workplace
from benchmarks.load import envelope
from benchmarks.numbers import number
from chez_relay.storage import AddEntry, AddSpace, SpaceKeys, Stored
from chez_relay.storage.jetstream.attachments import Attachments
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_wire.chunks import chunk_id
from chez_wire.envelope import entry_id
from chez_wire.limits import KIB, MAX_CHUNK

__all__ = ("main",)

ENTRY: Final = 1024
"""Bytes of an entry."""

STATE: Final = bytes(330)
"""What a block has beside its entries, and a record has instead (docs/decisions/0026)."""

APPENDS: Final = ((1, 1, 60), (16, 1, 20), (1, 64, 15), (16, 64, 4))
"""Spaces, entries of each that wait together, and how often each space has so many appended in one turn."""

CHUNKS: Final = tuple((size * KIB, window) for size in (64, 256, MAX_CHUNK // KIB, 1020) for window in (1, 8))
"""Bytes of a chunk, and how many are under way. A message has 1 MiB at most, with its headers."""

STORED: Final = 16
"""Chunks of one turn."""

SECONDS: Final = 20.0
"""For an answer."""

Append = Callable[[int, Sequence[bytes]], Awaitable[None]]
"""Store entries of a space, which has no others under way."""


# --- appends ----------------------------------------------------------------------------------


class Block:
    """One message: state and entries, on a condition."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: dict[int, int] = {}

    async def append(self, space: int, entries: Sequence[bytes]) -> None:
        """One write."""
        self._last[space] = await self._engine.publish(
            f"one.{space}", STATE + b"".join(entries), expected=self._last.get(space, 0))


class Record:
    """Entries in a stream, and then the record of their space in a bucket, by its revision."""

    def __init__(self, engine: Engine, bucket: KeyValue, subject: str) -> None:
        self._engine = engine
        self._bucket = bucket
        self._subject = subject
        self._revisions: dict[int, int] = {}

    async def together(self, space: int, entries: Sequence[bytes]) -> None:
        """Two writes, the entries in one message."""
        await self._engine.publish(f"{self._subject}.{space}", b"".join(entries))
        await self._record(space)

    async def apart(self, space: int, entries: Sequence[bytes]) -> None:
        """A message for each entry, side by side, and one write behind them."""
        await asyncio.gather(*(self._engine.publish(f"{self._subject}.{space}", one) for one in entries))
        await self._record(space)

    async def _record(self, space: int) -> None:
        key = f"{self._subject}.{space}"
        self._revisions[space] = await self._bucket.update(key, STATE, last=self._revisions.get(space))


class Relay:
    """The store of a relay, which looks for what it knows already, chains heads and keeps quotas besides."""

    def __init__(self, store: JetStreamStorage) -> None:
        self._store = store
        self._made: set[int] = set()

    async def append(self, space: int, entries: Sequence[bytes]) -> None:
        """As requests of one group."""
        handle, key = _name("space", space), _name("key", space)
        if space not in self._made:
            self._made.add(space)
            await self._store.perform([AddSpace(handle, SpaceKeys(key, key, key, key, key))])
        found = await self._store.perform([AddEntry(handle, entry_id(one), one, False, key) for one in entries])
        if not all(isinstance(one, Stored) and one.fresh for one in found):
            raise BenchmarkFailed(f"the store refused: {found[:1]}")


def _name(kind: str, number: int) -> bytes:
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=32).digest()


async def _appended(append: Append, spaces: int, window: int, each: int, first: int) -> float:
    """Entries a second. The first of each space are not looked at: what a space has at first is made with them."""
    entries = [[[envelope(_name("space", space), first + turn * window + n, ENTRY) for n in range(window)]
                for turn in range(each + 1)] for space in range(spaces)]

    async def all_of(space: int, turns: list[list[bytes]]) -> None:
        for turn in turns:
            await append(space, turn)

    await asyncio.gather(*(all_of(space, turns[:1]) for space, turns in enumerate(entries)))
    begun = time.perf_counter()
    await asyncio.gather(*(all_of(space, turns[1:]) for space, turns in enumerate(entries)))
    return spaces * window * each / (time.perf_counter() - begun)


# --- chunks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """A way to store chunks, and to read them."""

    put: Callable[[bytes], Awaitable[object]]
    get: Callable[[bytes], Awaitable[bytes | None]]


def _messages(attachments: Attachments) -> Way:
    """A message each, under its hash."""
    handle, birth = _name("space", 0), _name("birth", 0)
    return Way(lambda data: attachments.put(handle, birth, chunk_id(data), data, "00"),
               lambda data: attachments.get(handle, birth, chunk_id(data)))


def _objects(store: ObjectStore, piece: int | None) -> Way:
    """An object each, under its hash, in pieces of so many bytes (None: nats-py's own, 128 KiB)."""
    def name(data: bytes) -> str:
        return f"{piece}.{chunk_id(data).hex()}"

    def meta() -> api.ObjectMeta | None:
        return None if piece is None else api.ObjectMeta(options=api.ObjectMetaOptions(max_chunk_size=piece))

    async def get(data: bytes) -> bytes | None:
        return (await store.get(name(data))).data

    return Way(lambda data: store.put(name(data), data, meta()), get)


async def _stored(way: Way, size: int, window: int, first: int) -> tuple[float, float]:
    """MiB a second, stored and read."""
    chunks = [hashlib.shake_128(f"{first + n}".encode()).digest(size) for n in range(STORED)]

    async def some(work: Callable[[bytes], Awaitable[object]], n: int) -> None:
        for chunk in chunks[n::window]:
            await work(chunk)

    async def read(chunk: bytes) -> None:
        if await way.get(chunk) != chunk:
            raise BenchmarkFailed("what was read is not what was stored")

    taken = []
    for work in (way.put, read):
        begun = time.perf_counter()
        await asyncio.gather(*(some(work, n) for n in range(window)))
        taken.append(STORED * size / 2**20 / (time.perf_counter() - begun))
    return taken[0], taken[1]


# --- the rounds -------------------------------------------------------------------------------


async def _append_round(engine: Engine, js: JetStreamContext, store: JetStreamStorage, turn: int) -> list[list[float]]:
    """For each line of the table what each way did."""
    for name in ("one", "two", "three"):
        await js.add_stream(api.StreamConfig(name=name, subjects=[f"{name}.*"], num_replicas=3))
    bucket = await js.create_key_value(api.KeyValueConfig("records", replicas=3))
    ways: list[Append] = [Block(engine).append, Record(engine, bucket, "two").together,
                          Record(engine, bucket, "three").apart, Relay(store).append]
    lines, first = [], 0
    for spaces, window, each in APPENDS:
        found = [0.0] * len(ways)
        for n in _order(len(ways), turn):
            found[n] = await _appended(ways[n], spaces, window, each, first)
        first += (each + 1) * window
        lines.append(found)
    return lines


async def _chunk_round(engine: Engine, js: JetStreamContext, turn: int) -> list[list[float]]:
    """The same of chunks: what each way stored, and then what each read."""
    objects = await js.create_object_store("objects", api.ObjectStoreConfig(replicas=3))
    attachments = Attachments(engine, Places("chez", 1))
    lines = []
    for line, (size, window) in enumerate(CHUNKS):
        ways = [_messages(attachments), _objects(objects, None), _objects(objects, size)]
        found = [(0.0, 0.0)] * len(ways)
        for n in _order(len(ways), turn):
            found[n] = await _stored(ways[n], size, window, line * STORED)
        lines.append([stored for stored, _ in found] + [read for _, read in found])
    return lines


def _order(ways: int, turn: int) -> list[int]:
    """Each way is first, and last, in turn."""
    return [(n + turn) % ways for n in range(ways)]


async def _round(bench: Bench, turn: int) -> tuple[list[list[float]], list[list[float]]]:
    async with three_nodes(bench) as (cluster, client):
        store = await JetStreamStorage.open(cluster.urls, shards=1, seconds=READY_SECONDS)
        try:
            engine, js = Engine(client, SECONDS), client.jetstream(timeout=SECONDS)
            return await _append_round(engine, js, store, turn), await _chunk_round(engine, js, turn)
        finally:
            await store.close()


# --- the tables -------------------------------------------------------------------------------


def _cells(rounds: Sequence[Sequence[float]]) -> str:
    """The first way's median, and behind it how many times as much each other one did, round by round."""
    times = [median(found[n] / found[0] for found in rounds) for n in range(1, len(rounds[0]))]
    return " | ".join([number(median(found[0] for found in rounds)), *(f"{one:.2f} ×" for one in times)])


def _append_table(rounds: Sequence[list[list[float]]]) -> list[str]:
    return [f"Entries of {ENTRY:,} bytes acknowledged a second; beside one conditional message, times as many:", "",
            "| spaces, entries of each | one message | a message, a record | a message each, a record | the store |",
            "|---|---:|---:|---:|---:|",
            *(f"| {spaces}, {window} | {_cells([found[line] for found in rounds])} |"
              for line, (spaces, window, _) in enumerate(APPENDS))]


def _chunk_table(rounds: Sequence[list[list[float]]]) -> list[str]:
    return [f"MiB of chunks a second, {STORED} in a round; beside a message each, times as many:", "",
            "| KiB, under way | stored | as object, by 128 KiB | in one piece | read | as object | in one piece |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(f"| {size // KIB}, {window} | {_cells([found[line][:3] for found in rounds])} | "
              f"{_cells([found[line][3:] for found in rounds])} |" for line, (size, window) in enumerate(CHUNKS))]


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True, help="Each with a cluster anew.")
def main(rounds: int) -> None:
    """Say what an append and a chunk cost as one message each, and with buckets."""
    with workplace(ROOT / "benchmarks" / ".cache", rounds, False) as bench:
        found = [asyncio.run(_round(bench, turn)) for turn in range(rounds)]
    click.echo("\n".join([*_append_table([appends for appends, _ in found]), "",
                          *_chunk_table([chunks for _, chunks in found])]))


if __name__ == "__main__":
    main()
