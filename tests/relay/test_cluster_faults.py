"""A real cluster that is hurt while devices append: nothing acknowledged is lost or doubled, and all go on."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.cluster.nodes import NODES, Cluster
from chez_relay.errors import StorageFailed
from chez_relay.storage.jetstream.engine import Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.jetstream.streams import record
from tests.relay.cluster_load import Load, loaded
from tests.relay.clusters import needs_server
from tests.relay.partition import Links, linked
from tests.relay.storing import create, entry
from tests.relay.support import Process, relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Scene:
    """A cluster of its own whose nodes reach each other by links, a store on it, two relays and devices at work."""

    cluster: Cluster
    links: Links
    relays: list[Process]
    store: JetStreamStorage
    load: Load

    async def leader(self) -> str:
        """The node that leads the stream of logs."""
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(Unavailable, KeyError):
                    answer = await self.store.engine.api("STREAM.INFO.chez_log_0")
                    if leader := answer["cluster"].get("leader"):
                        return str(leader)
                await asyncio.sleep(0.1)

    async def in_step(self) -> None:
        """Wait until each stream has a leader and two nodes that are in step with it."""
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(Unavailable, KeyError):
                    names = [f"chez_{kind}_0" for kind in ("log", "box", "blob")] + ["chez_store"]
                    infos = [await self.store.engine.api(f"STREAM.INFO.{name}") for name in names]
                    if all(info["cluster"].get("leader") and sum(
                            one["current"] and not one.get("offline") for one in info["cluster"]["replicas"]) == 2
                            for info in infos):
                        return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """All of it, checked at the end."""
    needs_server()
    cluster = Cluster.at(folder)
    async with linked(cluster) as links, contextlib.AsyncExitStack() as stack:
        cluster.start()
        stack.callback(cluster.stop)
        store = await JetStreamStorage.open(cluster.urls, shards=1, seconds=120)
        stack.push_async_callback(store.close)
        nodes = [part for url in cluster.urls for part in ("--nats", url)]
        relays = [await stack.enter_async_context(relay(None, *nodes)) for _ in range(2)]
        async with loaded([one.url for one in relays]) as load:
            yield Scene(cluster, links, relays, store, load)
            await load.more(100)
        known = await patiently(store.engine, lambda: record(store.engine, "chez"), 120)
        assert known is not None and known.incarnation == store.incarnation, "a relay took for lost what was not"


async def test_a_node_is_killed_and_comes_back(tmp_path: Path) -> None:
    """kill -9 of the node that leads, then of one that does not: appends go on each time, and all of it is there."""
    async with scene(tmp_path) as it:
        for leads in (True, False):
            leader = await it.leader()
            node = leader if leads else next(name for name in NODES if name != leader)
            it.cluster.stop(node, number=signal.SIGKILL)
            await it.load.more(200)
            it.cluster.start(node)
            await it.in_step()
            await it.load.more(50)


async def test_a_node_stands_still_and_goes_on(tmp_path: Path) -> None:
    """The node that leads is stopped in its tracks and released when another leads: it takes that one's word."""
    async with scene(tmp_path) as it:
        leader = await it.leader()
        it.cluster.send(leader, signal.SIGSTOP)
        await it.load.more(200)
        it.cluster.send(leader, signal.SIGCONT)
        await it.in_step()
        await it.load.more(100)


async def test_a_node_is_parted_from_the_others(tmp_path: Path) -> None:
    """The node that leads is cut off: it acknowledges nothing by itself, a relay at it asks another, it joins again."""
    async with scene(tmp_path) as it:
        leader = await it.leader()
        urls = [node.url for node in sorted(it.cluster.nodes, key=lambda node: node.name != leader)]
        there = await JetStreamStorage.open(urls, random=bytes)  # at the first of these
        it.links.cut(leader)
        (made, stored), _ = await asyncio.gather(there.perform([create(), entry(1)]), it.load.more(200))
        assert made == s.Done() and isinstance(stored, s.Stored), "a relay stayed at a node that is alone"
        await there.close()
        it.links.heal(leader)
        await it.in_step()
        await it.load.more(100)


async def test_all_nodes_restart_in_turn(tmp_path: Path) -> None:
    """An operator restarts one node after the other, waiting each time until it is in step: nobody notices for long."""
    async with scene(tmp_path) as it:
        for node in it.cluster.nodes:
            it.cluster.stop(node.name)
            await it.load.more(50)
            it.cluster.start(node.name)
            await it.in_step()


async def test_all_nodes_are_killed_at_once(tmp_path: Path) -> None:
    """kill -9 of all: what was acknowledged is there when they are back, and devices go on.

    That it would be there after a power cut, too, this does not tell: the system keeps what a killed process wrote.
    """
    async with scene(tmp_path) as it:
        for _ in range(2):
            it.cluster.stop(number=signal.SIGKILL)
            it.cluster.start()
            await it.in_step()
            await it.load.more(100)


async def test_a_relay_waits_for_a_cluster_that_starts(tmp_path: Path) -> None:
    """Two nodes of three can't hold a store: when its patience ends, a relay says so; one that waits gets in."""
    needs_server()
    cluster = Cluster.at(tmp_path)
    try:
        cluster.start("n1", "n2")
        with pytest.raises(StorageFailed, match=r"nodes .*run"):  # none answers yet, or they are too few
            await JetStreamStorage.open(cluster.urls, shards=1, seconds=0.5)
        waits = asyncio.create_task(JetStreamStorage.open(cluster.urls, shards=1, seconds=120))
        cluster.start("n3")
        store = await waits
        assert await patiently(store.engine, lambda: record(store.engine, "chez"), 60) is not None
        await store.close()
    finally:
        cluster.stop()
