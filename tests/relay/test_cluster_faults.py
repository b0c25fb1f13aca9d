"""A real cluster that is hurt while devices append: nothing acknowledged is lost or doubled, and all go on."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chez_relay.cluster.nodes import NODES, Cluster, free_ports
from chez_relay.errors import StorageFailed
from chez_relay.fanout import Growth
from chez_relay.storage.jetstream import news
from chez_relay.storage.jetstream.engine import Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.jetstream.streams import record
from tests.relay.cluster_load import SECONDS, SPACES, Load, loaded
from tests.relay.clusters import leads, needs_server, peers
from tests.relay.partition import Links, linked
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
    start: Callable[[str], Awaitable[Process]]
    """Starts a relay at an address."""

    async def restart(self, number: int) -> None:
        """Start a relay that was killed, where it was."""
        self.relays[number] = await self.start(self.relays[number].name)

    async def leader(self) -> str:
        """The node that leads the stream of logs."""
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(Unavailable, KeyError):
                    answer = await self.store.engine.api("STREAM.INFO.chez_log_0")
                    if leader := answer["cluster"].get("leader"):
                        return str(leader)
                await asyncio.sleep(0.1)

    async def node(self, *, leads: bool) -> str:
        """The node that leads that stream, or one that does not."""
        leader = await self.leader()
        return leader if leads else next(name for name in NODES if name != leader)

    async def lead(self, name: str) -> None:
        """Have a node lead that stream."""
        assert await leads(self.store, name)

    async def reached(self, one: Process) -> str:
        """The node that a relay is connected to."""
        async with asyncio.timeout(SECONDS):
            while True:
                ports = peers(one.process.pid)
                for node in self.cluster.nodes:
                    if node.client in ports:
                        return node.name
                await asyncio.sleep(0.1)  # it is on its way to another

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

        async def start(name: str) -> Process:
            return await stack.enter_async_context(relay(None, *nodes, "--listen", name))

        relays = [await start(f"127.0.0.1:{port}") for port in free_ports(2)]
        async with loaded([one.url for one in relays]) as load:
            yield Scene(cluster, links, relays, store, load, start)
            await load.more(100)
        known = await patiently(store.engine, lambda: record(store.engine, "chez"), 120)
        assert known is not None and known.incarnation == store.incarnation, "a relay took for lost what was not"


@asynccontextmanager
async def listening(urls: Sequence[str], handle: bytes) -> AsyncIterator[asyncio.Queue[int]]:
    """What a relay at the first of these nodes is told of a space's ends, which is asked nothing."""
    ends: asyncio.Queue[int] = asyncio.Queue()

    def grown(growth: Growth) -> None:
        for page in growth.spaces.values():
            ends.put_nowait(page.end)

    store = await JetStreamStorage.open(urls, random=bytes)  # bytes: it takes them in this order
    hearing = asyncio.create_task(store.hear(grown))
    store.follow(handle)
    try:
        await ends.get()
        yield ends
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await store.close()


async def test_a_node_is_killed_and_comes_back(tmp_path: Path) -> None:
    """kill -9 of the node that leads, then of one that does not: appends go on each time, and all of it is there."""
    async with scene(tmp_path) as it:
        for leads in (True, False):
            node = await it.node(leads=leads)
            it.cluster.stop(node, number=signal.SIGKILL)
            await it.load.more(200)
            it.cluster.start(node)
            await it.in_step()
            await it.load.more(50)


async def test_a_relay_is_killed_and_comes_back(tmp_path: Path) -> None:
    """kill -9 of one relay, then of the other: devices go on at the one that is left, and at one that came back."""
    async with scene(tmp_path) as it:
        for number in (0, 1):
            await it.relays[number].kill()
            await it.load.more(200)
            await it.restart(number)


async def test_a_relay_and_a_node_are_killed_together(tmp_path: Path) -> None:
    """kill -9 of one relay and of the node that leads, at once: what is left of both goes on, and both come back."""
    async with scene(tmp_path) as it:
        leader = await it.leader()
        await asyncio.gather(it.relays[0].kill(), asyncio.to_thread(it.cluster.stop, leader, number=signal.SIGKILL))
        await it.load.more(200)
        it.cluster.start(leader)
        await it.restart(0)  # while that node is on its way
        await it.relays[1].kill()
        await it.load.more(100)
        await it.restart(1)
        await it.in_step()


async def test_a_node_stands_still_and_goes_on(tmp_path: Path) -> None:
    """One that leads is stopped in its tracks and released when another leads: it takes that one's word; then another.
    """
    async with scene(tmp_path) as it:
        for leads in (True, False):
            node = await it.node(leads=leads)
            it.cluster.send(node, signal.SIGSTOP)
            await it.load.more(200)
            it.cluster.send(node, signal.SIGCONT)
            await it.in_step()
            await it.load.more(100)


@pytest.mark.exhaustive
async def test_a_node_stands_still_while_others_are_killed(tmp_path: Path) -> None:
    """The one that led stands still, who leads then is killed: without a quorum nothing is acknowledged.

    When that one is back and yet another is killed, the first is released: what it knows nothing of holds.
    """
    async with scene(tmp_path) as it:
        still = await it.leader()
        it.cluster.send(still, signal.SIGSTOP)
        await it.load.more(100)
        second = await it.leader()
        it.cluster.stop(second, number=signal.SIGKILL)
        await asyncio.sleep(2)  # for answers that are on their way
        before = len(it.load.acknowledged)
        await asyncio.sleep(2)
        assert len(it.load.acknowledged) == before, "acknowledged without a quorum"
        it.cluster.start(second)
        await it.load.more(100)
        third = await it.leader()
        it.cluster.stop(third, number=signal.SIGKILL)
        it.cluster.send(still, signal.SIGCONT)
        await it.load.more(100)
        it.cluster.start(third)
        await it.in_step()


@pytest.mark.parametrize("leading", [
    pytest.param(True, id="leads"), pytest.param(False, id="does not lead", marks=pytest.mark.exhaustive)])
async def test_a_node_is_parted_from_the_others(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leading: bool) -> None:
    """A node with relays is cut off: who is asked something there asks another node, and who only listens finds out.

    Then the node joins again.
    """
    monkeypatch.setattr(news, "LOOK_SECONDS", 1.0)
    async with scene(tmp_path) as it:
        node = await it.reached(it.relays[0])
        await it.lead(node if leading else next(name for name in NODES if name != node))
        urls = [one.url for one in sorted(it.cluster.nodes, key=lambda one: one.name != node)]
        async with listening(urls, SPACES[0].handle) as ends:
            it.links.cut(node)
            await it.load.more(200)
            assert await it.reached(it.relays[0]) != node, "a relay stayed at a node that is alone"
            end = it.load.ends[SPACES[0].handle]
            async with asyncio.timeout(SECONDS):
                while await ends.get() < end:
                    pass
        it.links.heal(node)
        await it.in_step()


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
