"""Freeing what no record holds, as functions over an open transaction.

Nothing here knows a clock. A *pass* is an event: a home was opened, or so many blobs
were added, fetched or given up. A blob that no record holds is marked with the pass that
finds it so, freed at the pass `GRACE` later if that is still so, and unmarked when a
record holds it again. What is in use (being read, or added in this session and in no
record yet) is passed over.

Freeing has steps, so that a crash between them loses nothing but time: rows go and the
names of their files are noted (`doomed`) in one transaction; then `remove` takes the files
away, each in a transaction of the only writer that looks once more whether a piece of that
name is held; and when that is durable too, `removed` forgets the names.
"""

from collections.abc import Callable, Collection
from typing import Final

from chez.blobs.tables import abandon, part
from chez.store.database import Connection

__all__ = ("GRACE", "collect", "drop_unfinished", "remove", "removed", "unfinished")

GRACE: Final = 2
"""Passes for which a blob stays after one that found no record holding it: an undo, or an
edit that arrives, finds its content."""

REMOVED: Final = 64
"""Files removed in one transaction: a few milliseconds, for other writes wait."""


def collect(db: Connection, in_use: Collection[str], grace: int = GRACE) -> list[str]:
    """One pass; the ids of the blobs that were freed. Pinned ones are not."""
    number = _next_pass(db)
    db.execute("UPDATE blob SET idle = NULL WHERE idle IS NOT NULL "
               "AND (pinned OR id IN (SELECT blob FROM blob_reference))")
    freed = []
    for n, id, idle in db.execute(
            "SELECT n, id, idle FROM blob WHERE id IS NOT NULL AND NOT pinned "
            "AND NOT EXISTS (SELECT 1 FROM blob_reference WHERE blob = blob.id)").fetchall():
        if id in in_use:
            db.execute("UPDATE blob SET idle = NULL WHERE n = ?", (n,))
        elif idle is None:
            db.execute("UPDATE blob SET idle = ? WHERE n = ?", (number, n))
        elif number - idle >= grace:
            part(db, n)
            abandon(db, n)
            freed.append(id)
    return freed


def _next_pass(db: Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'blob.pass'").fetchone()
    number = (row[0] if row is not None else 0) + 1
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('blob.pass', ?)", (number,))
    return int(number)


def unfinished(db: Connection, under_way: Collection[int]) -> list[int]:
    """The rows of additions that were cut off. Pieces of theirs may be in files that no row names."""
    return [n for (n,) in db.execute("SELECT n FROM blob WHERE id IS NULL").fetchall() if n not in under_way]


def drop_unfinished(db: Connection, under_way: Collection[int]) -> None:
    """Forget additions that were cut off, once the files that no row names are gone."""
    for n in unfinished(db, under_way):
        abandon(db, n)


def remove(db: Connection, unlink: Callable[[bytes], None]) -> list[bytes]:
    """Take away some of the doomed files; the ids of those that were looked at, for `removed`."""
    ids = [id for (id,) in db.execute("SELECT id FROM doomed LIMIT ?", (REMOVED,)).fetchall()]
    for id in ids:
        if not _held(db, id):
            unlink(id)
    return ids


def removed(db: Connection, ids: Collection[bytes], there: Callable[[bytes], bool]) -> int:
    """Forget the names of doomed files that are gone for good; how many are left."""
    for id in ids:
        if _held(db, id) or not there(id):
            db.execute("DELETE FROM doomed WHERE id = ?", (id,))
    left: int = db.execute("SELECT count(*) FROM doomed").fetchone()[0]
    return left


def _held(db: Connection, id: bytes) -> bool:
    return db.execute("SELECT 1 FROM chunk WHERE id = ? AND held = 1", (id,)).fetchone() is not None
