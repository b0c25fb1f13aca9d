"""Records in which this device's own changes wait for what does not count, or is not here.

What it sent there may build on an entry that was set aside since: its author made two different ones under one number,
or it was damaged here and let go. Then it waits, and keeps its number. What this device wrote next would
carry that number again, and nobody else would take it in. So until its turn comes, this device writes there in the
name of what it writes (`records.derived`), on the record as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez import crypto
from chez.errors import NotAllowed
from chez.records.automerge import Document, RawChange
from chez.records.derived import made_anew
from chez.records.rows import Rows
from chez.records.values import Value
from chez.store.database import Connection

__all__ = ("Stalled", "instead", "stalled")

_CONTEXT: Final = "chez/1 stalled work"
_OWN: Final = ("SELECT DISTINCT waiting.record FROM waiting JOIN change ON change.n = waiting.change "
               "LEFT JOIN entry ON entry.n = change.entry WHERE change.sequence > 0 AND (entry IS NULL OR author = ?)")


@dataclass(slots=True)
class Stalled:
    """Which records these are: found out again when others' changes were merged that may wait, or be waited for."""

    rows: Rows
    _found: set[int] | None = field(default=None, repr=False)
    _upto: int = 0

    def forget(self) -> None:
        """Some work was undone."""
        self._found = None

    def has(self, db: Connection, n: int) -> bool:
        """Whether a record, by its row, is one of them."""
        if self._found is None or self._upto != self.rows.entangled:
            self._found, self._upto = _all(db, self.rows.actor), self.rows.entangled
        return n in self._found

    def refuse(self, db: Connection, n: int, what: str) -> None:
        """Raise `NotAllowed` for one of them: what is to be done there goes by this device's numbers."""
        if self.has(db, n):
            raise NotAllowed(f"what this device wrote in this record builds on what counts no more, or is not here: "
                             f"{what} has to wait for it",
                             "`put` and `edit` do not. An owner's word on a device that made two entries under one "
                             "number (`chez space pick`), or a sync after a repair, ends it.")


def stalled(rows: Rows, db: Connection, n: int) -> bool:
    """As `Stalled.has`, asked of the store."""
    return n in _all(db, rows.actor)


def instead(document: Document, after: dict[str, Value], device: bytes) -> RawChange | None:
    """The change that makes a document's value `after`, in the name of what it holds; None if it is that.

    What it adds to counters is the device's, and this change's alone: two devices that add as much at once both count.
    """
    heads: Sequence[bytes] = sorted(map(bytes, document.get_heads()))
    return made_anew(document, after, crypto.hash_fields(_CONTEXT, device, *heads))


def _all(db: Connection, actor: bytes) -> set[int]:
    return {n for (n,) in db.execute(_OWN, (actor,))}
