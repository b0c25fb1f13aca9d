"""Deletions that stick, and purges that nothing undoes, on two devices."""

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import ChezError, NotFound, RecordPurged
from chez.records import snapshots
from chez.records.encode import encode_fields
from chez.records.imported import identity_change
from chez.records.purging import is_purge, purge_change
from chez.records.store import Incoming
from tests.records.pair import NAMES, Device, meet, pair
from tests.tries import tries

HERE, DELETED, PURGED = 0, 1, 3


def state(device: Device, id: str = "r") -> int | None:
    """A record's state."""
    row = device.db.execute("SELECT deleted FROM record WHERE id = ?", (id,)).fetchone()
    return None if row is None else int(row[0])


def change(device: Device, **fields: Any) -> None:
    """One edit, made whole."""
    device.edit(lambda draft: draft.update(fields))()


def do(device: Device, what: str) -> None:
    """Delete, restore or purge the record."""
    getattr(device.store, what)(device.db, 1, "notes", "r")


def content(device: Device) -> bytes:
    """All that a store has of records, as bytes."""
    rows = [row for table in ("record", "snapshot", "change", "quarantine", "reversal", "unsent")
            for row in device.db.execute(f"SELECT * FROM {table}").fetchall()]
    return repr(rows).encode()


def test_a_deletion_stays_and_a_restore_has_what_came_meanwhile() -> None:
    """An edit made at the same time neither brings a record back nor is lost."""
    a, b = pair()
    a.put({"title": "Tea"})
    meet(a, b)
    do(a, "delete")
    change(b, cups=2)
    meet(a, b)
    assert state(a) == state(b) == DELETED
    do(b, "restore")
    meet(a, b)
    assert a.read() == b.read() == {"title": "Tea", "cups": 2}
    with pytest.raises(NotFound):
        do(a, "restore")


def test_a_purge_erases_everywhere_and_what_comes_late_is_dropped() -> None:
    """Content, unsent edits included, is gone from both stores; an edit from before, sent later, changes nothing."""
    a, b = pair()
    a.put({"title": "secret tea"})
    meet(a, b)
    change(a, more="secret unsent")
    change(b, other="secret late")
    late = [Incoming("notes", "r", one, 2) for one in _outbox(b)]
    do(a, "purge")
    assert b"secret" not in content(a)
    a.give(b)
    assert state(a) == state(b) == PURGED
    assert b"secret" not in content(b)
    assert a.store.merge(a.db, 1, late) == []
    assert b"secret" not in content(a) and state(a) == PURGED
    for device in (a, b):
        with pytest.raises(RecordPurged):
            device.put({"title": "again"})
        for what in ("delete", "restore", "purge"):
            with pytest.raises(NotFound):
                do(device, what)
    meet(a, b)


def _outbox(device: Device) -> list[Any]:
    from chez.records import automerge

    return [automerge.read_change(data) for (data,) in device.db.execute("SELECT bytes FROM change WHERE state = 1")]


def test_a_purge_may_come_first() -> None:
    """A device that hears of the purge before it hears of the record never shows it."""
    a, b = pair()
    a.put({"title": "Tea"})
    made = _outbox(a)
    do(a, "purge")
    a.give(b)
    assert state(b) == PURGED
    assert b.store.merge(b.db, 1, [Incoming("notes", "r", one, 1) for one in made]) == []
    assert state(b) == PURGED


def test_an_open_edit_of_a_purged_record_ends_with_an_error() -> None:
    """An edit that began before the purge arrived is refused when it ends, and writes nothing."""
    a, b = pair()
    a.put({"title": "Tea"})
    meet(a, b)
    end = b.edit(lambda draft: draft.update(title="secret"))
    do(a, "purge")
    a.give(b)
    with pytest.raises(RecordPurged):
        end()
    assert b"secret" not in content(b)


def test_an_import_leaves_out_what_was_purged() -> None:
    """Importing the same thing again brings nothing back, here or where the purge arrived."""
    a, b = pair()

    def bring(device: Device) -> str:
        return device.store.put_imported(device.db, 1, "notes", "r", {"id": 1}, {"x": 2}, "file", "run")

    assert bring(a) == "added"
    do(a, "purge")
    a.give(b)
    assert bring(a) == bring(b) == "purged"
    assert b.store.merge(b.db, 1, [Incoming("notes", "r", identity_change({"id": 1}), 1)]) == []
    assert state(b) == PURGED


def test_only_the_word_purges() -> None:
    """A field inside, another value, or content that looks like it purges nothing; the word does."""
    a, b = pair()
    assert is_purge(purge_change(NAMES[0]))
    for fields in ({"_purged": False}, {"_purged": 1}, {"x": "_purged"}, {"_purged ": True}):
        assert not is_purge(encode_fields(NAMES[0], 1, 1, (), fields))
    a.put({"deep": {"_purged": True}})
    meet(a, b)  # what arrives is looked at
    assert state(a) == state(b) == HERE


def test_what_is_kept_beside_the_changes_goes_too() -> None:
    """A record's saved form, what was undone of it, and work that waits to be made anew are gone with it."""
    a = pair()[0]
    a.put({"n": 1})
    change(a, n=2)
    a.store.undo(a.db, 1, "notes", "r")
    (n,) = a.db.execute("SELECT n FROM record").fetchone()
    snapshots.take(a.db, n, a.store.rows.load(a.db, n))
    a.db.execute("INSERT INTO unsent (record, first, base, changes) VALUES (?, x'', x'', x'')", (n,))

    def kept() -> set[str]:
        return {table for table in ("snapshot", "reversal", "unsent") if a.db.execute(
            f"SELECT count(*) FROM {table} WHERE record = ?", (n,)).fetchone()[0]}

    assert kept() == {"snapshot", "reversal", "unsent"}
    do(a, "purge")
    assert state(a) == PURGED and kept() == set()


@given(st.integers(0, 2**32))
@settings(max_examples=tries(60), deadline=None)
def test_devices_agree_on_what_is_purged(seed: int) -> None:
    """Whatever two devices do, and whenever they meet: the same states, and what one purged is purged."""
    random = Random(seed)
    a, b = pair()
    purged = False
    for n in range(random.randint(1, 14)):
        device = random.choice((a, b))
        what = random.choice(("put", "change", "change", "delete", "restore", "undo", "purge", "meet", "meet"))
        with suppress(ChezError):
            if what == "put":
                device.put({"n": n})
            elif what == "change":
                change(device, m=n)
            elif what == "undo":
                device.store.undo(device.db, 1, "notes", "r")
            elif what == "meet":
                meet(a, b)
            else:
                do(device, what)
                purged = purged or what == "purge"
    meet(a, b)
    assert state(a) == state(b)
    assert (state(a) == PURGED) == purged
