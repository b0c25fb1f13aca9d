"""Which entries a space has, by their hashes: what makes an append idempotent, on the open transaction of `Tables`.

A hash lies anywhere. Written with its entry it costs a page of its own, as much as the entry does; many written
together share their pages. So the hashes of a space's newest entries wait in memory, and are written in runs of one
space in their order. Nothing is lost with the memory: a space's row says up to which offset its hashes are written, and
those after it are read from its log when it is next asked for one.
"""

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from chez_relay.storage.batches import TOGETHER, together, values
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.space_rows import PLACES, SpaceRow, SpaceRows

__all__ = ("WAITING", "EntryHashes", "start")

WAITING: Final = 32_768
"""Hashes that wait in memory at most, after a group: 5 MB of few spaces, 13 MB where each is of another."""

RUN: Final = 512
"""Hashes of one space that are written at once, at most: what a group takes longer for them is a few milliseconds."""

_INSERTS: Final = {
    # One that is there already was written before a failure and is the same. As in `entry_rows`, no ABORT.
    count: "INSERT OR IGNORE INTO hashes (space, start, offset) " + values(count, 3) for count in TOGETHER
}

_FINDS: Final = {
    count: f"WITH asked (space, start) AS ({values(count, 2)}) SELECT asked.space, asked.start FROM asked"
           " CROSS JOIN hashes ON hashes.space = asked.space AND hashes.start = asked.start"
    for count in (1, 4, 16, 64, 256, 1024)
}


_START: Final = struct.Struct(">q")


def start(entry: bytes) -> int:
    """What a hash is looked up by: its first eight bytes, as a signed number. Another entry may have the same."""
    number: int = _START.unpack_from(entry)[0] if len(entry) >= _START.size else 0  # 0: what damage left of one
    return number


class EntryHashes:
    """The hashes on `db`; `waiting` are kept in memory at most."""

    def __init__(self, db: sqlite3.Connection, spaces: SpaceRows, waiting: int = WAITING) -> None:
        self._db = db
        self._spaces = spaces
        self._most = waiting
        self._waiting: dict[bytes, dict[bytes, int]] = {}  # of each space by its handle: hash and offset, in its order
        self._count = 0
        self._touched: set[bytes] = set()  # spaces whose hashes the open transaction changed

    def of(self, handle: bytes, space: SpaceRow) -> dict[bytes, int]:
        """The offsets of those of a space's entries whose hashes are not written."""
        if (waiting := self._waiting.get(handle)) is None:
            if space.hashed == space.last:
                return {}
            first = space.number * PLACES
            waiting = self._waiting[handle] = {entry: place - first for place, entry in self._db.execute(
                "SELECT place, entry FROM entries WHERE place > ? AND place <= ? ORDER BY place",
                (first + space.hashed, first + space.last)) if type(entry) is bytes}
            self._count += len(waiting)
        return waiting

    def written(self, asked: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Which of some spaces' numbers and starts of hashes are among those that are written."""
        found: set[tuple[int, int]] = set()
        most = max(_FINDS)
        for first in range(0, len(asked), most):
            part = sorted(asked[first:first + most])  # neighbours are on one page
            count = min(count for count in _FINDS if count >= len(part))
            bound = [value for one in part for value in one]
            found.update(self._db.execute(_FINDS[count], bound + [None] * (2 * count - len(bound))))
        return found

    def where(self, handle: bytes, space: SpaceRow, entry: bytes) -> list[int]:
        """The offsets at which an entry may be; its place in the chain of heads tells whether it is."""
        if (offset := self.of(handle, space).get(entry)) is not None:
            return [offset]
        return [row[0] for row in self._db.execute("SELECT offset FROM hashes WHERE space = ? AND start = ?",
                                                   (space.number, start(entry)))]

    def add(self, handle: bytes, space: SpaceRow, entries: dict[bytes, int]) -> None:
        """These entries with their offsets come next in a space; its row does not tell of them yet."""
        waiting = self.of(handle, space)
        self._touched.add(handle)
        for entry, offset in entries.items():
            if waiting.pop(entry, None) is not None:  # the disk lost where it was; those that wait are in their order
                self._count -= 1
            waiting[entry] = offset
        self._waiting[handle] = waiting
        self._count += len(entries)

    def remove(self, handle: bytes, space: SpaceRow, entries: Iterable[tuple[bytes, int]]) -> None:
        """These entries are dropped."""
        waiting = self._waiting.get(handle, {})
        self._touched.add(handle)
        for entry, offset in entries:
            if offset <= space.hashed:
                self._db.execute("DELETE FROM hashes WHERE space = ? AND start = ? AND offset = ?",
                                 (space.number, start(entry), offset))
            elif waiting.pop(entry, None) is not None:
                self._count -= 1
        if not waiting:
            self.forget(handle)

    def forget(self, handle: bytes) -> None:
        """A space is deleted, or what is known of it may not be what its file has."""
        self._count -= len(self._waiting.pop(handle, ()))

    def write(self, most: int | None = None) -> None:
        """Write hashes until no more wait than may: those that began to wait first, a run of each space in turn."""
        while self._waiting and self._count > (self._most if most is None else most):
            handle, waiting = next(iter(self._waiting.items()))
            self._touched.add(handle)
            try:
                space = self._spaces.get(handle)
            except Damaged:
                space = None
            if space is None:
                self.forget(handle)
                continue
            run = list(islice(waiting.items(), RUN))
            for part in together(sorted((start(entry), offset) for entry, offset in run)):
                self._db.execute(_INSERTS[len(part)], [value for one in part for value in (space.number, *one)])
            for entry, _ in run:
                del waiting[entry]
            self._count -= len(run)
            space.hashed = run[-1][1] if waiting else space.last
            del self._waiting[handle]
            if waiting:
                self._waiting[handle] = waiting  # the others in turn
            self._spaces.changed(handle, space)

    def committed(self) -> None:
        """What was done is in the file."""
        self._touched.clear()

    def undone(self) -> None:
        """The transaction was undone: what it changed is read anew."""
        for handle in self._touched:
            self.forget(handle)
        self._touched.clear()
