"""Accepted entries in the store: every author's chain of them."""

from chez.store.database import Connection
from chez.sync.entry import GENESIS, SignedEntry

__all__ = ("keep_entry", "last_entry")


def last_entry(db: Connection, space: int, author: bytes) -> tuple[int, bytes, int | None]:
    """The sequence number and hash of an author's last accepted entry; (0, zeros) before the first.

    Third, the number of the part that it is, when more of its batch must follow.
    """
    row = db.execute("SELECT sequence, hash, part FROM entry WHERE space = ? AND author = ? "
                     "ORDER BY sequence DESC LIMIT 1", (space, author)).fetchone()
    return (row[0], row[1], row[2]) if row is not None else (0, GENESIS, None)


def keep_entry(db: Connection, space: int, entry: SignedEntry) -> int:
    """Store an entry at the end of its author's chain; returns its row."""
    inner = entry.inner
    part = None if inner.part is None or inner.part.last else inner.part.number
    n: int = db.execute(
        "INSERT INTO entry (space, author, sequence, hash, kind, part, weight, inner) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (space, inner.author, inner.sequence, entry.hash, inner.kind, part, entry.weight, entry.packed)).lastrowid
    return n
