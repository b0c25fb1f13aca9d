"""Entries of the log that come together are written by few statements, on the open transaction of `Tables`."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez_relay.storage import AddEntry, Quotas, Result, Stored
from chez_relay.storage.batches import TOGETHER, together, values
from chez_relay.storage.entry_hashes import EntryHashes, start
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.space_rows import PLACES, SpaceRow, SpaceRows
from chez_wire.envelope import fold_head

__all__ = ("EntryRows",)

_INSERTS: Final = {
    # Where a row can't be written those before it stay (FAIL), and the whole group is undone: to undo a statement by
    # itself (ABORT) SQLite first writes down all pages as they were.
    count: "INSERT OR FAIL INTO entries (place, entry, head, control, envelope) " + values(count, 5)
    for count in TOGETHER
}

Row = tuple[int, bytes, bytes, bool, bytes]


@dataclass(slots=True)
class _End:
    """Where a space will end, and which entries come there."""

    space: SpaceRow
    waiting: dict[bytes, int]
    last: int
    head: bytes
    data_bytes: int
    control_bytes: int
    entries: dict[bytes, int] = field(default_factory=dict)


class EntryRows:
    """Writes new entries of spaces on `db`."""

    def __init__(self, db: sqlite3.Connection, spaces: SpaceRows, hashes: EntryHashes, quotas: Quotas) -> None:
        self._db = db
        self._spaces = spaces
        self._hashes = hashes
        self._quotas = quotas

    def add(self, requests: Sequence[AddEntry], one: Callable[[AddEntry], Result]) -> list[Result]:
        """Append all, in their order; `one` does what is not plainly new: refused, there already, or damaged."""
        ends: dict[bytes, _End] = {}
        written = self._hashes.written([(end.space.number, start(request.entry)) for request in requests
                                        if (end := ends.get(request.handle) or self._begin(ends, request.handle))
                                        and end.space.hashed])  # of a young space none is written
        rows: list[Row] = []
        results: list[Result] = []
        for request in requests:
            end = self._end(ends, request, written)
            if end is None:
                self._write(ends, rows)
                results.append(one(request))
                continue
            rows.append((end.space.number * PLACES + end.last, request.entry, end.head, request.control,
                         request.envelope))
            results.append(Stored(end.last, end.head, fresh=True))
        self._write(ends, rows)
        return results

    def _begin(self, ends: dict[bytes, _End], handle: bytes) -> _End | None:
        try:
            space = self._spaces.get(handle)
        except Damaged:
            return None
        if space is None:
            return None
        end = ends[handle] = _End(space, self._hashes.of(handle, space), space.last, space.head, space.data_bytes,
                                  space.control_bytes)
        return end

    def _end(self, ends: dict[bytes, _End], request: AddEntry, written: set[tuple[int, int]]) -> _End | None:
        """The space's end after this request as well; None when it is not plainly new."""
        if (end := ends.get(request.handle) or self._begin(ends, request.handle)) is None:
            return None
        space, size = end.space, len(request.envelope)
        if (request.entry in end.entries or request.entry in end.waiting
                or (written and (space.number, start(request.entry)) in written)):
            return None
        if request.under != (space.keys.control if request.control else space.keys.append):
            return None
        if request.control:
            if end.control_bytes + size > self._quotas.control_bytes:
                return None
            end.control_bytes += size
        else:
            if space.used - space.data_bytes + end.data_bytes + size > self._quotas.space_bytes:
                return None
            end.data_bytes += size
        end.last, end.head = end.last + 1, fold_head(end.head, request.entry)
        end.entries[request.entry] = end.last
        return end

    def _write(self, ends: dict[bytes, _End], rows: list[Row]) -> None:
        """Write what was gathered; from then on the spaces end there."""
        for part in together(rows):
            self._db.execute(_INSERTS[len(part)], [value for row in part for value in row])
        for handle, end in ends.items():
            if end.entries:
                self._moved(handle, end)
        ends.clear()
        rows.clear()

    def _moved(self, handle: bytes, end: _End) -> None:
        # Asked for again: the rows that are remembered may have been let go of since.
        if (space := self._spaces.get(handle)) is None:
            raise Damaged
        self._hashes.add(handle, space, end.entries)
        space.last, space.head = end.last, end.head
        space.data_bytes, space.control_bytes = end.data_bytes, end.control_bytes
        self._spaces.changed(handle, space)
