"""What deleted spaces and drops leave in the store's file goes in slices, once each, and all of it."""

from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage import space_rows
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.tables import Tables
from chez_wire.packets import PACKET_COST
from tests.relay.storing import READ, SPACE, Clock, chunk, codes, create, drop, entry, new_store, rotate
from tests.relay.support import Space

ROWS = 10


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of a few rows."""
    monkeypatch.setattr(space_rows, "SWEEP_ROWS", ROWS)


def test_hashes_of_a_deleted_space_are_part_of_a_slice(tmp_path: Path) -> None:
    """None is left behind with nobody to name it, and a look that removes them takes no longer than another."""
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(), Clock(), waiting=0)
        tables.perform([create(), *(entry(number) for number in range(25))])
        tables.perform([s.DropSpace(SPACE.handle, SPACE.keys.admin)])
        assert db.execute("SELECT count(*) FROM hashes").fetchone() == (25,)
        slices, more = [], True
        while more:
            before = db.total_changes
            more = tables.perform([s.Expire()]) == [s.Expired(more=True)]
            slices.append(db.total_changes - before)
        assert max(slices) <= ROWS + 1 and sum(slices) == 25 + 25 + 1
        for name in ("entries", "hashes", "leftovers"):
            assert db.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)


def test_many_deleted_spaces_that_were_empty_go_one_slice_after_the_other(tmp_path: Path) -> None:
    """Each look says that there are more."""
    spaces = [Space(f"{number}") for number in range(2 * ROWS + 1)]
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(), Clock())
        tables.perform([s.AddSpace(space.handle, space.keys) for space in spaces])
        tables.perform([s.DropSpace(space.handle, space.keys.admin) for space in spaces])
        assert [tables.perform([s.Expire()]) for _ in range(3)] == [[s.Expired(more)] for more in (True, True, False)]
        assert db.execute("SELECT count(*) FROM leftovers").fetchone() == (0,)


def test_an_entry_that_ends_one_range_and_begins_another_waits_once(tmp_path: Path) -> None:
    """It goes with the one that was named first."""
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(), Clock())
        heads = [one.head for one in tables.perform([create(), *(entry(number) for number in range(8))])
                 if isinstance(one, s.Stored)]
        first = drop([s.Dropped(3, 5, heads[4])])
        second = drop([s.Dropped(1, 3, heads[2]), s.Dropped(5, 8, heads[7])], follows=first.drop)
        assert tables.perform([first, second]) == [s.Done(), s.Done()]
        assert db.execute("SELECT first, last FROM dropping").fetchall() == [(1, 2), (3, 5), (6, 8)]


async def test_a_chunk_that_is_released_again_goes_no_later(store: s.Storage, clock: Clock) -> None:
    """Its grace began with the first time."""
    await store.perform([create(), chunk(1), chunk(2)])
    first = drop([], [chunk(1)])
    await store.perform([first])
    clock.now += 30
    assert await store.perform([drop([], [chunk(1), chunk(2)], first.drop)]) == [s.Done()]
    clock.now += 20
    _, one, two = await store.perform([s.Expire(), *(s.ReadChunk(SPACE.handle, chunk(number).chunk, READ)
                                                     for number in (1, 2))])
    assert codes([one]) == [Code.MISSING] and two == s.ChunkData(chunk(2).data)


def test_packets_are_held_to_the_quota_to_the_last_one(tmp_path: Path) -> None:
    """And where it was lowered since, keys are still replaced with as many packets: somebody may have to be put out."""
    with new_store(tmp_path / FILE_NAME) as db:
        quotas = s.Quotas(space_bytes=3 * PACKET_COST)
        assert codes(Tables(db, quotas, Clock()).perform([create(4), create(3)])) == [Code.QUOTA, None]
        lower = Tables(db, s.Quotas(space_bytes=2 * PACKET_COST), Clock())
        assert codes(lower.perform([rotate(Space("next"), 4), rotate(Space("next"), 3)])) == [Code.QUOTA, None]


def test_a_range_of_more_entries_than_a_slice_has_rows_goes_to_its_end(tmp_path: Path) -> None:
    """The rest of it waits for the next slice, at once."""
    clock, last = Clock(), 2 * ROWS + 1
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        heads = [one.head for one in tables.perform([create(), *(entry(number) for number in range(last + 1))])
                 if isinstance(one, s.Stored)]
        assert tables.perform([drop([s.Dropped(1, last, heads[last - 1])])]) == [s.Done()]
        clock.now += 50
        assert [tables.perform([s.Expire()]) for _ in range(3)] == [[s.Expired(more)] for more in (True, True, False)]
        (page,) = tables.perform([s.ReadPage(SPACE.handle, 0, 100_000, READ)])
        assert isinstance(page, s.Page) and [one.offset for one in page.entries] == [last + 1]
        assert page.dropped == (s.Dropped(1, last, heads[last - 1]),)


def test_what_damage_keeps_is_no_reason_to_look_again_at_once(tmp_path: Path) -> None:
    """Though it fills a slice: a relay would do nothing else from then on."""
    clock = Clock()
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        heads = [one.head for one in tables.perform([create(), *(entry(number) for number in range(2 * ROWS))])
                 if isinstance(one, s.Stored)]
        ranges = [s.Dropped(offset, offset, heads[offset - 1]) for offset in range(1, 2 * ROWS + 1, 2)]
        assert tables.perform([drop(ranges)]) == [s.Done()]
        db.execute("UPDATE dropping SET seal = x'00'")
        clock.now += 50
        assert tables.perform([s.Expire()]) == [s.Expired(more=False)]
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (2 * ROWS,)


def test_a_deleted_space_leaves_nothing_that_waits_to_be_dropped(tmp_path: Path) -> None:
    """Nor what is left of ranges that went: what a row would name is another's, or nobody's."""
    clock = Clock()
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(grace=50), clock)
        heads = [one.head for one in tables.perform([create(), chunk(1), *(entry(number) for number in range(6))])
                 if isinstance(one, s.Stored)]
        first = drop([s.Dropped(1, 2, heads[1])])
        tables.perform([first])
        clock.now += 50
        tables.perform([s.Expire(), drop([s.Dropped(4, 5, heads[4])], [chunk(1)], first.drop)])
        names = ("dropped", "dropping", "releasing")
        assert [db.execute(f"SELECT count(*) FROM {name}").fetchone() for name in names] == [(1,)] * 3
        tables.perform([s.DropSpace(SPACE.handle, SPACE.keys.admin)])
        assert [db.execute(f"SELECT count(*) FROM {name}").fetchone() for name in names] == [(0,)] * 3
        clock.now += 50
        assert tables.perform([s.Expire()]) == [s.Expired(more=False)]
