"""Purge: a record's content is erased for good, on every device that hears of it.

The word that purges is an ordinary change that sets `_purged` to true; it builds on
nothing, so it is the same whenever it arrives. **A record is purged as soon as one such
change has arrived, whatever else is there or comes later**: that depends on no order, so
devices agree. A purge wins over edits, deletions and restores, at the same time or later;
what arrives for a purged record is dropped. The tombstone (collection, id, and that change)
stays for ever.

Erased are the record's value, its snapshot and the bytes of its changes (those that were
not sent yet never will be), its words in full-text indexes, what undo kept, and what was
set aside of it. The words go at the end of the transaction, once for all that it purged
(`settle_purges`): an index is merged as a whole for it. What was sent before is part of
signed entries, here, on the other devices and at the relay, and of checkpoints made of them
(docs/security.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chez.query.fulltext import compact
from chez.records.automerge import BadChange, RawChange
from chez.records.encode import encode_fields
from chez.records.operations import SET, decode
from chez.records.rows import ABSENT, PURGED, Row, Rows
from chez.store.database import Connection

__all__ = ("PURGE", "erase", "is_purge", "purge_change", "settle_purges")

PURGE: Final = "_purged"
_TRUE: Final = 2


def purge_change(actor: bytes) -> RawChange:
    """The change by which a device purges a record, of whichever record it is."""
    return encode_fields(actor, 1, 1, (), {PURGE: True})


def is_purge(change: RawChange) -> bool:
    """Whether a change purges its record: this follows from its bytes alone."""
    if PURGE.encode() not in change.bytes:
        return False
    try:
        operations = decode(change)
    except BadChange:
        return False
    return any(one.obj is None and one.key == PURGE and one.action == SET and one.kind == _TRUE for one in operations)


def erase(rows: Rows, db: Connection, space: int, row: Row, change: RawChange, state: int, entry: int | None = None,
          time: int | None = None) -> None:
    """Purge a record because of `change`, in an open transaction; `entry` brought it, None: made here."""
    n = row.n
    with _overwritten(db):
        db.execute("DELETE FROM quarantine WHERE bytes IN (SELECT bytes FROM change WHERE record = ? AND state = 3)",
                   (n,))
        for table in ("snapshot", "reversal", "unsent"):
            db.execute(f"DELETE FROM {table} WHERE record = ?", (n,))
        rows.blank(db, row, PURGED, entry)
        # Logged before the others go, so that no number of theirs is given again.
        kept = rows.log(db, n, change, state, None, entry, time, counted=False)
        db.execute("DELETE FROM change WHERE record = ? AND n <> ?", (n, kept))
    if row.state < ABSENT:
        db.execute("UPDATE search SET purged = 1 WHERE space = ? AND collection = ?", (space, row.collection))
        rows.purged = True


def settle_purges(rows: Rows, db: Connection) -> None:
    """Take the words of what was purged out of full-text indexes, before the transaction is committed."""
    if rows.purged:
        with _overwritten(db):
            compact(db)
        rows.purged = False


@contextmanager
def _overwritten(db: Connection) -> Iterator[None]:
    """Pages that are freed meanwhile are overwritten: they may stay in the file for long."""
    (before,) = db.execute("PRAGMA secure_delete").fetchone()
    db.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        db.execute(f"PRAGMA secure_delete = {int(before)}")
