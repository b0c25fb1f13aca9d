"""Entries that arrived before what they follow, and those that broke a rule, with all that follow them."""

from collections.abc import Iterator

import msgspec

from chez.store.database import Connection
from chez.sync.entry import SignedEntry

__all__ = ("Parked", "break_off", "broken_before", "hear", "park", "ready", "stir", "take", "take_one")


class Parked(msgspec.Struct, frozen=True):
    """An entry that waits, by its names, and its packed bytes."""

    author: bytes
    sequence: int
    hash: bytes
    packed: bytes


def park(db: Connection, space: int, signed: SignedEntry) -> None:
    """Keep an entry until the one before it is here, and the statements that it names."""
    inner = signed.inner
    db.execute("INSERT OR IGNORE INTO parked (space, author, sequence, hash, previous, inner) "
               "VALUES (?, ?, ?, ?, ?, ?)",
               (space, inner.author, inner.sequence, signed.hash, inner.previous, signed.packed))


def stir(db: Connection, space: int, author: bytes, sequence: int, hash: bytes) -> None:
    """An entry is here: what was parked and follows it is ready."""
    db.execute("UPDATE parked SET ready = 1 WHERE space = ? AND author = ? AND sequence = ? + 1 AND previous = ?",
               (space, author, sequence, hash))


def hear(db: Connection, space: int, statements: int) -> None:
    """So many statements are here by now: what was parked, and may have waited for those that are new, is ready.

    They need not have come in an entry of this space: another space of the person told of them, or this device
    made or copied them.
    """
    if db.execute("UPDATE space SET heard = ? WHERE n = ? AND heard <> ?", (statements, space, statements)).rowcount:
        db.execute("UPDATE parked SET ready = 1 WHERE space = ? AND (sequence = 1 OR EXISTS (SELECT 1 FROM entry "
                   "WHERE entry.space = parked.space AND entry.author = parked.author "
                   "AND entry.sequence = parked.sequence - 1 AND entry.hash = parked.previous))", (space,))


def ready(db: Connection, space: int, statements: int) -> bool:
    """Whether something that was parked may be accepted now that so many statements are here."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM parked WHERE space = ?1 AND ready = 1) OR "
                     "EXISTS (SELECT 1 FROM parked JOIN space ON space.n = parked.space WHERE n = ?1 AND heard <> ?2)",
                     (space, statements)).fetchone()
    return bool(row[0])


def take(db: Connection, space: int) -> Parked | None:
    """Take out one entry that is ready."""
    row = db.execute("SELECT author, sequence, hash, inner FROM parked WHERE space = ? AND ready = 1 LIMIT 1",
                     (space,)).fetchone()
    if row is None:
        return None
    db.execute("DELETE FROM parked WHERE space = ? AND author = ? AND sequence = ? AND hash = ?", (space, *row[:3]))
    return Parked(*row)


def take_one(db: Connection, space: int, author: bytes, sequence: int, hash: bytes) -> Parked | None:
    """Take out one entry by its names, if it is parked."""
    row = db.execute("DELETE FROM parked WHERE space = ? AND author = ? AND sequence = ? AND hash = ? RETURNING inner",
                     (space, author, sequence, hash)).fetchone()
    return None if row is None else Parked(author, sequence, hash, row[0])


def break_off(db: Connection, space: int, signed: SignedEntry, now: int) -> Iterator[Parked]:
    """An entry broke a rule: nothing that follows it is taken in. Yields what was parked of that, taken out."""
    inner = signed.inner
    broken = [(inner.sequence, signed.hash, inner.previous)]
    while broken:
        sequence, hash, previous = broken.pop()
        db.execute("INSERT OR IGNORE INTO set_aside (space, author, sequence, hash, previous, found) "
                   "VALUES (?, ?, ?, ?, ?, ?)", (space, inner.author, sequence, hash, previous, now))
        db.execute("DELETE FROM shown WHERE space = ? AND hash = ?", (space, hash))  # it waits no more
        for follower, packed in db.execute("DELETE FROM parked WHERE space = ? AND author = ? AND sequence = ? "
                                           "AND previous = ? RETURNING hash, inner",
                                           (space, inner.author, sequence + 1, hash)).fetchall():
            broken.append((sequence + 1, follower, hash))
            yield Parked(inner.author, sequence + 1, follower, packed)


def broken_before(db: Connection, space: int, author: bytes, sequence: int, previous: bytes) -> int | None:
    """The first number from which on an author's chain is set aside, if the entry before this one is."""
    row = db.execute("SELECT (SELECT min(sequence) FROM set_aside WHERE space = ?1 AND author = ?2) FROM set_aside "
                     "WHERE space = ?1 AND author = ?2 AND sequence = ?3 AND hash = ?4",
                     (space, author, sequence - 1, previous)).fetchone()
    return None if row is None else row[0]
