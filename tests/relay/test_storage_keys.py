"""Rotation, packets and deletion: what every storage guarantees of a space's keys."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code, StorageFailed
from chez_relay.storage import space_rows
from chez_relay.storage.census import census
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.limits import MAX_PACKETS
from chez_wire.login import ANY_KEY
from tests.relay.storing import APPEND, CONTROL, READ, SPACE, Clock, chunk, codes, create, drop, entry, rotate, table
from tests.relay.support import Space, packet, seed

NEXT, THIRD = SPACE.rotated(), SPACE.rotated("third")
HANDLE, RECOVERY = SPACE.handle, SPACE.keys.recovery


def known(result: s.Result) -> s.SpaceKeys | s.Gone | None:
    """The keys that a Lookup of one space found, or that it was deleted."""
    assert isinstance(result, s.Found)
    info = result.known[0]
    return info.keys if isinstance(info, s.SpaceInfo) else info if isinstance(info, s.Gone) else None


LOOK = s.Lookup((HANDLE,))


async def test_a_rotation_replaces_keys_and_packets_as_a_whole(store: s.Storage) -> None:
    """Admin key, credentials and the table of packets are new at once; recovery key and log stay."""
    group = [create(3), entry(1), rotate(NEXT, 2), LOOK, s.ReadPacket(HANDLE, packet("0").tag),
             s.ReadPacket(HANDLE, packet("2").tag), entry(2, space=NEXT)]
    results = await store.perform(group)
    assert known(results[3]) == NEXT.keys and NEXT.keys.recovery == RECOVERY
    assert results[4] == s.PacketData(packet("0", 1).box)
    assert codes(results[5:6]) == [Code.UNKNOWN]
    assert isinstance(results[6], s.Stored) and results[6].offset == 2


async def test_a_rotation_that_builds_on_another_read_key_changes_nothing(store: s.Storage) -> None:
    """Compare and set: the second of two rotations of one state is stale, and so is one that keeps the read key."""
    same = s.RotateSpace(HANDLE, SPACE.keys.admin, READ, THIRD.keys.admin,
                         s.Credentials(READ, THIRD.keys.append, THIRD.keys.control))
    results = await store.perform([
        create(2), same, rotate(NEXT, 2), rotate(THIRD, 1, by=NEXT.keys.admin), LOOK,
        s.ReadPacket(HANDLE, packet("1").tag)])
    assert codes(results[1:4]) == [Code.STALE, None, Code.STALE]
    assert known(results[4]) == NEXT.keys and results[5] == s.PacketData(packet("1", 1).box)


async def test_a_repeated_rotation_is_done_until_another_follows(store: s.Storage) -> None:
    """Its answer lost, a rotation may be said again by the key it replaced; after the next one it is history."""
    once = rotate(NEXT, 2)
    results = await store.perform([create(), once, once])
    (again,) = await store.perform([once])
    other_packets, *later = await store.perform([
        rotate(NEXT, 1), rotate(THIRD, by=NEXT.keys.admin, previous=NEXT.keys.read), once, LOOK])
    assert [*results[1:], again] == [s.Done()] * 3
    assert codes([other_packets, *later[:2]]) == [Code.STALE, None, Code.STALE]
    assert known(later[2]) == THIRD.keys


async def test_nobody_but_admin_and_recovery_rotates_or_deletes(store: s.Storage) -> None:
    """Another space's admin, a former admin, a credential: denied; what is not there is unknown."""
    others = (Space("other").keys.admin, READ, APPEND, CONTROL, seed("somebody"))
    results = await store.perform([create(), *(rotate(NEXT, by=key) for key in others),
                                   *(s.DropSpace(HANDLE, key) for key in others), LOOK])
    assert codes(results) == [None, *[Code.DENIED] * 10, None] and known(results[-1]) == SPACE.keys
    former = await store.perform([
        rotate(NEXT), rotate(THIRD, previous=NEXT.keys.read), s.DropSpace(HANDLE, SPACE.keys.admin),
        s.RotateSpace(seed("nowhere"), seed("k"), READ, seed("k"), NEXT.keys.credentials)])
    assert codes(former) == [None, Code.DENIED, Code.DENIED, Code.UNKNOWN]


async def test_the_recovery_key_outranks_the_admin_key(store: s.Storage) -> None:
    """An owner rotates everybody else out; the recovery key takes the space back without knowing one of its keys."""
    back = rotate(THIRD, 1, by=RECOVERY, previous=ANY_KEY)
    results = await store.perform([
        create(), rotate(NEXT), rotate(THIRD, by=NEXT.keys.admin, previous=ANY_KEY), rotate(THIRD, by=RECOVERY),
        back, back, LOOK, rotate(SPACE, by=NEXT.keys.admin, previous=THIRD.keys.read),
        s.DropSpace(HANDLE, NEXT.keys.admin)])
    assert codes(results[2:6]) == [Code.STALE, Code.STALE, None, None]
    assert known(results[6]) == THIRD.keys
    assert codes(results[7:]) == [Code.DENIED, Code.DENIED]


async def test_a_request_under_a_replaced_credential_is_refused_however_early_it_was_asked(store: s.Storage) -> None:
    """Within one group: what comes before the rotation is done, the same behind it is refused, all kinds alike."""
    asks = [entry(1), entry(2, control=True), s.ReadPage(HANDLE, 0, 1000, READ), chunk(1),
            s.ReadChunk(HANDLE, chunk(1).chunk, READ), s.FindChunks(HANDLE, (chunk(1).chunk,), READ),
            s.ReadUsage(HANDLE, READ)]
    results = await store.perform([create(), *asks, rotate(NEXT), *asks])
    assert codes(results) == [None] * 9 + [Code.ROTATED] * 7
    confused = [s.ReadPage(HANDLE, 0, 1000, NEXT.keys.append), entry(3, control=True, space=Space("other"))]
    assert codes(await store.perform(confused)) == [Code.ROTATED] * 2


async def test_packets_count_in_the_quota_and_a_full_space_is_rotated_all_the_same(store: s.Storage) -> None:
    """Packets take room from entries (2000 bytes here, 288 each); only packets alone above it are refused."""
    results = await store.perform([
        create(), entry(1, 1900), rotate(NEXT, 6), entry(2, 140, space=NEXT),
        rotate(THIRD, 0, by=NEXT.keys.admin, previous=NEXT.keys.read), entry(3, 100 + 140, space=THIRD),
        rotate(SPACE, 7, by=THIRD.keys.admin, previous=THIRD.keys.read), entry(3, 140, space=THIRD)])
    assert codes(results) == [None, None, None, Code.QUOTA, None, Code.QUOTA, Code.QUOTA, Code.QUOTA]
    fresh = await store.perform([
        s.DropSpace(HANDLE, THIRD.keys.admin), create(7), create(6), entry(1, 272), entry(2, 140)])
    assert codes(fresh) == [None, Code.QUOTA, None, None, Code.QUOTA]


async def test_creating_again_wants_the_same_packets(store: s.Storage) -> None:
    """Same keys and packets are done; other packets, or keys that were rotated since, are refused."""
    results = await store.perform([create(2), create(2), create(1), rotate(NEXT), create(2)])
    assert codes(results) == [None, None, Code.EXISTS, None, Code.EXISTS]


async def test_an_unknown_space_and_an_unknown_tag_are_answered_alike(store: s.Storage) -> None:
    """Whoever asks learns nothing of a space but with a tag of it."""
    tag = packet("0").tag
    _, found, no_tag, no_space, neither = await store.perform([
        create(1), s.ReadPacket(HANDLE, tag), s.ReadPacket(HANDLE, seed("none")), s.ReadPacket(seed("nowhere"), tag),
        s.ReadPacket(seed("nowhere"), seed("none"))])
    assert found == s.PacketData(packet("0").box)
    assert no_tag == no_space == neither and codes([no_tag]) == [Code.UNKNOWN]


async def test_a_deleted_space_is_gone_and_its_handle_is_free(store: s.Storage) -> None:
    """Log, chunks and packets are not there any more, also not in the empty space made anew under the handle."""
    gone = s.DropSpace(HANDLE, RECOVERY)
    asks = [s.ReadPage(HANDLE, 0, 1000, READ), s.ReadChunk(HANDLE, chunk(1).chunk, READ),
            s.ReadPacket(HANDLE, packet("0").tag), entry(2), rotate(NEXT)]
    results = await store.perform([create(1), entry(1), chunk(1), gone, gone, LOOK, *asks, s.Expire()])
    assert codes(results[:5]) == [None] * 5 and known(results[5]) == s.Gone()
    assert codes(results[6:]) == [*[Code.UNKNOWN] * 5, None]
    anew = await store.perform([create(), LOOK, *asks[:3], entry(1)])
    assert known(anew[1]) == SPACE.keys and anew[2] == s.Page((), GENESIS_HEAD, 0)
    assert codes(anew[3:5]) == [Code.MISSING, Code.UNKNOWN]
    assert isinstance(anew[5], s.Stored) and anew[5].offset == 1 and anew[5].fresh


async def test_a_deleted_handle_keeps_its_recovery_key(store: s.Storage) -> None:
    """Made anew under another recovery key it would be another's space: refused until it has the same."""
    other = s.AddSpace(HANDLE, replace(SPACE.keys, recovery=seed("other")))
    results = await store.perform([
        create(), s.DropSpace(HANDLE, SPACE.keys.admin), other, create(), s.DropSpace(HANDLE, RECOVERY), LOOK])
    assert codes(results) == [None, None, Code.EXISTS, None, None, None] and known(results[5]) == s.Gone()
    never, again = await store.perform([s.Lookup((seed("nowhere"),)), other])
    assert known(never) is None and codes([again]) == [Code.EXISTS]


async def test_what_a_deleted_space_held_is_removed_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Expire removes a bounded part, says whether there is more, and spares the next space under the handle."""
    monkeypatch.setattr(space_rows, "SWEEP_ROWS", 10)
    monkeypatch.setattr(space_rows, "SWEEP_BYTES", 1000)
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(2), *(entry(number) for number in range(8)), *(chunk(number) for number in range(5))])
    await store.perform([s.DropSpace(HANDLE, SPACE.keys.admin), create(1), entry(100), chunk(100)])

    def rows() -> tuple[int, int]:
        with sqlite3.connect(tmp_path / FILE_NAME) as db:
            counted = db.execute("SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM chunks)").fetchone()
        db.close()
        return counted[0], counted[1]

    seen = [rows()]
    while (await store.perform([s.Expire()])) == [s.Expired(more=True)]:
        seen.append(rows())
    assert seen == [(9, 6), (5, 6), (1, 6), (1, 2)] and rows() == (1, 1)
    page, found = await store.perform([s.ReadPage(HANDLE, 0, 9999, READ), s.ReadChunk(HANDLE, chunk(100).chunk, READ)])
    assert isinstance(page, s.Page) and [one.envelope for one in page.entries] == [entry(100).envelope]
    assert found == s.ChunkData(chunk(100).data)
    await store.close()


async def test_what_was_dropped_is_removed_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves a log that is whole, and counters of what is there, also where the relay begins anew in between."""
    monkeypatch.setattr(space_rows, "SWEEP_ROWS", 5)
    monkeypatch.setattr(space_rows, "SWEEP_BYTES", 1000)
    clock = Clock()
    store = await SqliteStorage.open(tmp_path, quotas=s.Quotas(grace=50), clock=clock)
    kept = [entry(number, control=number % 3 == 0) for number in range(13)]
    stored = await store.perform([create(), *kept, *(chunk(number) for number in range(6))])
    heads = {one.offset: one.head for one in stored if isinstance(one, s.Stored)}
    ranges = [s.Dropped(first, last, heads[last]) for first, last in ((2, 8), (9, 9), (11, 12))]
    await store.perform([drop(ranges, [chunk(number) for number in range(5)])])
    clock.now += 50
    find = s.FindChunks(HANDLE, tuple(chunk(number).chunk for number in range(6)), READ)
    more, left = True, []
    while more:
        await store.close()
        assert check(tmp_path / FILE_NAME).sound
        store = await SqliteStorage.open(tmp_path, quotas=s.Quotas(grace=50), clock=clock)
        expired, page, usage, found = await store.perform([
            s.Expire(), s.ReadPage(HANDLE, 0, 99999, READ), s.ReadUsage(HANDLE, READ), find])
        assert isinstance(page, s.Page) and isinstance(usage, s.SpaceUsage) and isinstance(expired, s.Expired)
        offsets = [one.offset for one in page.entries]
        gone = [offset for one in page.dropped for offset in range(one.first, one.last + 1)]
        assert sorted(offsets + gone) == list(range(1, 14)) and page.head == heads[13]
        control = 300 * sum(kept[offset - 1].control for offset in offsets)
        assert (usage.entries.bytes, usage.control.bytes) == (300 * len(offsets) - control, control)
        left.append((len(offsets), usage.chunks.bytes))
        more = expired.more
    assert [offset for offset in range(1, 14) if offset not in gone] == offsets == [1, 10, 13]
    assert left == [(9, 1800), (5, 1800), (3, 1200), (3, 300)]
    assert found == s.FoundChunks((False,) * 5 + (True,), drop(ranges, [chunk(number) for number in range(5)]).drop)
    await store.close()


async def test_a_reopened_store_has_the_newest_keys_and_packets(tmp_path: Path) -> None:
    """A rotation, and the largest table of packets, survive closing and opening; a census counts the packets."""
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(2)])
    await store.perform([rotate(NEXT, MAX_PACKETS)])
    await store.close()
    store = await SqliteStorage.open(tmp_path)
    keys, found, again = await store.perform([
        LOOK, s.ReadPacket(HANDLE, packet("2047").tag), rotate(NEXT, MAX_PACKETS)])
    assert known(keys) == NEXT.keys and found == s.PacketData(packet("2047", 1).box) and again == s.Done()
    assert census(tmp_path).packets == MAX_PACKETS and census(tmp_path).sizes[0].packets == MAX_PACKETS
    await store.close()


async def test_a_rotation_that_the_disk_refuses_leaves_the_old_keys(tmp_path: Path) -> None:
    """When the disk refuses in the middle of the packets, keys and packets are the former, also in memory."""
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(2)])
    outside = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    outside.execute("CREATE TRIGGER full BEFORE INSERT ON packets WHEN (SELECT count(*) FROM packets) = 1"
                    " BEGIN SELECT raise(ABORT, 'disk full'); END")
    with pytest.raises(StorageFailed):
        await store.perform([rotate(NEXT, 2)])
    outside.execute("DROP TRIGGER full")
    outside.close()
    keys, *boxes = await store.perform([LOOK, *(s.ReadPacket(HANDLE, one.tag) for one in table(2))])
    assert known(keys) == SPACE.keys and boxes == [s.PacketData(one.box) for one in table(2)]
    assert await store.perform([rotate(NEXT, 2)]) == [s.Done()]
    await store.close()
