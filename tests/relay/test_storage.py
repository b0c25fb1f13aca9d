"""Every storage gives the guarantees of `chez_relay.storage`: one suite over all of them."""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez_relay import storage as s
from chez_relay.errors import Code, StorageFailed, StoreUnusable
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.entry_hashes import WAITING
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.space_rows import SWEEP_ROWS
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.standing import STOOD
from chez_relay.storage.tables import Tables
from chez_wire.dropping import NO_CHECKPOINT, NO_DROP, drop_hash, in_rising_order
from chez_wire.envelope import GENESIS_HEAD, fold_head
from chez_wire.limits import MAX_INBOX_TTL
from chez_wire.login import ANY_KEY
from chez_wire.packets import PACKET_COST
from tests.relay.storing import (
    APPEND,
    CONTROL,
    INBOX,
    QUOTAS,
    READ,
    SPACE,
    Clock,
    chunk,
    codes,
    create,
    drop,
    entry,
    new_store,
    rotate,
)
from tests.relay.support import Space, packet, seed


async def test_offsets_have_no_gap_and_heads_fold(store: s.Storage) -> None:
    """Entries get 1, 2, 3 and each head is the fold of the one before and the entry's id."""
    results = await store.perform([create(), *(entry(n) for n in range(4))])
    head = GENESIS_HEAD
    for number, result in enumerate(results[1:], 1):
        head = fold_head(head, entry(number - 1).entry)
        assert result == s.Stored(number, head, fresh=True)


async def test_repeating_an_append_answers_the_same(store: s.Storage) -> None:
    """The same entry again gets its first offset and head, in the same group or a later one."""
    first = await store.perform([create(), entry(1), entry(2), entry(1)])
    again = await store.perform([entry(1)])
    assert first[3] == again[0] == s.Stored(1, first[1].head, fresh=False)  # type: ignore[union-attr]
    page = (await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)]))[0]
    assert isinstance(page, s.Page) and page.end == 2


async def test_a_refusal_does_not_disturb_its_group(store: s.Storage) -> None:
    """Unknown space and full quota refuse one request each; the others of the group are done."""
    unknown = s.AddEntry(seed("nowhere"), seed("e"), b"x" * 300, False, APPEND)
    results = await store.perform([create(), unknown, entry(1), entry(2, 1900), entry(3)])
    codes = [getattr(result, "code", None) for result in results]
    assert codes == [None, Code.UNKNOWN, None, Code.QUOTA, None]
    assert isinstance(results[4], s.Stored) and results[4].offset == 2


async def test_control_entries_have_a_quota_of_their_own(store: s.Storage) -> None:
    """A space full of data still takes control entries, and only as many as theirs allows."""
    group = [create(), entry(1, 2000), entry(2), *(entry(10 + n, control=True) for n in range(3))]
    codes = [getattr(result, "code", None) for result in await store.perform(group)]
    assert codes == [None, None, Code.QUOTA, None, None, Code.QUOTA]


async def test_control_entries_are_held_to_their_quota_where_there_is_nothing_else(store: s.Storage) -> None:
    """What room the data leaves is not theirs; they take none of its either."""
    group = [create(), *(entry(10 + n, control=True) for n in range(3)), entry(1, 2000), entry(2)]
    assert codes(await store.perform(group)) == [None, None, None, Code.QUOTA, None, Code.QUOTA]


async def test_a_repeated_append_is_answered_in_a_full_space(store: s.Storage) -> None:
    """Idempotence outranks the quota: what is stored is acknowledged again."""
    await store.perform([create(), entry(1, 2000)])
    (again,) = await store.perform([entry(1, 2000)])
    assert isinstance(again, s.Stored) and not again.fresh


async def test_pages_respect_the_limit_and_always_move(store: s.Storage) -> None:
    """A page stays under its limit, except that one larger entry travels alone."""
    await store.perform([create(), *(entry(n) for n in range(6))])
    small, two, rest, done, ahead = await store.perform([
        s.ReadPage(SPACE.handle, after, limit, READ) for after, limit in ((0, 1), (1, 600), (3, 10_000), (6, 1), (7, 1))
    ])
    assert all(isinstance(page, s.Page) for page in (small, two, rest, done))
    offsets = [[e.offset for e in page.entries] for page in (small, two, rest, done)]  # type: ignore[union-attr]
    assert offsets == [[1], [2, 3], [4, 5, 6], []]
    assert done.head == rest.head  # type: ignore[union-attr]
    assert isinstance(ahead, s.Refused) and ahead.code is Code.AHEAD


async def test_creating_is_idempotent_and_never_changes_keys(store: s.Storage) -> None:
    """The same keys again are done; other keys under the handle are refused."""
    other = s.AddSpace(SPACE.handle, Space("other").keys)
    results = await store.perform([create(), create(), other, s.Lookup((SPACE.handle, seed("nowhere")))])
    assert results[:2] == [s.Done(), s.Done()] and results[2].code is Code.EXISTS  # type: ignore[union-attr]
    assert results[3] == s.Found((s.SpaceInfo(SPACE.keys, 0, GENESIS_HEAD), None))


async def test_inbox_items_are_numbered_once_and_deleted_when_taken(store: s.Storage) -> None:
    """Numbers rise over deletions, equal items wait once, and the limit holds."""
    name = INBOX.inbox
    put = [s.AddItem(name, item, INBOX.write_key) for item in (b"a", b"b", b"a", b"c", b"d")]
    results = await store.perform([INBOX, *put, s.DropItems(name, 2), s.AddItem(name, b"e", INBOX.write_key)])
    assert [getattr(result, "code", None) for result in results] == [None] * 5 + [Code.FULL, None, None]
    (page,) = await store.perform([s.ReadItems(name, 0, 10_000)])
    assert page == s.ItemPage((s.InboxItem(3, b"c"), s.InboxItem(4, b"e")), 4)
    assert await store.perform([s.ReadItems(name, 3, 10_000), s.ReadItems(name, 0, 1)]) == [
        s.ItemPage((s.InboxItem(4, b"e"),), 4), s.ItemPage((s.InboxItem(3, b"c"),), 4)]


async def test_chunks_are_kept_once_and_given_back_whole(store: s.Storage) -> None:
    """A chunk is stored under its id, once; asking tells which are there; what is not is missing."""
    one, two = chunk(1), chunk(2, 1)
    nowhere = seed("nowhere")
    results = await store.perform([
        create(), one, two, one, s.ReadChunk(SPACE.handle, two.chunk, READ), s.ReadChunk(SPACE.handle, nowhere, READ),
        s.FindChunks(SPACE.handle, (nowhere, two.chunk, one.chunk), READ), s.ReadChunk(nowhere, one.chunk, READ),
        s.AddChunk(nowhere, one.chunk, one.data, APPEND), s.FindChunks(nowhere, (one.chunk,), READ),
    ])
    assert results[:5] == [s.Done(), s.Done(), s.Done(), s.Done(), s.ChunkData(two.data)]
    assert results[6] == s.FoundChunks((False, True, True), NO_DROP)
    codes = [getattr(result, "code", None) for result in (results[5], *results[7:])]
    assert codes == [Code.MISSING, Code.UNKNOWN, Code.UNKNOWN, Code.UNKNOWN]


async def test_what_a_space_takes_is_told(store: s.Storage) -> None:
    """Entries, control entries and chunks are told apart, each with its limit; what is repeated counts once."""
    one, control, piece = entry(1, 300), entry(2, 200, control=True), chunk(1, 250)
    _, before, *_, after, nowhere, denied = await store.perform([
        create(), s.ReadUsage(SPACE.handle, READ), one, one, control, piece, piece, s.ReadUsage(SPACE.handle, READ),
        s.ReadUsage(seed("nowhere"), READ), s.ReadUsage(SPACE.handle, APPEND)])
    assert isinstance(before, s.SpaceUsage) and isinstance(after, s.SpaceUsage)
    assert after.entries.bytes - before.entries.bytes == len(one.envelope)
    assert (after.control.bytes, after.chunks.bytes) == (len(control.envelope), len(piece.data))
    assert [getattr(one, "code", None) for one in (nowhere, denied)] == [Code.UNKNOWN, Code.ROTATED]


async def test_chunks_have_a_quota_of_their_own(store: s.Storage) -> None:
    """A space full of chunks takes no more, repeats those it has, counts each once, and still takes entries."""
    full = [chunk(1), chunk(1), chunk(2), chunk(3), chunk(4, 101), chunk(4, 100), chunk(5, 1), chunk(1)]
    codes = [getattr(result, "code", None) for result in await store.perform([create(), *full, entry(1, 2000)])]
    assert codes == [None, None, None, None, None, Code.QUOTA, None, Code.QUOTA, None, None]
    assert await store.perform([chunk(2)]) == [s.Done()]


async def test_a_chunk_of_one_space_is_not_in_another(store: s.Storage) -> None:
    """Who may read one space gets nothing of another by knowing an id."""
    other = Space("other")
    (*_, found, read) = await store.perform([
        create(), s.AddSpace(other.handle, other.keys), chunk(1),
        s.FindChunks(other.handle, (chunk(1).chunk,), other.keys.read),
        s.ReadChunk(other.handle, chunk(1).chunk, other.keys.read)])
    assert found == s.FoundChunks((False,), NO_DROP) and read.code is Code.MISSING  # type: ignore[union-attr]


async def test_inboxes_and_items_expire(store: s.Storage, clock: Clock) -> None:
    """An item lives as long as the inbox's ttl, then its like waits anew; a renewed inbox longer, then it is gone."""
    await store.perform([INBOX, s.AddItem(INBOX.inbox, b"early", INBOX.write_key)])
    clock.now += 60
    await store.perform([INBOX, s.AddItem(INBOX.inbox, b"late", INBOX.write_key)])
    clock.now += 60
    read = s.ReadItems(INBOX.inbox, 0, 10_000)
    page, _, anew, _ = await store.perform([read, s.AddItem(INBOX.inbox, b"early", INBOX.write_key), read, s.Expire()])
    assert page == s.ItemPage((s.InboxItem(2, b"late"),), 2)
    assert anew == s.ItemPage((s.InboxItem(2, b"late"), s.InboxItem(3, b"early")), 3)
    clock.now += 60
    gone, found, _ = await store.perform([
        s.AddItem(INBOX.inbox, b"x", INBOX.write_key), s.Lookup((INBOX.inbox,)), s.Expire()])
    assert isinstance(gone, s.Refused) and gone.code is Code.UNKNOWN and found == s.Found((None,))


async def test_what_was_dropped_while_the_clock_was_ahead_goes_in_its_time(store: s.Storage, clock: Clock) -> None:
    """The clock was years ahead, is set right, and stands so for a day: what waits to be dropped waits for one grace
    more."""
    stored = await store.perform([create(), entry(1, 1000), entry(2, 1000)])
    clock.now += 3e8
    ranges = (s.Dropped(1, 1, stored[1].head),)  # type: ignore[union-attr]
    assert codes(await store.perform([chunk(1, 900), drop(ranges, [chunk(1, 900)])])) == [None] * 2
    clock.now -= 3e8
    usage = s.ReadUsage(SPACE.handle, READ)
    for passed in (0.0, 1.0, STOOD, QUOTAS.grace - 1):
        clock.now += passed
        assert await store.perform([s.Expire(), usage]) == [s.Expired(more=False), QUOTAS.usage(2000, 0, 900)]
    clock.now += 1
    assert await store.perform([s.Expire(), usage]) == [s.Expired(more=False), QUOTAS.usage(1000, 0, 0)]


async def test_what_was_dropped_waits_where_the_clock_is_behind(store: s.Storage, clock: Clock) -> None:
    """A machine starts without its time, years behind, and hears of it hours later, time and again: a grace stays
    whole."""
    clock.now += 3e8
    stored = await store.perform([create(), entry(1, 1000), entry(2, 1000)])
    ranges = (s.Dropped(1, 1, stored[1].head),)  # type: ignore[union-attr]
    assert codes(await store.perform([chunk(1, 900), drop(ranges, [chunk(1, 900)])])) == [None] * 2
    clock.now -= 3e8
    for passed in (0.0, 1.0, STOOD / 2):
        clock.now += passed
        await store.perform([s.Expire()])
    clock.now += 3e8 - STOOD / 2
    usage = s.ReadUsage(SPACE.handle, READ)
    for behind in (3e8 - 2 * STOOD, 0.0):
        assert await store.perform([s.Expire(), usage]) == [s.Expired(more=False), QUOTAS.usage(2000, 0, 900)]
        clock.now -= behind
        await store.perform([s.Expire()])
        clock.now += behind


async def test_an_inbox_stays_where_the_clock_is_behind(tmp_path: Path, clock: Clock) -> None:
    """It and what is in it are there when the machine hears of the time."""
    clock.now += 3e8
    for store in (await SqliteStorage.open(tmp_path, clock=clock), MemoryStorage(seed("store"), clock=clock)):
        await store.perform([INBOX, s.AddItem(INBOX.inbox, b"item", INBOX.write_key)])
        clock.now -= 3e8
        for passed in (0.0, STOOD / 2):
            clock.now += passed
            await store.perform([s.Expire()])
        clock.now += 3e8 - STOOD / 2
        read = s.ReadItems(INBOX.inbox, 0, 1000)
        assert (await store.perform([s.Expire(), read]))[1] == s.ItemPage((s.InboxItem(1, b"item"),), 1)
        await store.close()


async def test_an_inbox_that_was_made_while_the_clock_was_ahead_goes_in_its_time(tmp_path: Path, clock: Clock) -> None:
    """It and what is in it stay for the longest that any may be asked for, once the clock stood for a day, and not for
    years."""
    clock.now += 3e8
    store = await SqliteStorage.open(tmp_path, clock=clock)
    try:
        await store.perform([INBOX, s.AddItem(INBOX.inbox, b"item", INBOX.write_key)])
        clock.now -= 3e8
        read = s.ReadItems(INBOX.inbox, 0, 1000)
        for passed in (0.0, STOOD):
            clock.now += passed
            assert (await store.perform([s.Expire(), read]))[1] == s.ItemPage((s.InboxItem(1, b"item"),), 1)
        clock.now += MAX_INBOX_TTL
        assert codes(await store.perform([s.Expire(), read])) == [None, Code.UNKNOWN]
        assert census(tmp_path).inboxes == census(tmp_path).items == 0
    finally:
        await store.close()


async def test_an_item_rests_on_the_write_key_that_stands(store: s.Storage, clock: Clock) -> None:
    """An inbox that expired and was made anew with another write key takes nothing of who had the first one; before it
    expired, it is renewed with its own alone."""
    again = replace(INBOX, write_key=seed("next writer"))
    assert codes(await store.perform([INBOX, again])) == [None, Code.EXISTS]
    clock.now += 2 * INBOX.ttl
    old, new = (s.AddItem(INBOX.inbox, b"x", each.write_key) for each in (INBOX, again))
    assert codes(await store.perform([again, old, new])) == [None, Code.ROTATED, None]


NEXT, HANDLES = Space("next"), st.sampled_from([SPACE.handle] * 5 + [seed("nowhere")])
READERS = st.sampled_from([READ] * 3 + [NEXT.keys.read])
SIGNERS = st.sampled_from([SPACE.keys.admin, NEXT.keys.admin, SPACE.keys.recovery, seed("somebody")])
HEADS = st.sampled_from([bytes(32), bytes(32), seed("head")])
LAST = seed("the last one")
"""Stands for the last drop of the space."""

RANGES = st.lists(st.builds(s.Dropped, st.integers(1, 3), st.integers(1, 6), HEADS),
                  min_size=1, max_size=2).filter(in_rising_order)
requests = st.one_of(
    st.builds(create, st.integers(0, 2)),
    st.just(s.AddSpace(SPACE.handle, replace(SPACE.keys, recovery=seed("other")))),
    *[st.builds(entry, st.integers(0, 5), st.sampled_from([140, 300, 600]), control=st.booleans(),
                space=st.sampled_from([SPACE, SPACE, NEXT]))] * 3,
    st.builds(s.ReadPage, HANDLES, st.sampled_from([0, 0, 1, 2, 5]), st.sampled_from([1, 700, 2000]), READERS),
    st.just(INBOX), st.builds(s.AddItem, st.just(INBOX.inbox), st.binary(min_size=1, max_size=2),
                              st.just(INBOX.write_key)),
    st.builds(s.ReadItems, st.just(INBOX.inbox), st.sampled_from([0, 0, 1, 4]), st.integers(1, 4)),
    st.builds(s.DropItems, st.just(INBOX.inbox), st.integers(0, 4)), st.just(s.Expire()),
    st.just(s.Lookup((SPACE.handle, INBOX.inbox))), st.builds(chunk, st.integers(0, 5), st.integers(1, 600)),
    st.builds(s.ReadChunk, HANDLES, st.just(chunk(1).chunk), READERS),
    st.builds(s.FindChunks, HANDLES, st.just(tuple(chunk(n).chunk for n in range(6))), READERS),
    st.builds(s.ReadUsage, HANDLES, READERS),
    st.builds(rotate, st.sampled_from([SPACE, NEXT, Space("third")]), st.sampled_from([0, 1, 3, 7]), by=SIGNERS,
              previous=st.sampled_from([READ, NEXT.keys.read, ANY_KEY])),
    st.builds(s.ReadPacket, HANDLES, st.sampled_from([packet("0").tag, packet("2").tag, seed("none")])),
    st.builds(s.DropSpace, HANDLES, st.sampled_from([seed("somebody")] * 2 + [NEXT.keys.admin, SPACE.keys.recovery])),
    *[st.builds(drop, RANGES | st.just([]), st.sampled_from([(), tuple(chunk(n) for n in range(3))]),
                st.sampled_from([LAST, LAST, NO_DROP, seed("another")]), by=st.just(SPACE.keys.admin) | SIGNERS,
                voucher=st.sampled_from([CONTROL, CONTROL, NEXT.keys.control]))] * 3,
)


GROUPS = st.lists(st.lists(requests, min_size=2, max_size=9), min_size=5, max_size=8)
MADE = st.sampled_from([(create(1), INBOX), (create(), INBOX), ()])
"""What is there first: drawn by themselves nearly all requests are about what is not."""

ALL_OF_IT = [
    s.Lookup((SPACE.handle, INBOX.inbox)), s.ReadItems(INBOX.inbox, 0, 1000),
    *[s.ReadPacket(SPACE.handle, packet(name).tag) for name in "0126"],
    *[request for under in (READ, NEXT.keys.read, Space("third").keys.read) for request in (
        s.ReadPage(SPACE.handle, 0, 10_000, under), s.ReadPage(SPACE.handle, 2, 10_000, under),
        s.FindChunks(SPACE.handle, tuple(chunk(n).chunk for n in range(6)), under),
        s.ReadChunk(SPACE.handle, chunk(2).chunk, under), s.ReadUsage(SPACE.handle, under))]]


@given(MADE, GROUPS, st.lists(st.integers(0, 80), max_size=8), st.sampled_from((0, 2, WAITING)), st.booleans())
def test_both_storages_answer_alike(
    made: Sequence[s.Request], groups: Sequence[Sequence[s.Request]], steps: Sequence[int], waiting: int, begins: bool,
) -> None:
    """Whatever is asked, in whatever groups and time, memory and SQLite answer the same.

    However many hashes of entries wait to be written, and where the store begins anew before each group.
    """
    clock = Clock()
    memory = MemoryStorage(seed("incarnation"), quotas=QUOTAS, clock=clock)
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema = Path(s.__file__).parent / "schema"
    for file in sorted(schema.glob("*.sql")):
        db.executescript(file.read_text())
    db.execute("PRAGMA foreign_keys = ON")
    tables = Tables(db, QUOTAS, clock, waiting=waiting)
    assert tables.perform(made) == memory.perform_now(made)
    for number, group in enumerate(groups):
        if begins:
            tables = Tables(db, QUOTAS, clock, waiting=waiting)
        clock.now += steps[number] if number < len(steps) else 0
        group = [headed(request, memory) for request in group]
        assert tables.perform(group) == memory.perform_now(group)
        assert tables.perform(ALL_OF_IT) == memory.perform_now(ALL_OF_IT)
    db.close()


def headed(request: s.Request, memory: MemoryStorage) -> s.Request:
    """A request to drop, with the heads that the log has where it had none, and after the last one if it says so."""
    if not isinstance(request, s.DropEntries) or (space := memory._spaces.get(request.handle)) is None:
        return request
    ranges = [s.Dropped(one.first, one.last, space.heads[one.last])
              if one.head == bytes(32) and one.last < len(space.heads) else one for one in request.ranges]
    follows = space.drop if request.follows == LAST else request.follows
    name = drop_hash(follows, NO_CHECKPOINT, ranges, request.chunks)
    return replace(request, ranges=tuple(ranges), follows=follows, drop=name)


async def test_what_is_dropped_stays_for_its_grace(store: s.Storage, clock: Clock) -> None:
    """Dropped entries are handed out until their grace is over; then a range with its head stands for them."""
    stored = await store.perform([create(), *(entry(n) for n in range(5))])
    heads = {one.offset: one.head for one in stored if isinstance(one, s.Stored)}
    ranges = (s.Dropped(1, 2, heads[2]), s.Dropped(4, 4, heads[4]))
    request = drop(ranges)
    read = s.ReadPage(SPACE.handle, 0, 10_000, READ)
    done, again, _, before = await store.perform([request, request, s.Expire(), read])
    assert done == again == s.Done() and isinstance(before, s.Page) and len(before.entries) == 5 and not before.dropped
    clock.now += QUOTAS.grace
    gone, after = await store.perform([s.Expire(), read])
    assert gone == s.Expired(more=False) and isinstance(after, s.Page)
    assert [one.offset for one in after.entries] == [3, 5] and after.head == heads[5] and after.end == 5
    assert after.dropped == (s.Dropped(1, 2, heads[2]), s.Dropped(4, 4, heads[4]))
    (inside,) = await store.perform([s.ReadPage(SPACE.handle, 1, 10_000, READ)])
    assert isinstance(inside, s.Page) and inside.dropped[0] == s.Dropped(2, 2, heads[2])
    later = drop((s.Dropped(1, 1, heads[1]), s.Dropped(3, 3, heads[3])), follows=request.drop)
    clock.now += QUOTAS.grace * codes(await store.perform([later])).count(None)
    _, united = await store.perform([s.Expire(), read])
    assert isinstance(united, s.Page) and united.dropped == (s.Dropped(1, 4, heads[4]),), "what ends where some is gone"


async def test_what_is_dropped_gives_back_exactly_what_it_took(store: s.Storage, clock: Clock) -> None:
    """Of its own kind, and nothing of another's."""
    piece, kept = chunk(1, 250), chunk(2, 60)
    stored = await store.perform([
        create(1), entry(1, 310), entry(2, 150, control=True), entry(3, 170), entry(4, 160, control=True), piece, kept])
    heads = [one.head for one in stored if isinstance(one, s.Stored)]
    await store.perform([drop([s.Dropped(1, 2, heads[1])], [piece])])
    clock.now += QUOTAS.grace
    await store.perform([s.Expire()])
    (used,) = await store.perform([s.ReadUsage(SPACE.handle, READ)])
    assert isinstance(used, s.SpaceUsage)
    assert (used.entries.bytes, used.control.bytes, used.chunks.bytes) == (170 + PACKET_COST, 160, 60)


async def test_what_is_dropped_gives_its_room_back(store: s.Storage, clock: Clock) -> None:
    """A full space takes entries again once the grace of what was dropped is over, and chunks likewise; of control
    entries' room nothing is given back for others."""
    stored = await store.perform([create(), entry(1, 1000), entry(2, 1000), entry(3), chunk(1, 900), chunk(2, 900),
                                  entry(4, 600, control=True)])
    assert codes(stored)[3] is codes(stored)[5] is Code.QUOTA
    ranges = (s.Dropped(1, 1, stored[1].head),)  # type: ignore[union-attr]
    await store.perform([drop(ranges, [chunk(1, 900)])])
    clock.now += QUOTAS.grace
    assert codes(await store.perform([s.Expire(), entry(3), chunk(2, 900)])) == [None, None, None]
    assert codes(await store.perform([entry(5, 200, control=True)])) == [Code.QUOTA]


async def test_a_chunk_that_is_put_again_is_not_released(store: s.Storage, clock: Clock) -> None:
    """Who asks is told that a released chunk is not there; what is put again stays, if whoever puts it may."""
    stored = await store.perform([create(), entry(1), chunk(1)])
    ranges = (s.Dropped(1, 1, stored[1].head),)  # type: ignore[union-attr]
    await store.perform([drop(ranges, [chunk(1)])])
    find = s.FindChunks(SPACE.handle, (chunk(1).chunk,), READ)
    refused = replace(chunk(1), under=seed("an earlier writer"))
    asked, denied, still, _, again = await store.perform([find, refused, find, chunk(1), find])
    name = drop(ranges, [chunk(1)]).drop
    assert codes([denied]) == [Code.ROTATED] and asked == still == s.FoundChunks((False,), name)
    assert again == s.FoundChunks((True,), name)
    clock.now += QUOTAS.grace
    assert (await store.perform([s.Expire(), find]))[1] == s.FoundChunks((True,), name)


async def test_drops_follow_one_another(store: s.Storage, clock: Clock) -> None:
    """Of two that follow the same one only the first is done; the last one may be repeated, an earlier one not."""
    stored = await store.perform([create(), entry(1), entry(2), chunk(1), chunk(2)])
    ranges = [s.Dropped(n, n, stored[n].head) for n in (1, 2)]  # type: ignore[union-attr]
    first, second = drop(ranges[:1], [chunk(1)]), drop(ranges[1:], [chunk(2)])
    after = drop([], [chunk(2)], first.drop)
    results = await store.perform([first, second, first, after, after, first])
    assert codes(results) == [None, Code.STALE, None, None, None, Code.STALE]
    clock.now += QUOTAS.grace
    find = s.FindChunks(SPACE.handle, (chunk(1).chunk, chunk(2).chunk), READ)
    _, found, page = await store.perform([s.Expire(), find, s.ReadPage(SPACE.handle, 0, 10_000, READ)])
    assert found == s.FoundChunks((False, False), after.drop)
    assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [2]
    assert codes(await store.perform([chunk(3, 900)])) == [None]


async def test_what_was_stored_together_is_dropped_apart(store: s.Storage, clock: Clock) -> None:
    """Of entries that came at once one drop names the second, a later one the third: the first stays."""
    await store.perform([create()])
    stored = [None, *await store.perform([entry(n) for n in range(3)])]
    follows = NO_DROP
    for offset in (2, 3):
        ranges = (s.Dropped(offset, offset, stored[offset].head),)  # type: ignore[union-attr]
        dropped = drop(ranges, (), follows)
        assert await store.perform([dropped]) == [s.Done()]
        follows = dropped.drop
        clock.now += QUOTAS.grace
        assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
    (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
    assert isinstance(page, s.Page) and [one.envelope for one in page.entries] == [entry(0).envelope]


async def test_only_the_admin_drops_and_only_what_was_vouched_for(store: s.Storage) -> None:
    """Another signer, another voucher, a range beyond the end or with another head: refused, and nothing changes."""
    stored = await store.perform([create(), entry(1)])
    ranges = (s.Dropped(1, 1, stored[1].head),)  # type: ignore[union-attr]
    beyond, strange = (s.Dropped(1, 2, stored[1].head),), (s.Dropped(1, 1, seed("h")),)  # type: ignore[union-attr]
    results = await store.perform([
        drop(ranges, by=SPACE.keys.recovery), drop(ranges, voucher=APPEND), drop(beyond), drop(strange), s.Expire(),
        s.ReadPage(SPACE.handle, 0, 10_000, READ)])
    assert codes(results)[:4] == [Code.DENIED, Code.DENIED, Code.AHEAD, Code.STALE]
    assert isinstance(results[5], s.Page) and not results[5].dropped


async def test_a_failing_group_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the disk refuses in the middle of a group, nothing of it is stored or remembered."""
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(), entry(1)])
    outside = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    outside.execute("CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.place % 4294967296 = 3"
                    " BEGIN SELECT raise(ABORT, 'disk full'); END")
    with pytest.raises(StorageFailed):
        await store.perform([entry(2), entry(3)])
    outside.execute("DROP TRIGGER full")
    outside.close()
    again, known = await store.perform([entry(3), s.Lookup((SPACE.handle,))])
    assert isinstance(again, s.Stored) and again.offset == 2 and again.fresh
    assert isinstance(known, s.Found) and known.known[0].offset == 2  # type: ignore[union-attr]
    await store.close()




async def test_a_commit_returns_once_it_is_on_the_disk(tmp_path: Path) -> None:
    """The connection that commits writes a log and syncs it each time, also when the store is opened again."""
    for _ in range(2):
        store = await SqliteStorage.open(tmp_path)
        told = []
        for name in ("journal_mode", "synchronous"):
            async with store._db.execute(f"PRAGMA {name}") as rows:
                told += await rows.fetchone() or ()
        await store.close()
        assert told == [b"wal", 2]  # 2 is FULL


async def test_a_reopened_store_is_the_same(tmp_path: Path) -> None:
    """Incarnation, spaces, entries, heads and items survive closing and opening."""
    store = await SqliteStorage.open(tmp_path)
    before = await store.perform([
        create(), entry(1), INBOX, s.AddItem(INBOX.inbox, b"x", INBOX.write_key), chunk(1, 700)])
    incarnation = store.incarnation
    await store.close()
    store = await SqliteStorage.open(tmp_path, quotas=QUOTAS)
    assert store.incarnation == incarnation and len(incarnation) == 32
    again, items, data, more = await store.perform([
        entry(1), s.ReadItems(INBOX.inbox, 0, 10), s.ReadChunk(SPACE.handle, chunk(1, 700).chunk, READ), chunk(2, 301)])
    assert data == s.ChunkData(chunk(1, 700).data) and more.code is Code.QUOTA  # type: ignore[union-attr]
    assert again.head == before[1].head  # type: ignore[union-attr]
    assert items == s.ItemPage((s.InboxItem(1, b"x"),), 1)
    await store.close()


async def test_two_relays_never_share_a_folder(tmp_path: Path) -> None:
    """A second relay on the same data is refused, also after the lock's file was removed; a census beside the first one
    is fine.
    """
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(), entry(1), chunk(1, 50), chunk(2, 60)])
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="another relay"):
            await SqliteStorage.open(tmp_path)
        (tmp_path / "relay.lock").unlink()  # as what was left of a relay that is gone
    found = census(tmp_path)
    assert (found.spaces, found.entries, found.bytes, found.chunks, found.blob_bytes) == (1, 1, 300, 2, 110)
    await store.close()


async def test_two_relays_never_share_a_file(tmp_path: Path) -> None:
    """One store by a hard link in two folders, each with a log of its own, would be damaged; not so a copy of it, nor
    the other folder when the first relay has ended.
    """
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    store = await SqliteStorage.open(first)
    await store.perform([create(), entry(1)])
    for folder, put in ((second, os.link), (third, shutil.copy)):
        folder.mkdir(mode=0o700)
        put(first / FILE_NAME, folder / FILE_NAME)
    with pytest.raises(StoreUnusable, match=r"another relay uses this relay\.sqlite"):
        await SqliteStorage.open(second)
    await (await SqliteStorage.open(third)).close()
    await store.perform([entry(2)])
    await store.close()
    await (await SqliteStorage.open(second)).close()


async def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    """A database of something else, or of a newer version, is not touched."""
    for name, statement in (("foreign", "CREATE TABLE t (x)"), ("newer", "PRAGMA user_version = 99")):
        folder = tmp_path / name
        folder.mkdir()
        with sqlite3.connect(folder / FILE_NAME) as db:
            db.execute(statement)
        db.close()
        before = (folder / FILE_NAME).read_bytes()[100:]
        with pytest.raises(StoreUnusable):
            await SqliteStorage.open(folder)
        assert (folder / FILE_NAME).read_bytes()[100:] == before


def test_what_expires_at_once_goes_a_slice_at_a_time(tmp_path: Path) -> None:
    """A flood of inboxes whose time ends together keeps nobody waiting for it: each look takes its slice, to the end.

    From the first moment on nothing of it is shown.
    """
    clock, boxes, items = Clock(), 5, 900
    with new_store(tmp_path / "relay.sqlite") as db:
        tables = Tables(db, s.Quotas(inbox_items=items), clock)
        names = [seed(f"inbox {number}") for number in range(boxes)]
        tables.perform([s.AddInbox(name, seed("owner"), seed("writer"), 100) for name in names])
        clock.now += 50
        for name in names:
            tables.perform([s.AddItem(name, number.to_bytes(2, "big"), seed("writer")) for number in range(items)])
        clock.now += 50
        slices, more = [], True
        while more:
            before = db.total_changes
            (gone, found) = tables.perform([s.Expire(), s.Lookup(tuple(names))])
            assert isinstance(gone, s.Expired) and found == s.Found((None,) * boxes)
            slices.append(db.total_changes - before)
            more = gone.more
        assert sum(slices) == boxes * (items + 1) and max(slices) <= SWEEP_ROWS
