"""One node's disk of a cluster is damaged, and that node made to lead: what the engine loses, devices bring back."""

import base64
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import chez
from chez.errors import RelayUnreachable
from chez_relay.cluster.nodes import Cluster
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.home.pairing import paired
from tests.people.support import ids, join
from tests.relay.clusters import cluster, leads, lose, messages, needs_server
from tests.relay.clusters import emptied as emptied_store
from tests.relay.support import relay

__all__ = ("cluster",)


PLACES = 5
"""Of one file that are damaged."""

KILLED, ENDED = signal.SIGKILL, signal.SIGTERM
"""How a node ends: one that is killed reads its files when it starts, another one believes the index that it wrote."""

WHERE = {"the stream": "*/streams/chez_log_0/msgs/*.blk", "all blocks": "**/*.blk", "all files": "**/*.[bdi]*"}

RECORDS, RECORD_BYTES = 112, 150_000
"""Of a long log: its blocks take more than two files of 8 MiB, the most that JetStream makes them."""


def flipped(data: bytes) -> bytes:
    """The same with one bit of its middle turned over."""
    at = len(data) // 2
    return data[:at] + bytes(one ^ 0x10 for one in data[at:at + 1]) + data[at + 1:]


def riddled(data: bytes) -> bytes:
    """The same with one bit turned over in each of several places."""
    made = bytearray(data)
    for number in range(PLACES if data else 0):
        made[len(data) * (2 * number + 1) // (2 * PLACES)] ^= 0x10
    return bytes(made)


def truncated(data: bytes) -> bytes:
    """Its first half."""
    return data[: len(data) // 2]


def emptied(data: bytes) -> bytes:
    """Nothing of it."""
    return b""


LED = ((KILLED, ("the stream", "all blocks", "all files")), (ENDED, ("the stream", "all blocks")))
"""What may be damaged so that a node still comes to lead: where its index is damaged, too, it does not catch up."""

SHOWN = ((KILLED, truncated, "all blocks"), (KILLED, emptied, "all files"), (ENDED, flipped, "the stream"))
"""What CI has time for, of small logs."""


@asynccontextmanager
async def made(folder: Path) -> AsyncIterator[tuple[Cluster, JetStreamStorage]]:
    """A cluster of this test's own, with an empty store."""
    needs_server()
    cluster = Cluster.at(folder)
    cluster.start()
    try:
        store = await JetStreamStorage.open(cluster.urls, shards=1)
        try:
            yield cluster, store
        finally:
            await store.close()
    finally:
        cluster.stop()


def nodes(cluster: Cluster) -> list[str]:
    """The options of a relay on a cluster."""
    return [part for url in cluster.urls for part in ("--nats", url)]


async def in_step(home: chez.Home, url: str) -> None:
    """Sync. A relay parts from its devices when its store turns out to have lost something: then once more."""
    for _ in range(3):
        with suppress(RelayUnreachable):
            await home.sync(url)
            return
    await home.sync(url)


async def written(a: chez.Home, b: chez.Home, url: str) -> set[str]:
    """Both devices put records and sync, in turn, and have all of them; the ids."""
    for number in range(8):
        for home, name in ((a, "a"), (b, "b")):
            await home.collection("notes").put({"n": number}, id=f"{name}{number}")
            await home.sync(url)
    await a.sync(url)
    return {f"{name}{number}" for name in "ab" for number in range(8)}


async def written_at_length(a: chez.Home, b: chez.Home, url: str) -> set[str]:
    """The same with large records."""
    names = [f"{name}{number}" for number in range(RECORDS // 2) for name in "ab"]
    for name in names:
        text = base64.b64encode(random.randbytes(RECORD_BYTES)).decode()
        await (a if name[0] == "a" else b).collection("notes").put({"text": text}, id=name)
    for home in (a, b, a):
        await home.sync(url)
    return set(names)


async def damage(cluster: Cluster, store: JetStreamStorage, how: signal.Signals, act: Callable[[bytes], bytes],
                 where: str) -> None:
    """Damage the files of a node while it is down, and have it lead."""
    cluster.stop("n2", number=how)
    files = [path for path in (cluster.folder / "n2" / "jetstream").glob(where) if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(act(path.read_bytes()))
    cluster.start("n2")
    assert await leads(store, "n2")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [slice(-12, -11), slice(-4, None), slice(-14, -6)], ids=["one", "the last", "many"])
async def test_what_the_engine_lost_devices_bring_back(cluster: Cluster, tmp_path: Path, lost: slice) -> None:
    """Blocks are gone from every node: the relay hands out nothing that does not chain, devices notice and re-seed."""
    async with (emptied_store(cluster) as store, relay(None, *nodes(cluster)) as server,
                paired(tmp_path, server.url) as (a, b), join(a, tmp_path / "c", "c", server.url) as away):
        everything = await written(a, b, server.url)
        found = await messages(store, "chez.log.0.s.*")
        assert len(found) > 20
        await lose(cluster, store, found[lost])
        for home in (away, a, b, a, b, away):
            await in_step(home, server.url)
        assert await ids(a) == await ids(b) == await ids(away) == everything
        async with join(a, tmp_path / "d", "d", server.url) as new:
            assert await ids(new) == everything


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("how", "act", "where"), [
    pytest.param(how, act, WHERE[where], id=f"{how.name}, {act.__name__}, {where}",
                 marks=pytest.mark.slow if (how, act, where) in SHOWN else pytest.mark.exhaustive)
    for how, places in LED for act in (flipped, truncated, emptied) for where in places])
async def test_a_damaged_node_that_leads_loses_nothing_for_good(
        tmp_path: Path, how: signal.Signals, act: Callable[[bytes], bytes], where: str) -> None:
    """Its blocks are damaged while it is down; it comes back and leads; in the end the space is whole at the relay."""
    async with (made(tmp_path / "nodes") as (cluster, store), relay(None, *nodes(cluster)) as server,
                paired(tmp_path, server.url) as (a, b)):
        everything = await written(a, b, server.url)
        await damage(cluster, store, how, act, where)
        await a.collection("notes").put({"n": 99}, id="after")
        for home in (a, b, a, b):
            await in_step(home, server.url)
        assert await ids(a) == await ids(b) == everything | {"after"}
        async with join(a, tmp_path / "c", "c", server.url) as c:
            assert await ids(c) == everything | {"after"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("how", "act", "where"), [
    pytest.param(KILLED, flipped, "*/streams/chez_log_0/msgs/1.blk", id="killed, one bit of an old file"),
    pytest.param(ENDED, riddled, "**/*.blk", id="ended, bits of all blocks"),
])
@pytest.mark.slow
async def test_of_a_long_log_a_damaged_node_that_leads_loses_nothing_for_good(
        tmp_path: Path, how: signal.Signals, act: Callable[[bytes], bytes], where: str) -> None:
    """Some bits of files of 8 MB are turned over: who was away reads all of it, and so does who is new."""
    async with (made(tmp_path / "nodes") as (cluster, store), relay(None, *nodes(cluster)) as server,
                paired(tmp_path, server.url) as (a, b), join(a, tmp_path / "c", "c", server.url) as away):
        everything = await written_at_length(a, b, server.url)
        files = list((cluster.folder / "n2" / "jetstream").glob(WHERE["the stream"]))
        assert len(files) > 2
        await damage(cluster, store, how, act, where)
        await a.collection("notes").put({"n": 99}, id="after")
        for home in (away, a, b, a, b, away):
            await in_step(home, server.url)
        assert await ids(a) == await ids(b) == await ids(away) == everything | {"after"}
        async with join(a, tmp_path / "d", "d", server.url) as new:
            assert await ids(new) == everything | {"after"}
