"""One node's disk of a cluster is damaged, and that node made to lead: what the engine loses, devices bring back."""

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


def flipped(data: bytes) -> bytes:
    """The same with one bit of its middle turned over."""
    at = len(data) // 2
    return data[:at] + bytes(one ^ 0x10 for one in data[at:at + 1]) + data[at + 1:]


def truncated(data: bytes) -> bytes:
    """Its first half."""
    return data[: len(data) // 2]


def emptied(data: bytes) -> bytes:
    """Nothing of it."""
    return b""


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


WHERE = {"the stream": "*/streams/chez_log_0/msgs/*.blk", "all blocks": "**/*.blk", "all files": "**/*.[bdi]*"}


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
@pytest.mark.parametrize(("damage", "where"), [
    pytest.param(damage, where, id=f"{damage.__name__}, {name}",
                 marks=pytest.mark.slow if number == other else pytest.mark.exhaustive)
    for number, damage in enumerate((flipped, truncated, emptied))
    for other, (name, where) in enumerate(WHERE.items())])
async def test_a_damaged_node_that_leads_loses_nothing_for_good(
        tmp_path: Path, damage: Callable[[bytes], bytes], where: str) -> None:
    """Its blocks are damaged while it is down; it comes back and leads; in the end the space is whole at the relay."""
    async with (made(tmp_path / "nodes") as (cluster, store), relay(None, *nodes(cluster)) as server,
                paired(tmp_path, server.url) as (a, b)):
        everything = await written(a, b, server.url)
        cluster.stop("n2", number=signal.SIGKILL)
        files = [path for path in (tmp_path / "nodes" / "n2" / "jetstream").glob(where) if path.is_file()]
        assert files
        for path in files:
            path.write_bytes(damage(path.read_bytes()))
        cluster.start("n2")
        assert await leads(store, "n2")
        await a.collection("notes").put({"n": 99}, id="after")
        for home in (a, b, a, b):
            await in_step(home, server.url)
        assert await ids(a) == await ids(b) == everything | {"after"}
        async with join(a, tmp_path / "c", "c", server.url) as c:
            assert await ids(c) == everything | {"after"}
