"""Records made again from the entries that count, when it turned out otherwise which do.

Changes that count in no record are kept by their names (`aside`); their bytes are in the
entries. A record is made again

- when an entry that touches it counts by now, or counts no more;
- when a change that counts builds on one that is aside beyond a cut: that brings it back.

Which records wait for that is written down (`recount`), and done in turns. What is made is
a function of the entries (`records.counting`), not of what the record was: a purge that
does not count gives back what it had erased.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chez.records import automerge
from chez.records.counting import BEYOND, COUNTS, Carried, counted
from chez.records.merge import Incoming, Refusal, merge
from chez.records.numbers import given_once
from chez.records.rows import ABSENT, OUTBOX, PURGED, REFUSED, Row, Rows
from chez.records.unmade import put_back, take_out
from chez.records.waiting import Budget
from chez.store.database import Connection
from chez.sync.entry import CHANGE, Inner, read_kept

__all__ = ("SHOWN", "Key", "brings", "carried_in", "hold", "needed", "owe", "owed", "settle_asides", "touched",
           "work_off")

Key = tuple[str, str]
"""Collection and id of a record."""

_KEPT: Final = 256
"""Entries kept read while records are made again: those made together are often in the same."""

SHOWN: Final = ("EXISTS (SELECT 1 FROM entry AS part WHERE part.space = entry.space AND part.author = entry.author "
                 "AND part.sequence >= entry.sequence AND part.standing = entry.standing AND part.part IS NULL)")
"""Of a row of `entry`: whether it is shown, for of a batch the last part is there."""


# --- what is aside ----------------------------------------------------------------------


def hold(db: Connection, space: int, items: Iterable[Incoming]) -> None:
    """Keep changes that entries brought and that count in no record so far."""
    db.executemany("INSERT OR IGNORE INTO aside (space, collection, id, hash, entry) VALUES (?, ?, ?, ?, ?)",
                   [(space, item.collection, item.id, item.change.hash, item.entry) for item in items])


def needed(db: Connection, space: int, items: Iterable[Incoming]) -> set[Key]:
    """The records in which a change that counts waits for one of these."""
    return {(item.collection, item.id) for item in items if db.execute(
        "SELECT 1 FROM record JOIN missing ON missing.record = record.n "
        "WHERE space = ? AND collection = ? AND id = ? AND hash = ?",
        (space, item.collection, item.id, item.change.hash)).fetchone()}


def brings(db: Connection, space: int, items: Iterable[Incoming]) -> set[Key]:
    """The records in which one of these, which count, builds on a change that is aside beyond a cut."""
    return {(item.collection, item.id) for item in items for hash in item.change.dependencies if db.execute(
        "SELECT 1 FROM aside JOIN entry ON entry.n = aside.entry "
        "WHERE aside.space = ? AND collection = ? AND id = ? AND aside.hash = ? AND standing = ?",
        (space, item.collection, item.id, hash, BEYOND)).fetchone()}


# --- what is owed -----------------------------------------------------------------------


def touched(db: Connection, entries: Iterable[int]) -> set[Key]:
    """The records that some entries, by their rows, carry changes of."""
    return {(item.collection, item.id) for n in entries for item in _read(db, n).items if item.kind == CHANGE}


def owe(db: Connection, space: int, keys: Iterable[Key]) -> None:
    """These records are to be made again."""
    db.executemany("INSERT OR IGNORE INTO recount (space, collection, id) VALUES (?, ?, ?)",
                   [(space, *key) for key in keys])


def owed(db: Connection, space: int) -> bool:
    """Whether any record is to be made again."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM recount WHERE space = ?)", (space,)).fetchone()
    return bool(row[0])


def work_off(rows: Rows, db: Connection, space: int, budget: Budget | None = None) -> list[Refusal]:
    """Make records again that are owed it, as far as the budget goes; returns what of them was refused just now."""
    refused: list[Refusal] = []
    reading = _Reading(db, space)
    while budget is None or not budget.spent:
        key = db.execute("DELETE FROM recount WHERE (space, collection, id) = (SELECT space, collection, id "
                         "FROM recount WHERE space = ? LIMIT 1) RETURNING collection, id", (space,)).fetchone()
        if key is None:
            break
        refused += _Again(rows, db, space, key, budget).make(reading)
    return refused


# --- making a record again --------------------------------------------------------------


def carried_in(inner: Inner, entry: int, standing: int, wanted: Key | None = None) -> Iterator[tuple[Key, Carried]]:
    """The changes in an entry, of one record or of all."""
    for item in inner.items:
        if item.kind == CHANGE and (wanted is None or (item.collection, item.id) == wanted):
            yield (item.collection, item.id), Carried(automerge.read_change(item.data), entry, inner.author,
                                                      max(0, inner.time - item.age), standing)


def settle_asides(db: Connection, space: int, key: Key, items: Sequence[Carried], counts: Sequence[bool]) -> None:
    """Write down which changes of a record count in no record, and which entries brought one again."""
    db.execute("DELETE FROM aside WHERE space = ? AND collection = ? AND id = ?", (space, *key))
    db.executemany("INSERT OR IGNORE INTO aside (space, collection, id, hash, entry) VALUES (?, ?, ?, ?, ?)",
                   [(space, *key, item.change.hash, item.entry)
                    for item, counted in zip(items, counts, strict=True) if not counted])
    found = db.execute("SELECT n FROM record WHERE space = ? AND collection = ? AND id = ?", (space, *key)).fetchone()
    if found is not None:
        db.execute("DELETE FROM carried WHERE record = ?", found)
        brought = {entry for (entry,) in db.execute("SELECT DISTINCT entry FROM change WHERE record = ?", found)}
        db.executemany("INSERT OR IGNORE INTO carried (record, entry) VALUES (?, ?)", [
            (*found, item.entry) for item, counted in zip(items, counts, strict=True)
            if counted and item.entry not in brought])


class _Reading:
    """Entries read for records that are made again."""

    def __init__(self, db: Connection, space: int) -> None:
        self._db, self._space = db, space
        self._kept: OrderedDict[int, Inner] = OrderedDict()
        self._by_record: dict[Key, list[int]] | None = None

    def entry(self, n: int) -> Inner:
        """What an entry, by its row, says."""
        found = self._kept.pop(n, None) or _read(self._db, n)
        self._kept[n] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def everywhere(self, key: Key) -> list[int]:
        """The entries that carry changes of a record whose log was erased: the whole log is read, once."""
        if self._by_record is None:
            self._by_record = {}
            for (n,) in self._db.execute("SELECT n FROM entry WHERE space = ?", (self._space,)).fetchall():
                for one in {(item.collection, item.id) for item in _read(self._db, n).items if item.kind == CHANGE}:
                    self._by_record.setdefault(one, []).append(n)
        return self._by_record.get(key, [])


class _Again:
    """One record, made again."""

    def __init__(self, rows: Rows, db: Connection, space: int, key: Key, budget: Budget | None) -> None:
        self._rows, self._db, self._space, self._key, self._budget = rows, db, space, key, budget

    def make(self, reading: _Reading) -> list[Refusal]:
        """Make it; returns what was refused now and not before."""
        row = self._rows.find(self._db, self._space, *self._key)
        items = self._items(reading, row)
        counts = counted(items)
        incoming = [Incoming(*self._key, item.change, item.entry, None, item.time)
                    for item, counts_ in zip(items, counts, strict=True) if counts_]
        refused = []
        if row is None:
            refused = merge(self._rows, self._db, self._space, incoming)
        elif not self._stays_purged(row):
            refused = self._replace(row, incoming)
        settle_asides(self._db, self._space, self._key, items, counts)
        if self._budget is not None:
            self._budget.spend(sum(item.change.weight for item in items), len(items))
        return refused

    def _items(self, reading: _Reading, row: Row | None) -> list[Carried]:
        """All changes that entries carry, those of each author in the order of its chain."""
        entries = {entry for (entry,) in self._db.execute(
            "SELECT entry FROM aside WHERE space = ? AND collection = ? AND id = ?", (self._space, *self._key))}
        if row is not None:
            entries |= {entry for (entry,) in self._db.execute(
                "SELECT entry FROM change WHERE record = ? AND entry IS NOT NULL "
                "UNION SELECT entry FROM carried WHERE record = ?", (row.n, row.n))}
            if row.state == PURGED:
                entries.update(reading.everywhere(self._key))
        items: list[Carried] = []
        for n in sorted(entries):  # an author's entries came in the order of its chain
            found = self._db.execute(f"SELECT standing FROM entry WHERE n = ? AND {SHOWN}", (n,)).fetchone()
            if found is not None:
                items += [one for _, one in carried_in(reading.entry(n), n, found[0], self._key)]
        return items

    def _stays_purged(self, row: Row) -> bool:
        """Whether a record was purged here, or by an entry that counts."""
        return row.state == PURGED and self._db.execute(
            "SELECT 1 FROM change LEFT JOIN entry ON entry.n = change.entry WHERE record = ? "
            "AND (change.state = ? OR standing = ?)", (row.n, OUTBOX, COUNTS)).fetchone() is not None

    def _replace(self, row: Row, incoming: list[Incoming]) -> list[Refusal]:
        db, n = self._db, row.n
        unsent = take_out(self._rows, db, row)
        (born,) = db.execute("SELECT born FROM record WHERE n = ?", (n,)).fetchone()
        origins = dict(db.execute("SELECT hash, origin FROM change WHERE record = ?", (n,)).fetchall())
        before = {hash for (hash,) in db.execute("SELECT hash FROM change WHERE record = ? AND state = ?",
                                                 (n, REFUSED))}
        with given_once(db):
            for table in ("snapshot", "change"):
                db.execute(f"DELETE FROM {table} WHERE record = ?", (n,))
        db.execute("UPDATE record SET json = '{}', kinds = NULL, deleted = ?, tail = 0, editor = NULL WHERE n = ?",
                   (ABSENT, n))
        self._rows.drop(n)
        self._rows.damaged.discard(n)
        refused = merge(self._rows, db, self._space, [
            Incoming(item.collection, item.id, item.change, item.entry, origins.get(item.change.hash), item.time)
            for item in incoming])
        put_back(self._rows, db, self._space, row, unsent)
        now = self._rows.find(db, self._space, *self._key)
        if now is not None and now.state == ABSENT and row.state != ABSENT:
            self._rows.blank(db, now, ABSENT, None)
        elif now is not None and row.state < ABSENT:
            db.execute("UPDATE record SET born = ? WHERE n = ?", (born, n))  # it was there all the while
        return [one for one in refused if one.incoming.change.hash not in before]


def _read(db: Connection, n: int) -> Inner:
    return read_kept(db.execute("SELECT inner FROM entry WHERE n = ?", (n,)).fetchone()[0]).inner

