"""An append that is repeated is stored once, wherever its hash is: in memory, in the file, or in the log alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage import entry_hashes, space_rows
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.tables import Tables
from chez_wire.envelope import entry_id
from tests.relay.storing import READ, SPACE, Clock, codes, create, drop, entry, new_store
from tests.relay.support import Space

OTHER = Space("other")
QUOTAS = s.Quotas(grace=50)
RUN = 8
RUNS = 3
COUNT = RUN * RUNS


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are written a few at a time."""
    monkeypatch.setattr(entry_hashes, "RUN", RUN)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new store's file."""
    with new_store(tmp_path / FILE_NAME) as db:
        yield db


def started(db: sqlite3.Connection, waiting: int, clock: Clock | None = None) -> Tables:
    """A store that remembers nothing yet, and keeps so many hashes in memory."""
    return Tables(db, QUOTAS, clock or Clock(), waiting=waiting)


def written(db: sqlite3.Connection) -> int:
    """How many hashes are written."""
    return int(db.execute("SELECT count(*) FROM hashes").fetchone()[0])


def entries(count: int = COUNT) -> list[s.AddEntry]:
    """So many, each another one."""
    return [entry(number) for number in range(count)]


def again(tables: Tables, count: int = COUNT) -> None:
    """All that was appended is there once, at its place, asked for together or alone."""
    for results in (tables.perform(entries(count)), [tables.perform([one])[0] for one in entries(count)]):
        assert [(one.offset, one.fresh) for one in results if isinstance(one, s.Stored)] == [
            (number + 1, False) for number in range(count)]


@pytest.mark.parametrize("waiting", [0, RUN, COUNT - RUN, COUNT])
def test_a_repeated_append_is_stored_once(db: sqlite3.Connection, tmp_path: Path, waiting: int) -> None:
    """Before and after a start, whether hashes wait, are written, or some of both."""
    tables = started(db, waiting)
    tables.perform([create(), *entries()])
    assert written(db) == COUNT - waiting
    again(tables)
    again(started(db, waiting))
    assert check(tmp_path / FILE_NAME).sound
    again(started(db, 0))
    started(db, 0).perform([entry(COUNT)])
    assert written(db) == COUNT + 1 and check(tmp_path / FILE_NAME).sound


def test_a_hash_is_looked_up_by_its_first_bytes() -> None:
    """Stores have them written: looked up by others an entry of before would be stored twice."""
    for first in (b"\x01", b"\xff"):
        begin = first + bytes(range(1, 8))
        assert entry_hashes.start(begin + bytes(24)) == int.from_bytes(begin, "big", signed=True)
    assert entry_hashes.start(b"short") == 0


async def test_a_store_that_is_closed_leaves_none_waiting(tmp_path: Path) -> None:
    """All are in the file then, and the next start reads none from the log."""
    store = await SqliteStorage.open(tmp_path)
    await store.perform([create(), *entries()])
    await store.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert written(db) == COUNT and db.execute("SELECT hashed FROM spaces").fetchone() == (COUNT,)
    assert check(tmp_path / FILE_NAME).sound


def test_a_group_that_is_undone_leaves_its_hashes_nowhere(db: sqlite3.Connection, tmp_path: Path) -> None:
    """Not in memory and not in the file: what it would have stored is stored by the next one."""
    tables = started(db, RUN)
    tables.perform([create(), *entries(RUN)])
    db.execute("CREATE TRIGGER full BEFORE UPDATE ON spaces BEGIN SELECT raise(ABORT, 'disk full'); END")
    for _ in range(2):  # hashes are written before the row of their space
        with pytest.raises(sqlite3.Error):
            tables.perform(entries())
    db.execute("DROP TRIGGER full")
    assert written(db) == 0
    again(tables, RUN)
    results = tables.perform(entries())
    assert [(one.offset, one.fresh) for one in results if isinstance(one, s.Stored)] == [
        (number + 1, number >= RUN) for number in range(COUNT)]
    assert written(db) == COUNT - RUN and check(tmp_path / FILE_NAME).sound


def test_after_groups_that_failed_at_the_hashes_all_goes_on(db: sqlite3.Connection, tmp_path: Path) -> None:
    """Where the disk was full just when hashes were written, they are written once there is room, and at the end."""
    tables = started(db, RUN)
    tables.perform([create(), *entries(RUN)])
    db.execute("CREATE TRIGGER full BEFORE INSERT ON hashes BEGIN SELECT raise(ABORT, 'disk full'); END")
    for _ in range(3):
        with pytest.raises(sqlite3.Error):
            tables.perform(entries())
    db.execute("DROP TRIGGER full")
    tables.perform(entries())
    assert written(db) == COUNT - RUN
    tables.settle()
    assert written(db) == COUNT and check(tmp_path / FILE_NAME).sound
    again(tables)


def test_what_is_undone_for_one_space_is_undone_for_all(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A group for one space writes hashes of another: when it fails those wait as before."""
    tables = started(db, COUNT)
    tables.perform([create(), s.AddSpace(OTHER.handle, OTHER.keys), *entries()])
    envelope = OTHER.envelope(1)
    elsewhere = s.AddEntry(OTHER.handle, entry_id(envelope), envelope, False, OTHER.keys.append)
    db.execute("CREATE TRIGGER full BEFORE UPDATE ON spaces BEGIN SELECT raise(ABORT, 'disk full'); END")
    with pytest.raises(sqlite3.Error):
        tables.perform([elsewhere])
    db.execute("DROP TRIGGER full")
    again(tables)
    (stored,) = tables.perform([elsewhere])
    assert isinstance(stored, s.Stored) and stored.fresh and written(db) == RUN
    again(tables)
    assert check(tmp_path / FILE_NAME).sound


def test_a_damaged_space_keeps_no_other_from_being_written(db: sqlite3.Connection) -> None:
    """Where its hashes are next, and its row, which is read anew after a group that failed, is not what it was."""
    tables = started(db, COUNT)
    tables.perform([create(), s.AddSpace(OTHER.handle, OTHER.keys), *entries()])
    db.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT raise(ABORT, 'disk full'); END")
    with pytest.raises(sqlite3.Error):
        tables.perform([entry(COUNT)])
    db.execute("DROP TRIGGER full")
    db.execute("UPDATE spaces SET head = x'00' WHERE handle = ?", (SPACE.handle,))
    envelopes = [OTHER.envelope(number) for number in range(COUNT + 1)]
    elsewhere = [s.AddEntry(OTHER.handle, entry_id(one), one, False, OTHER.keys.append) for one in envelopes]
    for group in (elsewhere[:-1], elsewhere[-1:]):
        assert codes(tables.perform([entry(1), *group])) == [Code.DAMAGED] + [None] * len(group)


@pytest.mark.parametrize("waiting", [0, RUN])
def test_what_was_dropped_can_be_appended_anew(db: sqlite3.Connection, tmp_path: Path, waiting: int) -> None:
    """With an entry goes its hash, from memory or the file, and nothing else does."""
    clock = Clock()
    tables = started(db, waiting, clock)
    stored = tables.perform([create(), *entries()])
    first, last = stored[2], stored[-1]
    assert isinstance(first, s.Stored) and isinstance(last, s.Stored)
    ranges = [s.Dropped(2, 2, first.head), s.Dropped(COUNT, COUNT, last.head)]
    assert tables.perform([drop(ranges)]) == [s.Done()]
    clock.now += QUOTAS.grace
    tables.perform([s.Expire()])
    assert written(db) == COUNT - waiting - (2 if not waiting else 1)
    results = tables.perform(entries())
    assert [(one.offset, one.fresh) for one in results if isinstance(one, s.Stored)] == [
        (number + 1, False) if number not in (1, COUNT - 1) else (COUNT + 1 + (number > 1), True)
        for number in range(COUNT)]
    assert check(tmp_path / FILE_NAME).sound


def test_of_an_entry_that_was_dropped_while_its_hash_waited_none_is_written(
        db: sqlite3.Connection, tmp_path: Path) -> None:
    """Written at the end it would pass for damage, and there would be no backup of the store."""
    clock = Clock()
    tables = started(db, COUNT, clock)
    last = tables.perform([create(), *entries()])[-1]
    assert isinstance(last, s.Stored)
    tables.perform([drop([s.Dropped(COUNT, COUNT, last.head)])])
    clock.now += QUOTAS.grace
    tables.perform([s.Expire()])
    tables.settle()
    assert written(db) == COUNT - 1 and check(tmp_path / FILE_NAME).sound


def test_hashes_that_begin_alike_are_told_apart(db: sqlite3.Connection) -> None:
    """Who makes two entries whose hashes have the same first eight bytes has both stored, each once, whatever comes
    with them."""
    twins = [s.AddEntry(SPACE.handle, b"the same" + bytes(23) + bytes((number,)), SPACE.envelope(number), False,
                        SPACE.keys.append) for number in range(5)]
    tables = started(db, 0)
    tables.perform([create()])
    for _ in range(2):
        stored = [tables.perform([twin])[0] for twin in twins[:3]]
        assert [one.offset for one in stored if isinstance(one, s.Stored)] == [1, 2, 3]
    for fresh in (True, False):
        results = tables.perform([entry(6), twins[3], entry(7), twins[4], entry(8)])
        assert [(one.offset, one.fresh) for one in results if isinstance(one, s.Stored)] == [
            (offset, fresh) for offset in range(4, 9)]


def test_the_hashes_of_a_deleted_space_go_with_it(
        db: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory at once, in the file with the entries, however many slices that takes; what has its handle afterwards
    has none of them."""
    monkeypatch.setattr(space_rows, "SWEEP_ROWS", COUNT // 2 - 2)
    tables = started(db, RUN)
    tables.perform([create(), *entries()])
    results = tables.perform([s.DropSpace(SPACE.handle, SPACE.keys.admin), create(), *entries(RUN)])
    assert [(one.offset, one.fresh) for one in results if isinstance(one, s.Stored)] == [
        (number + 1, True) for number in range(RUN)]
    while tables.perform([s.Expire()]) == [s.Expired(more=True)]:
        pass
    assert written(db) == 0 and check(tmp_path / FILE_NAME).sound
    again(tables, RUN)


@pytest.mark.parametrize("change", [
    "DELETE FROM hashes WHERE offset = 3", "UPDATE hashes SET start = start + 1 WHERE offset = 3",
    "UPDATE hashes SET offset = 99 WHERE offset = 3", "INSERT INTO hashes VALUES (1, 7, 3)",
])
def test_hashes_that_the_disk_damaged_are_told_and_believed_by_nobody(tmp_path: Path, change: str) -> None:
    """`check` says so; no entry is taken for another, and the others are found as ever."""
    with new_store(tmp_path / FILE_NAME) as db:
        started(db, 0).perform([create(), *entries()])
        db.execute(change)
        again(started(db, 0), 2)
        (stored,) = started(db, 0).perform([entry(2)])
        assert isinstance(stored, s.Stored) and stored.offset in (3, COUNT + 1)
        (page,) = started(db, 0).perform([s.ReadPage(SPACE.handle, 2, 1, READ)])
        assert isinstance(page, s.Page) and page.entries == (s.Entry(3, entry(2).envelope),)
    found = check(tmp_path / FILE_NAME)
    assert found.findings == ("space 1: the hashes by which its entries are found",)


def test_a_damaged_entry_in_the_log_stops_no_other(tmp_path: Path) -> None:
    """What damage leaves of a hash in the log, which is read at a start, is no reason to refuse what comes."""
    path = tmp_path / FILE_NAME
    with new_store(path) as db:
        started(db, COUNT).perform([create(), *entries()])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE entries SET entry = x'00' WHERE place % 4294967296 = 3")
        (stored,) = started(db, 0).perform([entry(COUNT)])
        assert isinstance(stored, s.Stored) and stored.fresh
        again(started(db, 0), 2)


def test_an_entry_that_the_disk_lost_is_waited_for_where_it_comes_again(db: sqlite3.Connection) -> None:
    """Those before it, that wait still, are not taken for written with it, and a start finds them."""
    tables = started(db, COUNT)
    tables.perform([create(), *entries(COUNT - 1)])
    db.execute("DELETE FROM entries WHERE place % 4294967296 = ?", (RUN,))
    (stored,) = tables.perform([entry(RUN - 1)])
    assert isinstance(stored, s.Stored) and (stored.offset, stored.fresh) == (COUNT, True)
    tables.perform([entry(COUNT), entry(COUNT + 1)])
    assert written(db) == RUN
    for store in (tables, started(db, COUNT)):
        found = store.perform([entry(number) for number in range(COUNT + 2) if number != COUNT - 1])
        assert [one for one in found if isinstance(one, s.Stored) and one.fresh] == []


@pytest.mark.parametrize("damage", ["NULL", "7"])
def test_an_entry_to_drop_whose_hash_is_damaged_stays_and_is_counted(tmp_path: Path, damage: str) -> None:
    """However often its space is looked at: what it has room for does not grow by that."""
    clock = Clock()
    with new_store(tmp_path / FILE_NAME) as db:
        tables = started(db, 0, clock)
        stored = tables.perform([create(), *entries(2)])
        last = stored[-1]
        assert isinstance(last, s.Stored)
        tables.perform([drop([s.Dropped(1, 2, last.head)])])
        clock.now += QUOTAS.grace
        (before,) = tables.perform([s.ReadUsage(SPACE.handle, READ)])
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'entry    BLOB NOT NULL', 'entry ANY')"
                   " WHERE name = 'entries'")
        db.execute("PRAGMA writable_schema = RESET")
        db.execute(f"UPDATE entries SET entry = {damage} WHERE place % 4294967296 = 1")
        for _ in range(3):
            tables.perform([s.Expire()])
        assert tables.perform([s.ReadUsage(SPACE.handle, READ)]) == [before]
