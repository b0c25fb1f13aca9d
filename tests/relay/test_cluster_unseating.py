"""The node that leads has a damaged disk, and lacks what the others have: nothing is lost, and another one leads.

The cluster is one in memory; test_damaged_cluster.py damages the disk of a real node.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chez_relay import storage as s
from chez_relay.storage.jetstream import log, spaces
from chez_relay.storage.jetstream import store as store_module
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.relay.conftest import modelled
from tests.relay.modelled import Fate, Modelled
from tests.relay.storing import READ, SPACE, create, drop, entry, table
from tests.relay.test_cluster_drops import before_next

LOG = "chez_log_0"


@asynccontextmanager
async def opened(cluster: Modelled) -> AsyncIterator[JetStreamStorage]:
    """A relay's store."""
    store = await JetStreamStorage.open(cluster.urls, shards=1)
    yield store
    await store.close()


def blocks(cluster: Modelled) -> list[int]:
    """The sequences of a space's blocks."""
    return cluster.streams[LOG].under("chez.log.0.s.*")


async def entries(store: JetStreamStorage) -> list[int]:
    """The offsets that a reader is told."""
    (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 1 << 20, READ)])
    assert isinstance(page, s.Page) and page.end == len(page.entries)
    return [one.offset for one in page.entries]


@pytest.mark.parametrize(("lost", "saw"), [
    pytest.param(slice(-1, None), True, id="the last block, which the relay saw"),
    pytest.param(slice(None), True, id="all that the relay saw"),
    pytest.param(slice(None), False, id="all, and the relay saw nothing"),
    pytest.param(slice(2, 4), True, id="some that the relay saw"),
    pytest.param(slice(2, 4), False, id="some, and the relay saw nothing"),
])
async def test_what_the_leader_lacks_and_others_have_is_not_lost(
        monkeypatch: pytest.MonkeyPatch, lost: slice, saw: bool) -> None:
    """A space is read on and written on, and made once more it stays as it is; a node leads that has all of it."""
    cluster = modelled(monkeypatch)
    async with opened(cluster) as first:
        assert await put(first, [create(), *map(entry, range(6))]) == list(range(1, 7))
        async with opened(cluster) as fresh:
            store = first if saw else fresh
            cluster.lacking[LOG] = set(blocks(cluster)[lost])
            assert await put(store, [create()]) == [] and await entries(store) == list(range(1, 7))
            assert await put(store, [*map(entry, range(8))]) == list(range(1, 9))
            assert LOG not in cluster.lacking, "it leads on"
            assert await entries(first) == await entries(fresh) == list(range(1, 9))
            assert first.incarnation == fresh.incarnation


@pytest.mark.parametrize("asked", [
    entry(6), s.ReadPage(SPACE.handle, 0, 1 << 20, READ), s.ReadUsage(SPACE.handle, READ)])
@pytest.mark.parametrize("lost", [slice(-1, None), slice(-3, None)])
async def test_a_leader_that_lacks_the_last_blocks_is_believed_by_no_relay_that_is_new(
        monkeypatch: pytest.MonkeyPatch, asked: s.Request, lost: slice) -> None:
    """What it has is whole by itself: written on, the space would have two ends, and what devices heard acknowledged
    would be gone. The first thing that the relay is asked for looks further."""
    cluster = modelled(monkeypatch)
    async with opened(cluster) as first, opened(cluster) as fresh:
        assert await put(first, [create(), *map(entry, range(6))]) == list(range(1, 7))
        (right,) = await first.perform([asked]) if isinstance(asked, s.ReadPage | s.ReadUsage) else [None]
        cluster.lacking[LOG] = set(blocks(cluster)[lost])
        (found,) = await fresh.perform([asked])
        assert found == right or (isinstance(found, s.Stored) and found.offset == 7)
        assert LOG not in cluster.lacking and await entries(fresh) == await entries(first)
        assert first.incarnation == fresh.incarnation


@pytest.mark.parametrize("told", ["drops", "record", "index"])
async def test_a_block_that_alone_tells_something_is_taken_from_who_has_it(
        monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """What was dropped, the packets, an index: the leader lacks the one block that says it. Nothing is laid anew."""
    for module in (log, spaces):
        monkeypatch.setattr(module, "INDEX_EVERY", 4)
    cluster = modelled(monkeypatch)
    async with opened(cluster) as first, opened(cluster) as fresh:
        (_, *stored) = await first.perform([create(2), *map(entry, range(6))])
        head = [one.head for one in stored if isinstance(one, s.Stored)][1]
        assert await first.perform([drop([s.Dropped(1, 2, head)])]) == [s.Done()]
        state = await first.spaces.known(SPACE.handle)
        assert state is not None and getattr(state, told) != 0
        await first.perform([entry(6)])  # what tells it is then not the last block, which every relay reads
        cluster.lacking[LOG] = {getattr(state, told)}
        assert await entries(fresh) == list(range(1, 8))
        assert await fresh.perform([s.ReadPacket(SPACE.handle, table(2)[0].tag)]) == [s.PacketData(table(2)[0].box)]
        assert [getattr(one, "offset", one) for one in await fresh.perform([entry(0), entry(7)])] == [1, 8]
        assert await fresh.perform([s.FindChunks(SPACE.handle, (), READ)]) == [
            s.FoundChunks((), drop([s.Dropped(1, 2, head)]).drop)]
        assert first.incarnation == fresh.incarnation and LOG not in cluster.lacking, "it leads on"


async def test_a_leader_that_removed_what_another_relay_replaced_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped is told anew just while it is read, and a node that is behind has the former block yet."""
    cluster = Modelled(remembered=8)
    monkeypatch.setattr(store_module, "dial", cluster.dial)
    unseated: list[str] = []
    cluster.fate = lambda _, subject: Fate(behind=3 if "DIRECT" in subject else 0)
    async with opened(cluster) as first, opened(cluster) as fresh:
        (_, *stored) = await first.perform([create(), *map(entry, range(6))])
        heads = [one.head for one in stored if isinstance(one, s.Stored)]
        one = drop([s.Dropped(1, 2, heads[1])])
        assert await first.perform([one]) == [s.Done()]
        await first.perform([entry(6)])

        async def meanwhile() -> None:
            assert await first.perform([drop([s.Dropped(3, 4, heads[3])], follows=one.drop)]) == [s.Done()]

        async def unseat(stream: str) -> None:
            unseated.append(stream)

        monkeypatch.setattr(fresh.engine, "unseat", unseat)
        async with before_next(fresh, "at", meanwhile, monkeypatch):
            (page,) = await fresh.perform([s.ReadPage(SPACE.handle, 0, 1 << 20, READ)])
        assert isinstance(page, s.Page) and len(page.entries) == 7 and not unseated


async def put(store: JetStreamStorage, requests: Sequence[s.Request]) -> list[int]:
    """The offsets of what is stored by requests of their own, each of which makes a block."""
    found: list[int] = []
    for one in requests:
        (result,) = await store.perform([one])
        assert isinstance(result, s.Done | s.Stored), result
        if isinstance(result, s.Stored):
            found.append(result.offset)
    return found
