"""Which of a record's changes this device undid, and what it may do again.

Undo takes this device's own last change that is not undone; redo takes back the last undo,
as long as this device changed nothing in the record since. What an import brought is not
undone. The log of it is a table of this device, so it survives restarts.
"""

from typing import Final

import msgspec

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.records import automerge
from chez.records.automerge import RawChange
from chez.records.columns import MAX_OPERATIONS
from chez.records.encode import scalar
from chez.records.operations import SET, Operation, encode
from chez.records.places import Names, Places
from chez.records.rows import Row, Rows
from chez.records.undo import Inverse, Moved, Spot, inverse
from chez.store.database import Connection

__all__ = ("Reversal", "Reversals")


class Reversal(msgspec.Struct, frozen=True):
    """What an undo or a redo did: the hash of the change that was undone or done again.

    `fields` were set back. `left` stay as they are, for somebody else wrote there since.
    """

    change: str
    fields: tuple[str, ...]
    left: tuple[str, ...]


_Stored = list[tuple[int, bytes, int, bytes, tuple[int, bytes] | None, str | tuple[int, bytes]]]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Stored).decode


class Reversals:
    """The undo and redo of one record, in an open transaction."""

    def __init__(self, rows: Rows, db: Connection, row: Row) -> None:
        self._rows = rows
        self._db = db
        self._row = row
        self._document = rows.load(db, row.n)
        self._log = db.execute("SELECT redo, target, made, upto, moved FROM reversal WHERE record = ? ORDER BY n",
                               (row.n,)).fetchall()
        self._undone: list[tuple[bytes, bytes | None]] = []
        for redo, target, made, _, _ in self._log:
            if redo:
                self._undone.pop()
            else:
                self._undone.append((target, made))

    def undo(self) -> tuple[RawChange | None, Reversal]:
        """The change that undoes this device's last one. Raises `NotFound`, `NotAllowed`."""
        undone = {target for target, _ in self._undone}
        made = {made for _, _, made, _, _ in self._log}
        own = [hash for hash, _ in self._own() if hash not in undone and hash not in made]
        if not own:
            raise NotFound(f"this device has nothing to undo in record {self._row.id!r}",
                           "Only what this device wrote is undone here; its history tells who wrote what.")
        change = self._change(own[-1])
        first = not change.dependencies
        return self._make(own[-1], False, self._unmade(change) if first else self._inverse(change))

    def redo(self) -> tuple[RawChange | None, Reversal]:
        """The change that takes back the last undo. Raises `NotFound`."""
        own = self._own()
        if not self._undone or self._log[-1][3] != (own[-1][1] if own else 0):
            raise NotFound(f"this device has nothing to redo in record {self._row.id!r}",
                           "A change made after an undo takes its place." if self._undone else
                           "What is done again is an undo of this device, the last one first.")
        target, made = self._undone[-1]
        return self._make(target, True, Inverse() if made is None else self._inverse(self._change(made)))

    # --- helpers --------------------------------------------------------------------------

    def _own(self) -> list[tuple[bytes, int]]:
        """This device's changes of the record that no import made: hash and number."""
        return list(self._db.execute(
            "SELECT change.hash, change.sequence FROM change LEFT JOIN entry ON entry.n = change.entry "
            "WHERE record = ? AND state < 2 AND change.sequence > 0 AND origin IS NULL "
            "AND (entry IS NULL OR author = ?) ORDER BY change.sequence", (self._row.n, self._rows.actor)))

    def _change(self, hash: bytes) -> RawChange:
        (data,) = self._db.execute("SELECT bytes FROM change WHERE record = ? AND hash = ?",
                                   (self._row.n, hash)).fetchone()
        if data is not None:
            return automerge.read_change(data)
        changes = map(automerge.read_change, automerge.changes_of(self._document))
        return next(change for change in changes if change.hash == hash)

    def _start(self) -> int:
        (last,) = self._db.execute("SELECT max(last) FROM change WHERE record = ? AND state < 2",
                                   (self._row.n,)).fetchone()
        return int(last) + 1

    def _inverse(self, change: RawChange) -> Inverse:
        moved: Moved = {}
        for _, _, _, _, stored in self._log:
            moved.update(_moved(stored))
        found = inverse(self._document, change, moved, self._rows.actor, self._start())
        found.moved = {id: spot for id, spot in found.moved.items() if moved.get(id) != spot}
        return found

    def _unmade(self, change: RawChange) -> Inverse:
        """The record that a change made is deleted, if nobody else wrote in it."""
        if any(past.actor != self._rows.actor for past in automerge.history(self._document)):
            raise NotAllowed("others have written in this record since this device made it",
                             "Delete it, if you mean to.")
        there = tuple([one.id for one in Places.of(self._document).in_force((None, "_deleted"))])
        kind, raw = scalar(True)
        return Inverse([Operation((self._start(), self._rows.actor), None, "_deleted", False, SET, kind, raw, there)])

    def _make(self, target: bytes, redo: bool, found: Inverse) -> tuple[RawChange | None, Reversal]:
        if len(found.operations) > MAX_OPERATIONS:
            raise InvalidValue("this undoes more than one change can hold", "Put the record's value as it was.")
        sequence = self._rows.own_sequence(self._db, self._row.n)
        new = None
        if found.operations:
            heads = [bytes(head) for head in self._document.get_heads()]
            new = encode(self._rows.actor, sequence + 1, found.operations[0].id[0], heads, found.operations)
        upto = sequence + 1 if new is not None else (own[-1][1] if (own := self._own()) else 0)
        self._db.execute("INSERT INTO reversal (record, redo, target, made, upto, moved) VALUES (?, ?, ?, ?, ?, ?)",
                         (self._row.n, redo, target, None if new is None else new.hash, upto, _stored(found.moved)))
        return new, self._told(target, found)

    def _told(self, target: bytes, found: Inverse) -> Reversal:
        names = Names(self._document, found.operations)
        done = {name: None for one in found.operations if (name := names.path(one.place)) is not None}
        left = {name: None for place in found.left if (name := names.path(place)) is not None}
        return Reversal(target.hex(), tuple(done), tuple(left))


def _stored(moved: Moved) -> bytes:
    return _encode([(*id, *spot.id, spot.obj, spot.key) for id, spot in moved.items()])


def _moved(data: bytes) -> Moved:
    return {(number, actor): Spot((new, by), obj, key) for number, actor, new, by, obj, key in _decode(data)}
