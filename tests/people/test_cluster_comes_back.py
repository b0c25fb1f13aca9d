"""Two connected homes on a cluster whose relays and nodes are killed: they recover by themselves, without a sync."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

import chez
from chez_relay.cluster.nodes import Cluster
from tests.home.pairing import paired
from tests.people.proxy import Proxy
from tests.people.support import ids, join
from tests.relay.clusters import needs_server
from tests.relay.support import Process, relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 120.0
"""For what was put to arrive: new leaders take ten, and pauses have doubled meanwhile."""


class Front(Proxy):
    """The one name of several relays: each connection goes to the first that takes one, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.relays: list[Process] = []
        self.led: list[str] = []
        """Where connections were led to, one after another."""
        self._turn = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to a relay that is there."""
        self._turn = 1 - self._turn
        for one in (*self.relays[self._turn:], *self.relays[:self._turn]):
            with contextlib.suppress(OSError):
                _, trial = await asyncio.open_connection(*one.name.split(":"))
                trial.close()
                self.target = one.url
                self.led.append(one.url)
                break
        await super().carry(reader, writer)


@asynccontextmanager
async def fronted(cluster: Cluster, *options: str, command: Sequence[str] = ()) -> AsyncIterator[Front]:
    """Two relays on the cluster, with options of `chez-relay serve`, behind one name."""
    front = Front()
    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(front.carry, "127.0.0.1", 0)
        stack.enter_context(closing(server))
        front.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(2):
            await stack.enter_async_context(another(cluster, front, *options, command=command))
        yield front


@asynccontextmanager
async def another(cluster: Cluster, front: Front, *options: str, command: Sequence[str] = ()) -> AsyncIterator[None]:
    """One more relay behind the name, with options of `chez-relay serve`."""
    nodes = [part for url in cluster.urls for part in ("--nats", url)]
    async with relay(None, *nodes, *options, "--name", front.name, command=command) as one:
        front.relays.append(one)
        yield


async def arrives(homes: Sequence[chez.Home], there: set[str]) -> None:
    """Wait until each home has this, and says that it is in step; nothing is done for it."""
    async with asyncio.timeout(SECONDS):
        for home in homes:
            while await ids(home) != there or not await in_step(home):  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.1)


async def in_step(home: chez.Home) -> bool:
    """Whether a home says that all is at its relay, and nothing is wrong."""
    status = await home.status()
    return status.pending == 0 and all(one.link == "synced" and not one.problem for one in (
        *status.relays, *status.spaces))


async def test_homes_go_on_by_themselves_when_relays_and_nodes_are_killed(tmp_path: Path) -> None:
    """kill -9 of the relay that one is at, of a node, and of all nodes, which come back: a put arrives each time."""
    needs_server()
    cluster = Cluster.at(tmp_path / "nodes")
    try:
        cluster.start()
        async with fronted(cluster) as front, paired(tmp_path, front.url) as (a, b):
            for home in (a, b):
                await home.set_relay(front.url)
            there: set[str] = set()

            async def put(*names: str) -> None:
                for home, name in zip((a, b), names, strict=True):
                    await home.collection("notes").put({"n": name}, id=name)
                there.update(names)

            async with a.connect(), b.connect():
                await put("a0", "b0")
                await arrives((a, b), there)
                assert len(set(front.led[-2:])) == 2  # each is at a relay of its own
                killed = next(one for one in front.relays if one.url == front.led[-1])
                await killed.kill()
                await put("a1", "b1")
                await arrives((a, b), there)
                assert front.led[-1] != killed.url
                cluster.stop("n1", number=signal.SIGKILL)
                await put("a2", "b2")
                await arrives((a, b), there)
                cluster.start("n1")
                await put("a3", "b3")
                await arrives((a, b), there)
                cluster.stop(number=signal.SIGKILL)
                await put("a4", "b4")
                await asyncio.sleep(3)  # they are sent meanwhile, and get no answer
                assert await ids(a) == there - {"b4"} and not await in_step(a)
                cluster.start()
                await arrives((a, b), there)
            async with join(a, tmp_path / "c", "c", front.url) as newcomer:
                assert await ids(newcomer) == there
    finally:
        cluster.stop()
