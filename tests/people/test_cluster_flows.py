"""Checkpoints, attachments and removals on a cluster, of which a relay or a node is killed in the middle of each."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.blobs.transfer import AHEAD
from chez.errors import BlobMissing, ChezError, RelayRefused, RelayUnreachable
from chez.keys.epochs import Epoch
from chez.store.database import Connection
from chez.sync.checkpoints.desk import Desk
from chez.sync.checkpoints.errands import Errand
from chez.sync.connection import connect
from chez.sync.entry import unseal
from chez_relay.cluster.nodes import NODES, Cluster
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_wire.envelope import Header
from chez_wire.login import Role
from tests.blobs.support import CHUNK, content, read
from tests.checkpoints.test_homes import shown, written
from tests.home.pairing import paired
from tests.people.hasty import HASTY, IN_A_SECOND
from tests.people.persons import persons, shared, values
from tests.people.support import join, open_again
from tests.people.test_cluster_comes_back import SECONDS, Front, another, fronted
from tests.relay.clusters import needs_server
from tests.relay.support import Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHUNKS = 24
"""Of the attachment: 12 MiB."""


@asynccontextmanager
async def running(folder: Path, *options: str, **more: Any) -> AsyncIterator[tuple[Cluster, Front]]:
    """A cluster of this test's own, and two relays on it behind one name; all spaces are in the same streams."""
    needs_server()
    cluster = Cluster.at(folder)
    try:
        cluster.start()
        async with fronted(cluster, "--set", "cluster.shards=1", *options, **more) as front:
            yield cluster, front
    finally:
        cluster.stop(number=signal.SIGKILL)


async def leader(cluster: Cluster, kind: str) -> str:
    """The node that leads the stream of logs, or of attachments, now."""
    store = await JetStreamStorage.open(cluster.urls)
    try:
        name: str = (await store.engine.api(f"STREAM.INFO.chez_{kind}_0"))["cluster"]["leader"]
        return name
    finally:
        await store.close()


def last_reached(front: Front) -> Process:
    """The relay that the last connection was led to."""
    return next(one for one in front.relays if one.url == front.led[-1])


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so."""
    async with asyncio.timeout(SECONDS):
        while not await reached():  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0.1)


def as_it_asks(monkeypatch: pytest.MonkeyPatch, acts: dict[str, Callable[[], object]]) -> None:
    """Do this, each once, when a home of this process is about to ask its relay for what is so called."""
    plain, loop = Desk.step, asyncio.get_running_loop()

    def step(desk: Desk, db: Connection) -> Errand:
        errand = plain(desk, db)
        if (act := acts.pop(type(errand).__name__, None)) is not None:
            loop.call_soon_threadsafe(act)
        return errand

    monkeypatch.setattr(Desk, "step", step)


async def test_a_checkpoint_is_made_and_dropped_on_while_a_relay_and_a_node_are_killed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maker's relay as it sends segments, the node that leads as it asks for the drop: the room is given back,
    and who comes anew, who was away and wrote meanwhile, and who went on have the same."""
    async with (running(tmp_path / "nodes", *IN_A_SECOND, command=HASTY) as (cluster, front),
                paired(tmp_path, front.url) as (a, b)):
        for home in (a, b):
            await home.set_relay(front.url)
        async with join(a, tmp_path / "away", "away", front.url) as away:
            await written(away.space(), "away", 4)
        for _ in range(12):
            for home, name in ((a, "a"), (b, "b")):
                await written(home.space(), name, 4)
                await home.sync()
        before, leads = (await a.space().usage()).entries, await leader(cluster, "log")
        async with b.connect(), a.connect() as link:
            await link.synced(SECONDS)
            makers = last_reached(front)
            acts: dict[str, Callable[[], object]] = {
                "Put": makers.process.kill, "Drop": lambda: cluster.send(leads, signal.SIGKILL)}
            as_it_asks(monkeypatch, acts)
            making = asyncio.create_task(a.space().checkpoint())
            await written(b.space(), "meanwhile", 4)
            done = await making
            assert done is not None and done.vouched and done.dropped and not acts
            assert front.led[-1] != makers.url and cluster.process(leads) is None

            await until(lambda: takes_less(a.space(), before * 2 // 3))
        await written(a.space(), "later", 4)
        await a.sync()
        async with join(a, tmp_path / "new", "new", front.url) as new, open_again(tmp_path / "away") as away:
            for home in (away, a, b, new):
                await home.sync()
            everything = await shown(a.space())
            assert len(everything) == 20
            for home in (b, new, away):
                assert await shown(home.space()) == everything
                assert await home.audit() == []
                assert "entries-missing" not in {receipt.kind for receipt in await home.journal.receipts()}


async def takes_less(space: chez.Space, than: int) -> bool:
    """Whether the entries of a space take less than so many bytes at its relay, which may have no answer yet."""
    with suppress(RelayRefused):
        return (await space.usage()).entries < than
    return False


async def test_an_attachment_whose_relay_and_node_are_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """The relay that it goes to is killed in the middle: what was there is not sent again. Another device, which has a
    part of it, reads it while its relay is killed, and the node that leads: nothing that came is fetched again."""
    data = content(CHUNKS * CHUNK)
    async with (running(tmp_path / "nodes") as (cluster, front), paired(tmp_path, front.url) as (a, b)):
        for home in (a, b):
            await home.set_relay(front.url)
        blob = await a.blobs.add(data, name="film")
        await a.collection("notes").put({"film": blob}, id="film")
        begun = front.carried
        sending = asyncio.create_task(a.sync())
        while front.carried - begun < CHUNKS // 2 * CHUNK:  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0.001)
        await last_reached(front).kill()
        with pytest.raises(RelayUnreachable):
            await sending
        assert (await a.status()).attachments == 1
        await a.sync()
        assert (await a.status()).attachments == 0 and (await a.blobs.info(blob)).at_relay
        assert carried(front, begun) < CHUNKS + AHEAD + 1
        await b.sync()
        begun, got = front.carried, bytearray()
        found = (await b.collection("notes").get("film")).value["film"]
        assert await read(b, found, CHUNK + 1, 3 * CHUNK) == data[CHUNK + 1 : 3 * CHUNK]
        async with another(cluster, front):
            leads = await leader(cluster, "blob")
            while len(got) < len(data):
                with suppress(BlobMissing):  # where the next relay that it came to was just killed as well
                    async for part in b.blobs.read(found, len(got)):
                        got += part
                        if len(got) == CHUNKS // 4 * CHUNK:
                            await last_reached(front).kill()
                        if len(got) == CHUNKS // 2 * CHUNK:
                            cluster.send(leads, signal.SIGKILL)
        assert got == data and (await b.blobs.info(found)).complete and cluster.process(leads) is None
        assert carried(front, begun) < CHUNKS + AHEAD + 1


def carried(front: Front, begun: int) -> float:
    """How many chunks' bytes went by since then, both ways."""
    return (front.carried - begun) / CHUNK


async def test_who_is_removed_while_a_node_is_down_gets_nothing_new(tmp_path: Path) -> None:
    """The node that leads is killed as a device is taken out, and a member of another space; it comes back, and another
    one is killed. No relay lets in by the credentials of before, at any time; the others go on, without a sync."""
    async with (running(tmp_path / "nodes") as (cluster, front), paired(tmp_path, front.url) as (a, b),
                persons(tmp_path, "berta", relay=front.url) as (berta,)):
        for home in (a, b):
            await home.set_relay(front.url)
        trip = await a.create_space("Trip")
        (hers,) = await shared(trip, a, berta)
        async with join(a, tmp_path / "c", "c", front.url) as c:
            await b.sync()
            mine, others, there = (a.space(), trip), (b.space(), b.space("Trip")), set[str]()

            async def arrives(name: str, writing: Sequence[chez.Space], *more: chez.Space) -> None:
                """What is written in both spaces by one device comes to all others, and to these."""
                there.add(name)
                for space in writing:
                    await space.collection("notes").put({"n": 1}, id=name)
                await until(lambda: have((*mine, *others, *more), there))

            async with a.connect(), b.connect(), c.connect(), berta.connect():
                await arrives("before", mine, c.space(), hers)
                before = [(space._held.space.handle, space._held.space.epoch) for space in (c.space(), hers)]
                leads = await leader(cluster, "log")
                cluster.send(leads, signal.SIGKILL)
                await trip.remove("berta")
                await a.devices.remove("c")
                await arrives("after", mine)  # who has not heard of it writes for all that there were
                await until(lambda: out(c.space(), hers))
                await turned_away(front, before)
                cluster.start(leads)
                cluster.stop(next(name for name in NODES if name != leads), number=signal.SIGKILL)
                await turned_away(front, before)
                await arrives("later", others)
                await turned_away(front, before)
            assert await have((c.space(), hers), {"before"})
            for space, removed in zip(mine, (c.space(), hers), strict=True):
                held = removed._held.space.epochs
                new = [one for one in await log(front, space) if Header.decode(one).epoch not in held]
                assert new, "what was written after the removal is under another epoch"
                for one in new:
                    with pytest.raises(ChezError):
                        unseal(one, space._held.space.handle, held)


async def have(spaces: Sequence[chez.Space], there: set[str]) -> bool:
    """Whether these notes, and no others, are in each space."""
    return all([set(await values(space)) == there for space in spaces])


async def out(*spaces: chez.Space) -> bool:
    """Whether each has heard that it is no part of its space any more."""
    return all(space.status().removed for space in spaces)


async def turned_away(front: Front, before: Sequence[tuple[bytes, Epoch]]) -> None:
    """Both relays let nobody in by these credentials, also while the cluster gives them no answer."""
    for handle, epoch in before:
        claims = [(handle, role, key) for role, key in (
            (Role.READ, epoch.read), (Role.APPEND, epoch.append), (Role.CONTROL, epoch.control)) if key]
        told = dict[str, set[str]]()
        while len(told) < len(front.relays) or set.union(*told.values()) > {"denied"}:
            async with connect(front.url) as device:
                told[front.led[-1]] = {one.error for one in await device.open(claims)}
            assert set.union(*told.values()) <= {"denied", "storage"}


async def log(front: Front, space: chez.Space) -> list[bytes]:
    """All entries of a space, sealed, as a relay hands them out to its members."""
    handle, found = space._held.space.handle, list[bytes]()
    async with connect(front.url) as device:
        assert [one.error for one in await device.open([(handle, Role.READ, space._held.space.epoch.read)])] == [""]
        while True:
            page = await device.read(handle, len(found))
            found += [one.envelope for one in page.entries]
            if len(found) == page.end:
                return found
