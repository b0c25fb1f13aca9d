"""A space taken off this device: all that the store has of it, and the files of its attachments.

It is one transaction, so it is done or not begun. Files go after it, and with the next
opening of the home where that is cut short (`blobs.collector`).
"""

from collections.abc import Callable
from typing import Final

from chez.blobs import tables
from chez.query.fulltext import drop, indexes_of
from chez.records.numbers import given_once
from chez.store.database import Connection

__all__ = ("erase",)

_OF_RECORDS: Final = ("missing", "waiting", "snapshot", "unsent", "reversal", "carried", "change")
"""The tables that hold rows of records, those that name others first."""

_OF_READINGS: Final = ("folding", "staged_entry", "staged_change")
_OF_ENTRIES: Final = ("lacking", "sealed", "aside")
_OF_SPACES: Final = ("entry", "named", "branch", "recount", "parked", "shown", "locked", "set_aside", "quarantine",
                     "cursor", "relay_head", "gap", "claim", "alarm", "witness", "checkpoint", "vouch", "announced",
                     "fetching", "checkpoint_due", "draft", "draft_author", "gathered", "drafted", "segment",
                     "parting", "statement", "epoch", "room", "former")


def erase(db: Connection, n: int, touch: Callable[[str, str], None]) -> None:
    """Erase the space in row `n`, in an open transaction; `touch` hears of each record.

    What the journal says of it stays.
    """
    for index in indexes_of(db, n):
        drop(db, index)
    for collection, id in db.execute("SELECT collection, id FROM record WHERE space = ?", (n,)):
        touch(collection, id)
    with given_once(db):
        for table in _OF_RECORDS:
            db.execute(f"DELETE FROM {table} WHERE record IN (SELECT n FROM record WHERE space = ?)", (n,))
        db.execute("DELETE FROM record WHERE space = ?", (n,))
    for table in _OF_ENTRIES:
        db.execute(f"DELETE FROM {table} WHERE entry IN (SELECT n FROM entry WHERE space = ?)", (n,))
    for (blob,) in db.execute("SELECT n FROM blob WHERE space = ?", (n,)).fetchall():
        tables.abandon(db, blob)
    for table in _OF_READINGS:
        db.execute(f"DELETE FROM {table} WHERE reading IN (SELECT n FROM fetching WHERE space = ?)", (n,))
    db.execute("DELETE FROM parted WHERE parting IN (SELECT n FROM parting WHERE space = ?)", (n,))
    for table in _OF_SPACES:
        db.execute(f"DELETE FROM {table} WHERE space = ?", (n,))
    db.execute("DELETE FROM kept")  # it names this space too; others are logged in to as the first time
    db.execute("DELETE FROM space WHERE n = ?", (n,))
