"""The trash: deleted records, with who deleted them and when.

A deletion sets `_deleted` in the record's document. Edits that did not know of it are
merged and do not bring the record back; only somebody who saw it deleted can restore it
(or put it anew), and then it has those edits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from chez.errors import Damaged
from chez.records import automerge
from chez.records.past import NameOf, among, moment
from chez.records.record import Record
from chez.records.rows import DELETED, Rows
from chez.store.database import Connection

__all__ = ("Deleted", "Trashed", "find_trash")

T = TypeVar("T")
_FIELD: Final = "_deleted"


class Trashed(msgspec.Struct, Generic[T], frozen=True):
    """A deleted record as it is now. `device` deleted it, `time` is that one's clock then, None if not known."""

    id: str
    value: T
    device: bytes
    device_name: str | None
    time: datetime | None
    collection: str = ""


class Deleted(msgspec.Struct, frozen=True):
    """A deleted record in the store: its collection, id, json and kinds of its row, who deleted it, and when."""

    collection: str
    row: Sequence[Any]
    device: bytes
    time: datetime | None

    def told(self, record: Record[T], names: NameOf) -> Trashed[T]:
        """It, as what was made of its row."""
        return Trashed(record.id, record.value, self.device, names(self.device), self.time, self.collection)


def find_trash(db: Connection, space: int, collection: str | None, actor: bytes, limit: int) -> list[Deleted]:
    """The deleted records of a collection, or of all but Chez's own, those that changed last first.

    `actor` is this device. Of one whose changes are damaged here it is not known who deleted it.
    """
    rows = Rows(actor)
    where, values = among(collection)
    found = db.execute(  # not fetched at once: as long as it is open, all that is read is one state of the store
        f"SELECT n, collection, id, json, kinds FROM record INDEXED BY trash WHERE space = ? {where} "
        f"AND deleted = {DELETED} ORDER BY changed DESC LIMIT ?", (space, *values, limit))
    return [Deleted(row[1], row[2:], *_by_whom(rows, db, row[0])) for row in found]


def _by_whom(rows: Rows, db: Connection, n: int) -> tuple[bytes, datetime | None]:
    try:
        device, number = automerge.written_by(rows.load(db, n), _FIELD) or (b"", 0)
    except (automerge.BadChange, Damaged):
        return b"", None
    row = db.execute("SELECT time FROM change LEFT JOIN entry ON entry.n = change.entry WHERE record = ? AND state < 2 "
                     "AND coalesce(author, ?) = ? AND last >= ? ORDER BY last LIMIT 1",
                     (n, rows.actor, device, number)).fetchone()
    return device, None if row is None else moment(row[0])
