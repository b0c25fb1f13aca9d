"""Snapshots: a record's document in its saved form, so that its changes need not be read one by one."""

from typing import Final

from chez.records import automerge
from chez.records.automerge import Document
from chez.store.database import Connection

__all__ = ("due", "take")

_SHARE: Final = 2
"""Of the changes that a snapshot holds, one in so many has to come before the next: writing it takes as long as they
are many, so that all snapshots of a record together cost a few times the last one, however often it is changed."""


def due(db: Connection, n: int, tail: int) -> bool:
    """Whether a record, by its row, has enough changes since its last snapshot: `tail`."""
    row = db.execute("SELECT changes FROM snapshot WHERE record = ?", (n,)).fetchone()
    return tail >= (0 if row is None else row[0]) // _SHARE


def take(db: Connection, n: int, document: Document) -> int:
    """Take a snapshot of a record, whose document this is; what its tail is then.

    What it reads of the log is what was new since the last one: rows of a long history lie
    all over the file.
    """
    count: int
    count, upto, freed = db.execute("SELECT changes, upto, freed FROM snapshot WHERE record = ?",
                                    (n,)).fetchone() or (0, 0, 0)
    new: int
    new, last = db.execute("SELECT count(*), max(n) FROM change INDEXED BY change_by_record "
                           "WHERE record = ? AND n > ? AND state < 2", (n, upto)).fetchone()
    saved = automerge.saved(document)
    if saved is None:
        # What does not load again from its saved form is kept as the changes it is of, and
        # tried again once there are as many more as if it had been.
        return -((count + new) // _SHARE)
    # What is sent is sent in order: from the first that is not, bytes are kept until a later snapshot.
    unsent = db.execute("SELECT min(n) FROM change INDEXED BY outbox WHERE state = 1 AND record = ? AND n > ?",
                        (n, freed)).fetchone()[0]
    upto = last or upto
    free = upto if unsent is None else unsent - 1
    db.execute("UPDATE change INDEXED BY change_by_record SET bytes = NULL "
               "WHERE record = ? AND n > ? AND n <= ? AND state = 0 AND bytes IS NOT NULL", (n, freed, free))
    db.execute("INSERT OR REPLACE INTO snapshot (record, doc, changes, upto, freed) VALUES (?, ?, ?, ?, ?)",
               (n, saved, count + new, upto, free))
    return 0
