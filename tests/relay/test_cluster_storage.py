"""What the store on a cluster has beside the guarantees of every storage: several relays at once, and its own way to
hold a long log."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from chez_relay import storage as s
from chez_relay.errors import Code, StoreUnusable
from chez_relay.storage.jetstream import log
from chez_relay.storage.jetstream.attachments import Attachments
from chez_relay.storage.jetstream.engine import Kept, Unavailable
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.refusals import DAMAGED
from chez_wire.envelope import GENESIS_HEAD, fold_head
from tests.relay.clusters import Reached, emptied, lose, messages
from tests.relay.storing import INBOX, QUOTAS, READ, SPACE, Clock, chunk, codes, create, drop, entry, rotate
from tests.relay.support import Space, packet, seed
from tests.relay.test_storage import GROUPS, headed
from tests.tries import tries

NEXT = Space("next")


async def answer_alike(cluster: Reached, groups: Sequence[Sequence[s.Request]], relays: int) -> None:
    """Perform groups on memory, and by several relays in turn on the cluster.

    With room for all chunks: one that a relay stored while it had not heard yet that another one had filled the quota
    stays, and counts, where one store would have refused it.
    """
    clock, quotas = Clock(), replace(QUOTAS, blob_bytes=1 << 20)
    memory = MemoryStorage(seed("incarnation"), quotas=quotas, clock=clock)
    async with emptied(cluster, quotas=quotas, clock=clock) as first:
        others = [await JetStreamStorage.open(cluster.urls, quotas=quotas, clock=clock) for _ in range(relays - 1)]
        stores = [first, *others]
        for number, group in enumerate(groups):
            clock.now += 30
            group = [headed(request, memory) for request in group]
            assert await stores[number % relays].perform(group) == memory.perform_now(group)
        for other in others:
            await other.close()


@settings(max_examples=tries(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GROUPS)
async def test_relays_in_turn_answer_as_one_store_would(
        cluster: Reached, groups: Sequence[Sequence[s.Request]]) -> None:
    """Whatever is asked, in whatever groups, of one relay and then the other, is answered as memory answers it."""
    await answer_alike(cluster, groups, 2)


@pytest.mark.exhaustive
@settings(max_examples=tries(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GROUPS)
async def test_many_relays_in_turn_answer_as_one_store_would(
        cluster: Reached, groups: Sequence[Sequence[s.Request]]) -> None:
    """As above, with three relays and many more groups."""
    await answer_alike(cluster, groups, 3)


async def test_two_relays_at_once_leave_no_gap_and_no_double(cluster: Reached) -> None:
    """Two relays append to one space at the same time, some entries both: each entry has one offset, heads fold."""
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        await one.perform([create()])

        async def append(store: s.Storage, first: int) -> list[s.Result]:
            results: list[s.Result] = []
            for number in range(first, first + 40, 4):
                results += await store.perform([entry(n) for n in range(number, number + 4)])
            return results

        results = [result for part in await asyncio.gather(append(one, 0), append(two, 20)) for result in part]
        assert all(isinstance(result, s.Stored) for result in results)
        (page,) = await two.perform([s.ReadPage(SPACE.handle, 0, 2**20, READ)])
        assert isinstance(page, s.Page) and [e.offset for e in page.entries] == list(range(1, 61))
        assert {e.envelope for e in page.entries} == {entry(n).envelope for n in range(60)}
        head = GENESIS_HEAD
        places = {}
        for kept in page.entries:
            at = next(entry(n).entry for n in range(60) if entry(n).envelope == kept.envelope)
            head = fold_head(head, at)
            places[at] = (kept.offset, head)
        asked = [entry(n).entry for n in (*range(40), *range(20, 60))]
        assert [(r.offset, r.head) for r in results if isinstance(r, s.Stored)] == [places[at] for at in asked]
        assert sum(r.fresh for r in results if isinstance(r, s.Stored)) == 60
        await two.close()


async def test_a_relay_that_is_behind_refuses_what_was_rotated_elsewhere(cluster: Reached) -> None:
    """What one relay rotated, another refuses at once, whatever it remembers of the space."""
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        await one.perform([create(), entry(1)])
        await two.perform([entry(2)])
        await one.perform([rotate(NEXT)])
        late = await two.perform([entry(3), s.ReadPage(SPACE.handle, 0, 9999, READ), entry(4, space=NEXT)])
        assert codes(late) == [Code.ROTATED, Code.ROTATED, None]
        await two.close()


async def test_a_relay_that_is_behind_refuses_nothing_that_is_allowed(cluster: Reached) -> None:
    """What it remembers refuses nobody: the space was rotated elsewhere, and its room given back."""
    clock = Clock()
    async with emptied(cluster, quotas=QUOTAS, clock=clock) as one:
        two = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS, clock=clock)
        _, first = await one.perform([create(), entry(1, 1000)])
        await two.perform([entry(2, 1000)])
        await one.perform([rotate(NEXT)])
        assert codes(await two.perform([entry(3, control=True, space=NEXT)])) == [None]
        assert isinstance(first, s.Stored)
        dropped = drop([s.Dropped(1, 1, first.head)], by=NEXT.keys.admin, voucher=NEXT.keys.control)
        assert codes(await one.perform([dropped])) == [None]
        clock.now += QUOTAS.grace
        assert codes(await two.perform([entry(4, 900, space=NEXT)])) == [Code.QUOTA]
        assert codes(await one.perform([s.Expire()])) == [None]
        assert codes(await two.perform([entry(4, 900, space=NEXT)])) == [None]
        await two.close()


async def test_a_former_leader_refuses_no_reader(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers that what a relay remembers is the last there is: before that refuses anybody, a quorum is asked."""
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        await one.perform([create(), entry(1)])
        await two.perform([entry(2)])
        await one.perform([rotate(NEXT), entry(3, space=NEXT)])
        remembered = two.spaces.views.view(SPACE.handle).seq

        async def newest(_: str) -> int:
            return remembered

        monkeypatch.setattr(two.engine, "newest", newest)
        (page,) = await two.perform([s.ReadPage(SPACE.handle, 2, 9999, NEXT.keys.read)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [3]
        await two.perform([s.Lookup((SPACE.handle,)), s.Lookup((SPACE.handle,))])
        assert len(await messages(two, "chez.log.0.now")) == 1  # no quota counts what asking leaves there
        await two.close()


async def test_a_long_log_is_known_by_its_indexes(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that never saw a long log recognises its entries again, and finds any offset."""
    monkeypatch.setattr(log, "INDEX_EVERY", 16)
    monkeypatch.setattr("chez_relay.storage.jetstream.spaces.INDEX_EVERY", 16)
    async with emptied(cluster) as one:
        await one.perform([create()])
        for number in range(0, 100, 5):
            await one.perform([entry(n) for n in range(number, number + 5)])
        two = await JetStreamStorage.open(cluster.urls)
        again = await two.perform([entry(n) for n in (0, 37, 99)])
        assert [r.offset for r in again if isinstance(r, s.Stored) and not r.fresh] == [1, 38, 100]
        view = two.spaces.views.view(SPACE.handle)
        assert view.state is not None and view.state.indexed >= 80 and len(view.ids) == 800
        three = await JetStreamStorage.open(cluster.urls)
        for after in (0, 1, 48, 95, 99):
            (page,) = await three.perform([s.ReadPage(SPACE.handle, after, 600, READ)])
            assert isinstance(page, s.Page)
            assert [e.envelope for e in page.entries] == [entry(n).envelope for n in range(after, min(after + 2, 100))]
        await two.close()
        await three.close()


async def test_a_store_that_lacks_a_stream_is_refused(cluster: Reached) -> None:
    """Where one of its streams is gone, a relay does not serve what is left as if it were all."""
    async with emptied(cluster, prefix="other") as one:
        two = await JetStreamStorage.open(cluster.urls, prefix="other")
        assert one.incarnation == two.incarnation
        await two.close()
        await one.engine.api("STREAM.DELETE.other_blob_0")
        with pytest.raises(StoreUnusable, match="1 of the store's 4 streams"):
            await JetStreamStorage.open(cluster.urls, prefix="other")
        for kind in ("log_0", "box_0", "store"):
            await one.engine.api(f"STREAM.DELETE.other_{kind}")


async def test_dropped_entries_leave_the_cluster(cluster: Reached) -> None:
    """Once its grace is over, what was dropped is not in the stream any more, and the rest is read across it."""
    clock = Clock()
    async with emptied(cluster, clock=clock) as store:
        await store.perform([create()])
        heads: list[bytes] = []
        for number in range(20):
            (stored,) = await store.perform([entry(number, control=number == 4)])
            assert isinstance(stored, s.Stored)
            heads.append(stored.head)

        async def count() -> int:
            return int((await store.engine.api("STREAM.INFO.chez_log_0"))["state"]["messages"])

        before = await count()
        assert await store.perform([drop([s.Dropped(2, 15, heads[14])])]) == [s.Done()]
        clock.now += s.Quotas().grace
        # The last time finds that nothing is due any more; a node that is asked may have heard of nothing yet.
        # Beside the drop and its end there is one more message: the leader's proof that it leads.
        for _ in range(20):
            await store.perform([s.Expire()])
            if (left := await count()) <= before - 14 + 3:
                break
        assert left <= before - 14 + 3
        fresh = await JetStreamStorage.open(cluster.urls, clock=clock)
        (page,) = await fresh.perform([s.ReadPage(SPACE.handle, 0, 2**20, READ)])
        assert isinstance(page, s.Page) and page.dropped == (s.Dropped(2, 15, heads[14]),) and page.head == heads[-1]
        assert [e.offset for e in page.entries] == [1, 16, 17, 18, 19, 20]
        again = await fresh.perform([entry(0), entry(15), entry(18), entry(7)])
        assert [(r.offset, r.fresh) for r in again if isinstance(r, s.Stored)] == [
            (1, False), (16, False), (19, False), (21, True)]
        await fresh.close()


async def test_a_chunk_that_is_put_while_it_is_removed_stays(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay goes while it lets a chunk go: it is nowhere held, put again through another one it stays, and counts."""
    clock = Clock()
    async with emptied(cluster, quotas=QUOTAS, clock=clock) as store:
        await store.perform([create(), entry(1), chunk(1, 600), chunk(2, 300)])
        await store.perform([drop([], [chunk(1, 600)])])
        clock.now += QUOTAS.grace
        plain = Attachments.delete

        async def gone(self: Attachments, handle: bytes, seq: int) -> None:
            raise Unavailable("this relay is gone")

        monkeypatch.setattr(Attachments, "delete", gone)
        assert codes(await store.perform([s.Expire()])) == [Code.STORAGE]
        monkeypatch.setattr(Attachments, "delete", plain)
        find = s.FindChunks(SPACE.handle, (chunk(1, 600).chunk, chunk(2, 300).chunk), READ)
        other = await JetStreamStorage.open(cluster.urls, quotas=QUOTAS, clock=clock)
        (held,) = await other.perform([find])
        assert isinstance(held, s.FoundChunks) and held.held == (False, True)
        assert codes(await other.perform([chunk(1, 600)])) == [None]
        assert codes(await store.perform([s.Expire(), s.Expire()])) == [None, None]
        (held,) = await store.perform([find])
        assert isinstance(held, s.FoundChunks) and held.held == (True, True)
        assert codes(await store.perform([chunk(3, 101), chunk(3, 100)])) == [Code.QUOTA, None]
        await other.close()


async def test_where_a_space_ends_is_not_told_before_what_is_lost(cluster: Reached) -> None:
    """The last block is gone from the cluster: who looks the space up is told to come again, and finds another store.

    By its end in the store as it was, a device would call the relay one that hides entries.
    """
    async with emptied(cluster) as store:
        await store.perform([create(), entry(1), entry(2)])
        await store.perform([entry(3)])
        found = await messages(store, f"chez.log.0.s.{SPACE.handle.hex()}")
        before = store.incarnation
        assert await ends(store) == [3]
        await lose(cluster, store, found[-1:])
        assert codes(await store.perform([s.Lookup((SPACE.handle,))])) == [Code.STORAGE]
        assert store.incarnation != before
        assert await ends(store) == [2]


async def ends(store: s.Storage) -> list[int]:
    """Where the space ends, as a lookup has it."""
    (found,) = await store.perform([s.Lookup((SPACE.handle,))])
    assert isinstance(found, s.Found)
    return [one.offset for one in found.known if isinstance(one, s.SpaceInfo)]


async def test_an_item_that_the_cluster_lost_is_whole_again_when_it_is_put_again(cluster: Reached) -> None:
    """Who sends it once more, and hears that it is there, is told the truth; it waits once, as before."""
    put, read = s.AddItem(INBOX.inbox, b"item", INBOX.write_key), s.ReadItems(INBOX.inbox, 0, 1000)
    async with emptied(cluster) as store:
        await store.perform([INBOX, put])
        await lose(cluster, store, await messages(store, f"chez.box.0.i.{INBOX.inbox.hex()}.>"))
        assert codes(await store.perform([read])) == [Code.DAMAGED]
        assert codes(await store.perform([put])) == [None]
        assert await store.perform([put, read]) == [s.Done(), s.ItemPage((s.InboxItem(1, b"item"),), 1)]


async def test_a_hole_in_a_log_is_closed_and_what_is_left_is_kept(cluster: Reached) -> None:
    """A block of the middle is gone from the cluster: what is left is a log, and takes what is missing."""
    async with emptied(cluster) as store:
        await store.perform([create(2), chunk(1)])
        for number in range(6):
            await store.perform([entry(number, control=number == 5)])
        found = await messages(store, f"chez.log.0.s.{SPACE.handle.hex()}")
        await lose(cluster, store, found[4:5])
        read = s.ReadPage(SPACE.handle, 0, 2**20, READ)
        other = await JetStreamStorage.open(cluster.urls)
        (page,) = await other.perform([read])
        assert isinstance(page, s.Page) and [e.offset for e in page.entries] == [1, 2, 3, 4, 5] and page.end == 5
        missing = {entry(n).envelope for n in range(6)} - {e.envelope for e in page.entries}
        assert len(missing) == 1
        filled = await store.perform([*(entry(n, control=n == 5) for n in range(6)), read])
        assert sum(isinstance(one, s.Stored) and one.fresh for one in filled) == 1
        assert isinstance(filled[-1], s.Page) and {e.envelope for e in filled[-1].entries} == {
            entry(n).envelope for n in range(6)}
        held, box = await other.perform([s.ReadChunk(SPACE.handle, chunk(1).chunk, READ),
                                         s.ReadPacket(SPACE.handle, packet("0").tag)])
        assert held == s.ChunkData(chunk(1).data) and box == s.PacketData(packet("0").box)
        await other.close()


async def test_what_one_node_has_damaged_is_asked_of_the_leader(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node hands out a block with other bytes in it: nobody is shown them, and the log is not taken for damaged."""
    async with emptied(cluster) as store:
        await store.perform([create(), *(entry(n) for n in range(3))])
        fresh = await JetStreamStorage.open(cluster.urls)
        before, plain = fresh.incarnation, fresh.engine.run

        async def run(*args: Any, **options: Any) -> list[Kept]:
            return [replace(one, data=one.data.replace(entry(1).envelope, entry(7).envelope))
                    for one in await plain(*args, **options)]

        monkeypatch.setattr(fresh.engine, "run", run)
        (page,) = await fresh.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and [one.envelope for one in page.entries] == [
            entry(n).envelope for n in range(3)]
        assert fresh.incarnation == before
        await fresh.close()


async def test_a_space_whose_last_block_nobody_can_read_keeps_no_other_from_an_answer(cluster: Reached) -> None:
    """It is damaged, or a newer relay's: who asks for that space is told so, nothing is written over it, and what was
    asked together with it is done."""
    subject = f"chez.log.0.s.{SPACE.handle.hex()}"
    async with emptied(cluster) as store:
        await store.perform([create(), entry(1)])
        await store.engine.publish(subject, b"of another make")
        fresh = await JetStreamStorage.open(cluster.urls)
        asked: list[s.Request] = [create(), entry(2), s.ReadPage(SPACE.handle, 0, 1000, READ),
                                  s.DropSpace(SPACE.handle, NEXT.keys.admin)]
        results = await fresh.perform([*asked, s.AddSpace(NEXT.handle, NEXT.keys)])
        assert results == [*[DAMAGED] * 4, s.Done()]
        assert [one.data for one in await messages(store, subject)][1:] == [b"of another make"]
        await fresh.close()
