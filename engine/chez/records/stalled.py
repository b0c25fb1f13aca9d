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
_KEPT: Final = 1024
"""Records of which it is remembered."""
_OWN: Final = "LEFT JOIN entry ON entry.n = change.entry WHERE change.sequence > 0 AND (entry IS NULL OR author = ?1)"
_WAITS: Final = (f"SELECT EXISTS (SELECT 1 FROM missing JOIN change ON change.n = missing.change {_OWN} "
                 "AND missing.record = ?2) OR EXISTS (SELECT 1 FROM waiting INDEXED BY due "
                 f"JOIN change ON change.n = waiting.change {_OWN} AND waiting.record = ?2 AND missing = 0)")


@dataclass(slots=True)
class Stalled:
    """Which records these are: found out again when others' changes were merged that may wait, or be waited for."""

    rows: Rows
    _found: dict[int, bool] = field(default_factory=dict, repr=False)
    _any: bool | None = None
    """Whether anything waits at all, once that was asked for."""
    _upto: int = 0

    def forget(self) -> None:
        """Some work was undone."""
        self._found.clear()
        self._any = None

    def has(self, db: Connection, n: int) -> bool:
        """Whether a record, by its row, is one of them."""
        if self._upto != self.rows.entangled or len(self._found) >= _KEPT:
            self.forget()
            self._upto = self.rows.entangled
        if self._any is None:
            self._any = bool(db.execute("SELECT EXISTS (SELECT 1 FROM waiting)").fetchone()[0])
        if not self._any:
            return False
        found = self._found.get(n)
        if found is None:
            found = self._found[n] = stalled(self.rows, db, n)
        return found

    def refuse(self, db: Connection, n: int, what: str) -> None:
        """Raise `NotAllowed` for one of them: what is to be done there goes by this device's numbers."""
        if self.has(db, n):
            raise NotAllowed(f"what this device wrote in this record builds on what counts no more, or is not here: "
                             f"{what} has to wait for it",
                             "`put` and `edit` do not. An owner's word on a device that made two entries under one "
                             "number (`chez space pick`), or a sync after a repair, ends it.")


def stalled(rows: Rows, db: Connection, n: int) -> bool:
    """As `Stalled.has`, asked of the store."""
    return bool(db.execute(_WAITS, (rows.actor, n)).fetchone()[0])


def instead(document: Document, after: dict[str, Value], device: bytes) -> RawChange | None:
    """The change that makes a document's value `after`, in the name of what it holds; None if it is that.

    What it adds to counters is the device's, and this change's alone: two devices that add as much at once both count.
    """
    heads: Sequence[bytes] = sorted(map(bytes, document.get_heads()))
    return made_anew(document, after, crypto.hash_fields(_CONTEXT, device, *heads))
