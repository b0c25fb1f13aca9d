"""What a cluster is left with by relays that are killed, or unheard, in the middle."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.jetstream import due, log, mending, spaces
from chez_relay.storage.jetstream.blocks import decode_block
from chez_relay.storage.jetstream.engine import Kept, Unavailable
from chez_relay.storage.jetstream.store import BEGUN, JetStreamStorage
from tests.relay.clusters import Reached, emptied, lose, messages
from tests.relay.modelled import NO_LEADER
from tests.relay.storing import CONTROL, QUOTAS, READ, SPACE, Clock, chunk, codes, create, drop, entry
from tests.relay.test_cluster_chunks import is_log, lose_answer
from tests.relay.test_cluster_drops import rotation

LOG = f"chez.log.0.s.{SPACE.handle.hex()}"


class KilledError(Exception):
    """A relay is gone."""


async def kept(store: JetStreamStorage) -> list[int]:
    """The offsets that the blocks on the cluster have, whether anybody is shown them or not."""
    blocks = [decode_block(one.data, one.seq) for one in await messages(store, LOG)]
    return [block.first + n for block in blocks if block is not None for n in range(len(block.envelopes))]


async def appended(store: s.Storage, count: int, size: int = 200) -> list[bytes]:
    """The space with so many entries, each in a block of its own; the heads after each."""
    await store.perform([create()])
    results = [(await store.perform([entry(number, size)]))[0] for number in range(count)]
    return [one.head for one in results if isinstance(one, s.Stored)]


@pytest.mark.parametrize(("last", "left"), [(2, [1, 2, 3, 4]), (3, [4])])
async def test_dropped_entries_that_came_with_packets_go_with_them(
        cluster: Reached, last: int, left: list[int]) -> None:
    """Their block told the packets yet when they were dropped: it stayed for ever, as what replaces packets took it for
    one of entries that are there. One that has such an entry stays."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        _, *stored = await store.perform([create(1), *(entry(number, 150) for number in range(3))])
        await store.perform([entry(3, 150)])
        heads = [one.head for one in stored if isinstance(one, s.Stored)]
        assert await store.perform([drop([s.Dropped(1, last, heads[last - 1])])]) == [s.Done()]
        clock.now += QUOTAS.grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await kept(store) == [1, 2, 3, 4]
        space, request = rotation(1, 1, SPACE.keys.admin, READ)
        assert await store.perform([request]) == [s.Done()]
        assert await kept(store) == left
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, space.keys.read)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == list(range(last + 1, 5))


async def test_a_block_with_an_index_stays_when_its_entries_go(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that never saw the space knows by it which entries are there: without it the log would be laid anew."""
    for module in (log, spaces):
        monkeypatch.setattr(module, "INDEX_EVERY", 4)
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        ends = await appended(store, 6)
        assert await store.perform([drop([s.Dropped(1, 5, ends[4])])]) == [s.Done()]
        clock.now += QUOTAS.grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await kept(store) == [4, 6]
        fresh = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        assert await fresh.perform([entry(5, 200)]) == [s.Stored(6, ends[5], fresh=False)]
        assert fresh.incarnation == store.incarnation
        await fresh.close()


@pytest.mark.parametrize("killed", [KilledError, Unavailable])
@pytest.mark.parametrize("then", ["nothing", "another drop"])
async def test_what_was_told_dropped_and_not_yet_removed_goes_with_the_next_round(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, killed: type[Exception], then: str) -> None:
    """A relay is killed, or its stream has no leader, just after it told what was dropped: no quota counts that, so it
    would lie there for ever. Another one removes it, also where the space drops again meanwhile."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        ends = await appended(store, 6)
        first = drop([s.Dropped(1, 2, ends[1]), s.Dropped(4, 4, ends[3])], voucher=CONTROL)
        assert await store.perform([first]) == [s.Done()]
        clock.now += QUOTAS.grace

        async def gone(*_: Any) -> None:
            raise killed

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "delete", gone)
            with suppress(KilledError):
                await store.perform([s.Expire()])
        assert await kept(other) == [1, 2, 3, 4, 5, 6]
        if then == "another drop":
            assert await other.perform([drop([s.Dropped(5, 5, ends[4])], (), first.drop)]) == [s.Done()]
        clock.now += BEGUN - 1
        if then == "nothing":  # it may be at it yet
            assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
            assert await kept(other) == [1, 2, 3, 4, 5, 6]
        clock.now += 1
        left = [3, 5, 6] if then == "nothing" else [3, 6]
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await kept(other) == left
        (page,) = await other.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and page.head == ends[-1] and [one.offset for one in page.entries] == left
        await other.close()


@pytest.mark.parametrize(("ends", "asked"), [("the space", "STREAM.PURGE"), ("the chunk", "STREAM.MSG.DELETE")])
async def test_what_a_stream_without_a_leader_did_not_remove_goes_with_the_next_round(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, ends: str, asked: str) -> None:
    """It answers that it has none, as a cluster does that lost two nodes: that is no word of something being removed.
    Taken for one, a chunk stayed for ever, and counted for nothing where its space did not end."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        await store.perform([create(), chunk(1), drop([], [chunk(1)])])
        if ends == "the space":
            await store.perform([s.DropSpace(SPACE.handle, SPACE.keys.admin)])
        clock.now += QUOTAS.grace
        plain = store.engine.api

        async def leaderless(name: str, wanted: object = None) -> dict[str, Any]:
            return {"error": NO_LEADER} if name == f"{asked}.chez_blob_0" else await plain(name, wanted)

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "api", leaderless)
            assert codes(await store.perform([s.Expire()])) == [Code.STORAGE]
        there = len(await messages(store, f"chez.blob.0.{SPACE.handle.hex()}.>"))
        assert there == 1 and await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await messages(store, f"chez.blob.0.{SPACE.handle.hex()}.>") == []
        if ends == "the chunk":
            (used,) = await store.perform([s.ReadUsage(SPACE.handle, READ)])
            assert isinstance(used, s.SpaceUsage) and used.chunks.bytes == 0


@pytest.mark.parametrize("through", ["another relay", "the same"])
async def test_a_removal_that_another_write_came_before_leaves_no_word_of_it(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    """A relay says that it removes before it does; where the space is dropped from again just then, it begins anew,
    and takes back what it said. The other drop stays, and goes in its time."""
    clock, begun = Clock(), f"chez.log.0.begun.{SPACE.handle.hex()}"
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        ends = await appended(store, 4)
        first = drop([s.Dropped(2, 2, ends[1])], voucher=CONTROL)
        assert await store.perform([first]) == [s.Done()]
        clock.now += QUOTAS.grace
        plain, said = store.engine.publish, list[int]()

        async def publish(subject: str, data: bytes, **options: Any) -> int:
            seq = await plain(subject, data, **options)
            if subject == begun:
                said.append(seq)
                if len(said) == 1:
                    by = other if through == "another relay" else store
                    assert await by.perform([drop([s.Dropped(4, 4, ends[3])], (), first.drop)]) == [s.Done()]
            return seq

        monkeypatch.setattr(store.engine, "publish", publish)
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert len(said) == 2 and await messages(store, begun) == [] and await kept(other) == [1, 3, 4]
        clock.now += QUOTAS.grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await kept(other) == [1, 3]
        await other.close()


async def test_what_is_more_than_a_slice_is_dropped_in_several(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round drops some, says that there is more, and begins where the one before ended: nothing is passed over."""
    monkeypatch.setattr(due, "SLICE_BYTES", 300)
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        ends = await appended(store, 6)
        ranges = [s.Dropped(1, 2, ends[1]), s.Dropped(4, 4, ends[3]), s.Dropped(5, 5, ends[4])]
        assert await store.perform([drop(ranges)]) == [s.Done()]
        clock.now += QUOTAS.grace
        rounds = [(await store.perform([s.Expire()]))[0] for _ in range(3)]
        assert rounds[0] == s.Expired(more=True) and rounds[-1] == s.Expired(more=False)
        page, used = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ), s.ReadUsage(SPACE.handle, READ)])
        assert isinstance(page, s.Page) and [(one.first, one.last) for one in page.dropped] == [(1, 2), (4, 5)]
        assert isinstance(used, s.SpaceUsage) and used.entries.bytes == 400 and await kept(store) == [3, 6]


@pytest.mark.parametrize("answered", ["not", "unheard"])
@pytest.mark.parametrize("block", [1, 2])
async def test_a_log_that_is_laid_anew_in_part_is_another_store(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, block: int, answered: str) -> None:
    """A leader falls while a damaged log is laid anew: what there is of it has other heads, and devices must not take
    the relay for one that forges."""
    monkeypatch.setattr(mending, "BLOCK_BYTES", 300)
    async with emptied(cluster) as store:
        before, ends = store.incarnation, await appended(store, 8)
        await lose(cluster, store, (await messages(store, LOG))[2:3])
        plain, told = store.engine.publish, 0

        async def publish(on: str, data: bytes, **options: Any) -> int:
            nonlocal told
            told += on == LOG
            if on != LOG or told != block:
                return await plain(on, data, **options)
            if answered == "unheard":
                await plain(on, data, **options)
            raise Unavailable("no leader")

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "publish", publish)
            (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and page.entries and page.head not in ends
        assert store.incarnation != before


async def test_a_log_that_is_laid_anew_is_never_the_former_stores(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody could be told afterwards, no later look finds anything wrong with the new log."""
    async with emptied(cluster) as store:
        before, ends = store.incarnation, await appended(store, 4)
        await lose(cluster, store, (await messages(store, LOG))[2:3])
        mender, told = store.spaces._mender, 0
        plain = mender._lost

        async def lost() -> None:
            nonlocal told
            told += 1
            if told > 1:
                raise Unavailable("no leader")
            await plain()

        with monkeypatch.context() as patched:
            patched.setattr(mender, "_lost", lost)
            (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and page.entries and page.head not in ends
        assert told > 1 and store.incarnation != before


async def test_a_loss_that_could_not_be_told_is_told_with_the_next_try(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream with the incarnation has no leader just when a relay finds that the cluster lost a block: it finds so
    again, and devices are not shown a shorter log of the same store. It is told once, not with each look."""
    async with emptied(cluster) as store:
        before = store.incarnation
        await appended(store, 3)
        await lose(cluster, store, (await messages(store, LOG))[-1:])

        plain, asked = store.spaces.views._lost, 0

        async def lost() -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise Unavailable("no leader")
            await plain()

        monkeypatch.setattr(store.spaces.views, "_lost", lost)
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert asked == 2 and isinstance(page, s.Page) and page.end == 2 and store.incarnation != before
        found = store.incarnation
        assert await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)]) == [page]
        assert asked == 2 and store.incarnation == found


async def test_a_loss_that_a_writer_finds_is_told(cluster: Reached) -> None:
    """The cluster has a block no more that it acknowledged: who writes there next makes it another store, or devices
    would never be asked for what is gone."""
    async with emptied(cluster) as store:
        before = store.incarnation
        await appended(store, 3)
        await lose(cluster, store, (await messages(store, LOG))[-1:])
        (stored,) = await store.perform([entry(9)])
        assert isinstance(stored, s.Stored) and stored.offset == 3 and store.incarnation != before


@pytest.mark.parametrize("swept", [False, True])
async def test_a_deletion_whose_answer_is_lost_takes_nothing_of_the_next_life(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, swept: bool) -> None:
    """It was done when its leader fell, and the space made anew through another relay before it is tried again: what
    was acknowledged since stays, whether the log of the life before is there still or not."""
    gone = s.DropSpace(SPACE.handle, SPACE.keys.admin)
    async with emptied(cluster) as store:
        other = await JetStreamStorage.open(cluster.urls)
        await store.perform([create(), entry(1)])

        async def meanwhile() -> None:
            await other.perform([create(), entry(2)])
            if swept:
                await other.perform([s.Expire()])

        lose_answer(store, monkeypatch, is_log, meanwhile)
        assert await store.perform([gone]) == [s.Done()]
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 1000, READ)])
        assert isinstance(page, s.Page) and [one.envelope for one in page.entries] == [entry(2).envelope]
        await other.close()


async def test_a_rotation_between_two_blocks_of_a_log_that_is_laid_anew_stays(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one does not bring the keys of before back: whoever was taken out would be let in by them."""
    monkeypatch.setattr(mending, "BLOCK_BYTES", 100)
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        await appended(one, 4)
        await lose(cluster, one, (await messages(one, LOG))[2:3])
        space, request = rotation(1, 3, SPACE.keys.admin, READ)
        plain, laid = one.engine.publish, 0

        async def publish(subject: str, data: bytes, **options: Any) -> int:
            nonlocal laid
            laid += subject == LOG
            if subject == LOG and laid == 2:
                assert await two.perform([request]) == [s.Done()]
            return await plain(subject, data, **options)

        monkeypatch.setattr(one.engine, "publish", publish)
        assert codes(await one.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])) == [Code.ROTATED]
        under_old, under_new = await two.perform([s.ReadPage(SPACE.handle, 0, 10_000, key)
                                                  for key in (READ, space.keys.read)])
        assert laid == 2 and codes([under_old]) == [Code.ROTATED] and isinstance(under_new, s.Page)
        await two.close()


async def test_a_block_with_other_bytes_in_it_is_not_laid_anew(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log with a hole only what is whole is kept: what a node has damaged, devices send again."""
    async with emptied(cluster) as store:
        await appended(store, 4)
        await lose(cluster, store, (await messages(store, LOG))[3:4])
        plain = store.engine.run

        async def run(*args: Any, **options: Any) -> list[Kept]:
            return [replace(one, data=one.data.replace(entry(1, 200).envelope, entry(7, 200).envelope))
                    for one in await plain(*args, **options)]

        monkeypatch.setattr(store.engine, "run", run)
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and [one.envelope for one in page.entries] == [
            entry(n, 200).envelope for n in (0, 3)]
