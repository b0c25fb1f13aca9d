"""Entries of the log that come together are written by one statement, on the open transaction of `Tables`."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chez_relay.storage import AddEntry, Quotas, Result, Stored
from chez_relay.storage.batches import TOGETHER, values
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.space_rows import PLACES, SpaceRow, SpaceRows
from chez_wire.envelope import fold_head

__all__ = ("EntryRows",)

_INSERTS: Final = {
    # Where a row can't be written those before it stay (FAIL): to undo a statement by itself (ABORT) SQLite first
    # writes down all pages as they were.
    count: "INSERT OR FAIL INTO entries (place, space, entry, head, control, envelope) " + values(count, 6)
    for count in TOGETHER
}


@dataclass(slots=True)
class _End:
    """Where a space will end."""

    space: SpaceRow
    last: int
    head: bytes
    data_bytes: int
    control_bytes: int


class EntryRows:
    """Writes new entries of spaces on `db`."""

    def __init__(self, db: sqlite3.Connection, spaces: SpaceRows, quotas: Quotas) -> None:
        self._db = db
        self._spaces = spaces
        self._quotas = quotas

    def add(self, requests: Sequence[AddEntry]) -> list[Result] | None:
        """Append all, as many as one of `together`'s parts; None, and nothing happened, when one is not plainly new.

        (Refused, there already, or damaged: who asked finds out which by asking one by one.)
        """
        ends: dict[bytes, _End] = {}
        bound: list[object] = []
        results: list[Result] = []
        for request in requests:
            end = self._end(ends, request)
            if end is None:
                return None
            bound += (end.space.number * PLACES + end.last, end.space.number, request.entry, end.head,
                       request.control, request.envelope)
            results.append(Stored(end.last, end.head, fresh=True))
        try:
            self._db.execute(_INSERTS[len(requests)], bound)
        except sqlite3.IntegrityError:  # one is there already
            self._undo(ends)
            return None
        for handle, end in ends.items():
            self._moved(handle, end)
        return results

    def _end(self, ends: dict[bytes, _End], request: AddEntry) -> _End | None:
        """The space's end after this request as well; None when it would be refused."""
        end = ends.get(request.handle)
        if end is None:
            try:
                space = self._spaces.get(request.handle)
            except Damaged:
                return None
            if space is None:
                return None
            end = ends[request.handle] = _End(space, space.last, space.head, space.data_bytes, space.control_bytes)
        space, size = end.space, len(request.envelope)
        if request.under != (space.keys.control if request.control else space.keys.append):
            return None
        if request.control:
            end.control_bytes += size
            if end.control_bytes > self._quotas.control_bytes:
                return None
        else:
            end.data_bytes += size
            if space.used - space.data_bytes + end.data_bytes > self._quotas.space_bytes:
                return None
        end.last, end.head = end.last + 1, fold_head(end.head, request.entry)
        return end

    def _undo(self, ends: dict[bytes, _End]) -> None:
        self._db.executemany(
            "DELETE FROM entries WHERE place > ? AND place <= ?",
            [(end.space.number * PLACES + end.space.last, end.space.number * PLACES + end.last)
             for end in ends.values()])

    def _moved(self, handle: bytes, end: _End) -> None:
        # Asked for again: the rows that are remembered may have been let go of since.
        if (space := self._spaces.get(handle)) is None:
            raise Damaged
        space.last, space.head = end.last, end.head
        space.data_bytes, space.control_bytes = end.data_bytes, end.control_bytes
        self._spaces.changed(handle, space)
