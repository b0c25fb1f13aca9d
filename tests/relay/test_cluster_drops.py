"""What the store on a cluster keeps of rotations and drops, and what they cost: many gaps, many relays at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.jetstream import draft, views
from chez_relay.storage.jetstream.blocks import decode_time
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.standing import STOOD
from chez_wire.dropping import NO_CHECKPOINT, NO_DROP, drop_hash
from chez_wire.envelope import entry_id
from chez_wire.limits import MAX_DROPPED
from chez_wire.packets import PACKET_COST
from tests.relay.clusters import Reached, emptied, lose, messages
from tests.relay.storing import CONTROL, QUOTAS, READ, SPACE, Clock, chunk, codes, create, drop, entry, table
from tests.relay.support import Space, packet, seed

LOG = f"chez.log.0.s.{SPACE.handle.hex()}"


async def heads(store: s.Storage, count: int, size: int = 150, together: int = 500) -> list[bytes]:
    """The space with so many entries, so many of them in a block; the heads after each."""
    found: list[bytes] = []
    await store.perform([create(1)])
    for first in range(0, count, together):
        results = await store.perform([entry(number, size) for number in range(first, min(first + together, count))])
        found += [one.head for one in results if isinstance(one, s.Stored)]
    return found


def rotation(generation: int, count: int, admin: bytes, read: bytes) -> tuple[Space, s.RotateSpace]:
    """Other keys and packets, in place of those."""
    space = Space(f"generation {generation}")
    return space, s.RotateSpace(SPACE.handle, admin, read, space.keys.admin, space.keys.credentials,
                                table(count, generation))


@asynccontextmanager
async def before_next(store: JetStreamStorage, name: str, act: Callable[[], Awaitable[Any]],
                      monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Do something just before the store next asks the cluster for something in this way."""
    plain, done = getattr(store.engine, name), False

    async def asked(*args: Any, **options: Any) -> Any:
        nonlocal done
        if not done:
            done = True
            await act()
        return await plain(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(store.engine, name, asked)
        yield
    assert done


async def test_what_rotations_and_drops_replaced_does_not_stay(cluster: Reached) -> None:
    """Packets and what is to be dropped are told anew each time: no quota counts that, so the former goes."""
    clock = Clock()
    async with emptied(cluster, clock=clock) as store:
        ends = await heads(store, 12)
        space, admin, read = SPACE, SPACE.keys.admin, READ
        for generation in range(1, 6):
            space, request = rotation(generation, 100, admin, read)
            assert await store.perform([request]) == [s.Done()]
            admin, read = space.keys.admin, space.keys.read
        follows = NO_DROP
        for number in range(1, 6):
            request = drop([s.Dropped(2 * number, 2 * number, ends[2 * number - 1])], [chunk(number)], follows,
                           by=admin, voucher=space.keys.control)
            assert await store.perform([request]) == [s.Done()]
            follows = request.drop
        # The entries, the newest packets and the newest drop.
        assert len(await messages(store, LOG)) == 3
        clock.now += s.Quotas().grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert len(await messages(store, LOG)) == 3
        fresh = await JetStreamStorage.open(cluster.urls, clock=clock)
        page, box = await fresh.perform([s.ReadPage(SPACE.handle, 0, 10_000, read),
                                         s.ReadPacket(SPACE.handle, packet("7").tag)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [1, 3, 5, 7, 9, 11, 12]
        assert page.head == ends[-1] and len(page.dropped) == 5 and box == s.PacketData(packet("7", 5).box)
        await fresh.close()


async def test_packets_that_came_together_with_entries_go(cluster: Reached) -> None:
    """An entry that is sent together with a rotation keeps no packets for as long as it is there itself; one that was
    sent together with the space stays when its packets are replaced."""
    async with emptied(cluster) as store:
        await store.perform([create(1), entry(0)])
        space, admin, read = SPACE, SPACE.keys.admin, READ
        for generation in range(1, 6):
            before, (space, request) = space, rotation(generation, 100, admin, read)
            both = [entry(generation, space=before), request, entry(generation + 10, space=space)]
            assert codes(await store.perform(both)) == [None, None, None]
            admin, read = space.keys.admin, space.keys.read
        assert sum(len(one.data) > 100 * PACKET_COST for one in await messages(store, LOG)) == 1
        fresh = await JetStreamStorage.open(cluster.urls)
        (page,) = await fresh.perform([s.ReadPage(SPACE.handle, 0, 10_000, read)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == list(range(1, 12))
        await fresh.close()


async def test_many_gaps_cost_few_questions(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two thousand entries every other one is dropped: naming them, removing them and reading past them asks the
    cluster as often as it has stretches of blocks, and not once for each; else all that is due elsewhere waited."""
    asked = 0
    for name in ("_ask", "_batch"):
        plain = getattr(Engine, name)

        async def counted(*args: Any, plain: Any = plain, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            return await plain(*args, **options)

        monkeypatch.setattr(Engine, name, counted)
    clock = Clock()
    async with emptied(cluster, clock=clock) as store:
        ends = await heads(store, 2000)
        asked = 0
        assert await store.perform([drop([s.Dropped(n, n, ends[n - 1]) for n in range(1, 2000, 2)])]) == [s.Done()]
        clock.now += s.Quotas().grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 700_000, READ)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == list(range(2, 2001, 2))
        assert [one.last for one in page.dropped] == list(range(1, 2000, 2)) and page.head == ends[-1]
        assert asked < 60


async def test_a_page_passes_over_no_more_ranges_than_a_frame_names(cluster: Reached) -> None:
    """A reader is led on from there."""
    clock, count = Clock(), 2 * MAX_DROPPED + 10
    async with emptied(cluster, clock=clock) as store:
        ends, follows = await heads(store, count, 130), NO_DROP
        odd = range(1, count, 2)
        for part in (odd[:MAX_DROPPED], odd[MAX_DROPPED:]):
            request = drop([s.Dropped(n, n, ends[n - 1]) for n in part], (), follows)
            assert await store.perform([request]) == [s.Done()]
            follows = request.drop
        clock.now += s.Quotas().grace
        await store.perform([s.Expire()])
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 700_000, READ)])
        assert isinstance(page, s.Page) and len(page.dropped) == MAX_DROPPED
        (rest,) = await store.perform([s.ReadPage(SPACE.handle, page.last, 700_000, READ)])
        assert isinstance(rest, s.Page) and rest.head == ends[-1]
        assert [one.offset for one in (*page.entries, *rest.entries)] == list(range(2, count + 1, 2))


async def test_who_names_entries_again_and_again_fills_no_block(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry waits once, in whatever ranges it is named; and of what waits there is a bound, told as a refusal."""
    monkeypatch.setattr(draft, "MAX_DROPS", 20)
    clock = Clock()
    async with emptied(cluster, clock=clock) as store:
        ends, follows = await heads(store, 24), NO_DROP
        for size in range(1, 13):
            ranges = [s.Dropped(n, n + size - 1, ends[n + size - 2]) for n in range(1, 14 - size, size)]
            request = drop(ranges, (), follows)
            assert await store.perform([request]) == [s.Done()]
            follows = request.drop
        assert codes(await store.perform([chunk(number) for number in range(9)])) == [None] * 9
        more = drop([], [chunk(number) for number in range(9)], follows)
        (refused,) = await store.perform([more])
        assert isinstance(refused, s.Refused) and refused.code is Code.QUOTA and refused.retry
        clock.now += s.Quotas().grace
        assert codes(await store.perform([s.Expire(), more])) == [None, None]
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and page.dropped == (s.Dropped(1, 12, ends[11]),)


async def test_who_reads_while_another_relay_replaces_what_is_read_is_answered(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another relay rotates, or drops, just before this one fetches what told of it, and when it looks
    again once more: nothing is called damaged."""
    clock = Clock()
    async with emptied(cluster, clock=clock) as one:
        two = await JetStreamStorage.open(cluster.urls, clock=clock)
        before, ends = one.incarnation, await heads(two, 6)
        first = drop([s.Dropped(2, 2, ends[1])])
        second = drop([s.Dropped(4, 4, ends[3])], (), first.drop)
        assert await two.perform([first]) == [s.Done()]
        async with before_next(one, "at", lambda: two.perform([second]), monkeypatch):
            (page,) = await one.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and len(page.entries) == 6
        third = drop([s.Dropped(5, 5, ends[4])], (), second.drop)
        fourth = drop([s.Dropped(6, 6, ends[5])], (), third.drop)
        waiting, plain = [fourth, drop([s.Dropped(1, 1, ends[0])], (), fourth.drop)], one.engine.at
        assert await two.perform([third]) == [s.Done()]

        async def once_more(stream: str, seq: int) -> Any:
            if waiting:
                assert await two.perform([waiting.pop(0)]) == [s.Done()]
            return await plain(stream, seq)

        with monkeypatch.context() as patched:
            patched.setattr(one.engine, "at", once_more)
            (page,) = await one.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and len(page.entries) == 6 and not waiting and one.incarnation == before
        _, request = rotation(1, 3, SPACE.keys.admin, READ)
        async with before_next(one, "at", lambda: two.perform([request]), monkeypatch):
            (box,) = await one.perform([s.ReadPacket(SPACE.handle, packet("2").tag)])
        assert box == s.PacketData(packet("2", 1).box) and one.incarnation == before
        await two.close()


async def test_two_relays_that_remove_the_same_at_once_do_it_once(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one finds its entries gone: that is no damage, and their room is given back once."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as one:
        two = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        ends = await heads(two, 6, 200, together=1)
        assert await two.perform([drop([s.Dropped(1, 5, ends[4])], voucher=CONTROL)]) == [s.Done()]
        clock.now += QUOTAS.grace
        async with before_next(one, "run", lambda: two.perform([s.Expire()]), monkeypatch):
            assert await one.perform([s.Expire()]) == [s.Expired(more=False)]
        (used,) = await one.perform([s.ReadUsage(SPACE.handle, READ)])
        assert isinstance(used, s.SpaceUsage) and used.entries.bytes == 200 + PACKET_COST
        await two.close()


def first_dropped(space: Space, stored: list[s.Result], number: int, follows: bytes = NO_DROP) -> s.DropEntries:
    """A request to drop one entry of another space."""
    head = stored[number]
    assert isinstance(head, s.Stored)
    ranges = (s.Dropped(number, number, head.head),)
    return s.DropEntries(space.handle, space.keys.admin, space.keys.control, follows,
                         drop_hash(follows, NO_CHECKPOINT, ranges, ()), ranges)


async def filled(store: s.Storage, space: Space) -> list[s.Result]:
    """A space with three entries, each in a block of its own: what came of making it, and of each."""
    results = await store.perform([s.AddSpace(space.handle, space.keys)])
    for number in (1, 2, 3):
        one = space.envelope(number)
        results += await store.perform([s.AddEntry(space.handle, entry_id(one), one, False, space.keys.append)])
    return results


async def bytes_of(store: s.Storage, space: Space) -> int:
    """What the entries of a space take of its quota."""
    (used,) = await store.perform([s.ReadUsage(space.handle, space.keys.read)])
    assert isinstance(used, s.SpaceUsage)
    return used.entries.bytes


async def test_who_drops_often_gets_its_room_back_among_many(cluster: Reached) -> None:
    """What a space dropped first is due, and it dropped again since: it is not behind all that others drop later."""
    clock, day, busy = Clock(), 24 * 3600.0, Space("busy")
    others = [Space(f"other {number}") for number in range(20)]
    async with emptied(cluster, clock=clock) as store:
        stored = {space.name: await filled(store, space) for space in (busy, *others)}
        first = first_dropped(busy, stored["busy"], 1)
        await store.perform([first])
        clock.now += 5 * day
        await store.perform([first_dropped(space, stored[space.name], 1) for space in others])
        clock.now += day
        await store.perform([first_dropped(busy, stored["busy"], 2, first.drop)])
        for days, left in ((1, 600), (5, 600), (1, 300)):
            clock.now += days * day
            assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
            assert await bytes_of(store, busy) == left
        assert [await bytes_of(store, space) for space in others] == [600] * len(others)


async def test_more_than_an_answer_has_is_swept(cluster: Reached) -> None:
    """JetStream names no more than 1,024 last messages at once: what is behind as many is removed all the same."""
    gone = Space("gone")
    async with emptied(cluster) as store:
        places = store._places
        await asyncio.gather(*(store.engine.publish(places.gone(seed(f"never {number}"), bytes(8)), b"")
                               for number in range(1100)))
        await filled(store, gone)
        await store.perform([s.DropSpace(gone.handle, gone.keys.admin)])
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert len(await messages(store, places.log(gone.handle))) == 1


async def test_a_damaged_log_keeps_nobody_waiting(cluster: Reached) -> None:
    """What is due in a space cannot be found any more: what is due in another one goes, and that once it is mended."""
    clock, hurt, other = Clock(), Space("hurt"), Space("whole")
    async with emptied(cluster, clock=clock) as store:
        for space in (hurt, other):
            stored = await filled(store, space)
            assert await store.perform([first_dropped(space, stored, 1)]) == [s.Done()]
        log = await messages(store, store._places.log(hurt.handle))
        await lose(cluster, store, log[1:2])
        clock.now += s.Quotas().grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await bytes_of(store, other) == 600
        (page,) = await store.perform([s.ReadPage(hurt.handle, 0, 10_000, hurt.keys.read)])
        assert isinstance(page, s.Page) and len(page.entries) == 2
        clock.now += 2 * 3600
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]


@pytest.mark.parametrize(("asking", "elsewhere"), [("run", False), ("run", True), ("delete", True)])
async def test_what_is_written_while_a_relay_removes_stays(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, asking: str, elsewhere: bool) -> None:
    """An entry that is acknowledged meanwhile, by this relay or heard of from another, is no part of what is removed.
    """
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as one:
        two = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        ends = await heads(one, 4, 200, together=1)
        request = drop([s.Dropped(1, 2, ends[1])], [chunk(1)], voucher=CONTROL)
        assert codes(await one.perform([chunk(1), request])) == [None, None]
        clock.now += QUOTAS.grace

        async def append() -> None:
            assert codes(await (two if elsewhere else one).perform([entry(9, 200)])) == [None]
            await one.spaces.known(SPACE.handle)  # as who follows the space is told

        async with before_next(one, asking, append, monkeypatch):
            assert await one.perform([s.Expire()]) == [s.Expired(more=False)]
        page, used = await two.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ), s.ReadUsage(SPACE.handle, READ)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [3, 4, 5]
        assert isinstance(used, s.SpaceUsage) and used.entries.bytes == 600 + PACKET_COST and used.chunks.bytes == 0
        await two.close()


async def test_a_rotation_while_a_log_is_laid_anew_stays(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of before do not come back: whoever was taken out would be let in by them."""
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        await heads(one, 3, 200, together=1)
        await lose(cluster, one, (await messages(one, LOG))[2:3])
        space, request = rotation(1, 3, SPACE.keys.admin, READ)

        async def rotate() -> None:
            assert await two.perform([request]) == [s.Done()]
            await one.spaces.known(SPACE.handle)

        async with before_next(one, "at", rotate, monkeypatch):
            await one.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        under_old, under_new = await two.perform([s.ReadPage(SPACE.handle, 0, 10_000, key)
                                                  for key in (READ, space.keys.read)])
        assert isinstance(under_old, s.Refused) and under_old.code is Code.ROTATED
        assert isinstance(under_new, s.Page) and [one.offset for one in under_new.entries] == [1, 2]
        await two.close()


async def test_what_is_remembered_of_spaces_has_a_bound(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that saw many spaces with many blocks each and much that was dropped remembers no more than it may, of
    those that were needed last; what it forgot it finds again."""
    monkeypatch.setattr(views, "MAX_VIEW_BYTES", 20_000)
    monkeypatch.setattr(views, "SPARE_EVERY", 1)
    clock, spaces = Clock(), [Space(f"space {number}") for number in range(12)]
    async with emptied(cluster, clock=clock) as store:
        for space in spaces:
            await store.perform([s.AddSpace(space.handle, space.keys)])
            stored: list[s.Result] = [s.Done()]
            for number in range(16):
                one = space.envelope(number)
                stored += await store.perform([
                    s.AddEntry(space.handle, entry_id(one), one, False, space.keys.append)])
            await store.perform([first_dropped(space, stored, 8)])
        remembered = [view.size for view in store.spaces.views._views.values()]
        assert len(remembered) == 12 and sum(remembered) < 20_000 + 4_000 and remembered[-1] > 2_000
        again = [space.envelope(0) for space in spaces]
        for space, one in zip(spaces, again, strict=True):
            known, page = await store.perform([
                s.AddEntry(space.handle, entry_id(one), one, False, space.keys.append),
                s.ReadPage(space.handle, 3, 100_000, space.keys.read)])
            assert isinstance(known, s.Stored) and (known.offset, known.fresh) == (1, False)
            assert isinstance(page, s.Page) and [one.offset for one in page.entries] == list(range(4, 17))


@pytest.mark.parametrize("damaged", [False, True])
async def test_what_waits_for_a_clock_that_was_ahead_is_looked_at_once(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch, damaged: bool) -> None:
    """A clock runs while a relay looks: what that has go sooner, or finds damaged, it does not meet in the same round
    again."""
    class Running(Clock):
        def __call__(self) -> float:
            self.now += 0.001
            return self.now

    clock, space, told = Running(), Space("ahead"), list[float]()
    async with emptied(cluster, clock=clock) as store:
        stored = await filled(store, space)
        clock.now += 3e8
        one = space.envelope(7)
        assert codes(await store.perform([first_dropped(space, stored, 1), s.AddEntry(
            space.handle, entry_id(one), one, False, space.keys.append)])) == [None] * 2
        clock.now -= 3e8
        fresh = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=s.Quotas(grace=60.0))
        plain = fresh.engine.publish

        async def publish(subject: str, data: bytes, **options: Any) -> int:
            if subject == fresh._places.due(space.handle):
                told.append(decode_time(data))
                assert len(told) < 10
            return await plain(subject, data, **options)

        monkeypatch.setattr(fresh.engine, "publish", publish)
        if damaged:
            await lose(cluster, store, (await messages(store, store._places.log(space.handle)))[-2:-1])
        for passed in (0.0, 1.0, STOOD):
            clock.now += passed
            assert await fresh.perform([s.Expire()]) == [s.Expired(more=False)]
        assert len(told) == 1 and clock.now < told[0] < clock.now + 2 * 3600
        await fresh.close()
