"""The synchronous half of the SQLite store: one group of requests on one connection.

Runs on the database's own thread. The log and attachments are here; `space_rows` has the
spaces and their keys, `inbox_rows` the inboxes.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from chez_relay.storage import (
    READING,
    AddChunk,
    AddEntry,
    AddInbox,
    AddItem,
    AddSpace,
    ChunkData,
    Done,
    DropEntries,
    DropItems,
    DropSpace,
    Expire,
    Expired,
    FindChunks,
    Found,
    FoundChunks,
    Gone,
    InboxInfo,
    Lookup,
    Quotas,
    ReadChunk,
    ReadItems,
    ReadPacket,
    ReadPage,
    ReadUsage,
    Refused,
    Request,
    Result,
    RotateSpace,
    SpaceInfo,
    Stored,
)
from chez_relay.storage.dropped_rows import DroppedRows
from chez_relay.storage.entry_hashes import WAITING, EntryHashes
from chez_relay.storage.entry_rows import EntryRows
from chez_relay.storage.inbox_rows import InboxRows
from chez_relay.storage.integrity import SQLITE_ERRORS, Damaged, blob, unsound
from chez_relay.storage.refusals import DAMAGED, NO_CHUNK, NO_SPACE, PAGE_AHEAD, ROTATED, over_blob_quota, over_quota
from chez_relay.storage.space_rows import PLACES, SpaceRow, SpaceRows, slice_room
from chez_wire.chunks import chunk_id
from chez_wire.envelope import fold_head

__all__ = ("Tables",)

class Tables:
    """Performs groups on `db` (autocommit mode, schema in place).

    `room` tells how many bytes its disk has left; `waiting` hashes of entries are kept in memory at most. `unsound`
    tells that the disk or the file turned out to fail: then nothing is written any more.
    """

    def __init__(
        self, db: sqlite3.Connection, quotas: Quotas, clock: Callable[[], float],
        room: Callable[[], int] = lambda: sys.maxsize, *, waiting: int = WAITING,
    ) -> None:
        db.text_factory = bytes  # damage can turn bytes into text that is none
        self._db = db
        self._quotas = quotas
        self._clock = clock
        self._spaces = SpaceRows(db, quotas)
        self._inboxes = InboxRows(db, quotas, room)
        self._hashes = EntryHashes(db, self._spaces, waiting)
        self._entries = EntryRows(db, self._spaces, self._hashes, quotas)
        self._dropped = DroppedRows(db, self._spaces, self._hashes, quotas.grace)
        self.unsound = False

    def perform(self, requests: Sequence[Request]) -> list[Result]:
        """Perform a group in one transaction. On any error nothing of it happened.

        Raises what `SQLITE_ERRORS` names. What only reads and meets damage is refused alone.
        """
        self._inboxes.now = self._clock()
        writes = not all(isinstance(request, READING) for request in requests)
        try:
            self._db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            results = list(self._results(requests))
            if writes:
                self._hashes.write()
            self._spaces.write()
            # After a page that can't be read SQLite refuses to commit, though nothing was written.
            self._db.execute("COMMIT" if writes else "ROLLBACK")
        except BaseException as error:
            self._unsound(error)
            self._spaces.forget()
            self._hashes.undone()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._hashes.committed()
        return results

    def settle(self) -> None:
        """Write the hashes that wait, so that no start has to read them. Raises what `SQLITE_ERRORS` names."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._hashes.write(0)
            self._spaces.write()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _results(self, requests: Sequence[Request]) -> Iterator[Result]:
        for adding, run in groupby(requests, lambda request: isinstance(request, AddEntry)):
            if adding:
                yield from self._entries.add([one for one in run if isinstance(one, AddEntry)], self._guarded)
            else:
                yield from map(self._guarded, run)

    def _guarded(self, request: Request) -> Result:
        try:
            return self._perform(request)
        except Damaged:  # found before anything was written for this request
            return DAMAGED
        except SQLITE_ERRORS as error:
            if not (self._unsound(error) and isinstance(request, READING)):
                raise
            return DAMAGED

    def _unsound(self, error: BaseException) -> bool:
        found = unsound(error)
        self.unsound = self.unsound or found
        return found

    def _perform(self, request: Request) -> Result:
        match request:
            case AddEntry():
                return self._add_entry(request)
            case ReadPage():
                return self._read_page(request)
            case Lookup(handles):
                return Found(tuple([self._known(handle) for handle in handles]))
            case AddSpace():
                return self._spaces.add(request)
            case RotateSpace():
                return self._spaces.rotate(request)
            case DropSpace():
                if (space := self._spaces.get(request.handle)) is not None and isinstance(
                        done := self._spaces.drop(request), Done):
                    self._dropped.forget(space.number)
                    self._hashes.forget(request.handle)
                    return done
                return self._spaces.drop(request)
            case DropEntries():
                return self._dropped.drop(request, self._inboxes.now)
            case ReadPacket():
                return self._spaces.packet(request)
            case AddInbox():
                return self._inboxes.add_inbox(request)
            case AddItem():
                return self._inboxes.add_item(request)
            case ReadItems():
                return self._inboxes.read_items(request)
            case DropItems():
                return self._inboxes.drop_items(request)
            case AddChunk():
                return self._add_chunk(request)
            case ReadChunk():
                return self._read_chunk(request)
            case FindChunks():
                return self._find_chunks(request)
            case ReadUsage():
                return self._usage(request)
            case Expire():
                room = slice_room()
                parts = (self._inboxes.expire(room), self._spaces.sweep(room),
                         self._dropped.expire(self._inboxes.now, room))
                return Expired(any(parts) or room.rows <= 0)

    def _known(self, handle: bytes) -> SpaceInfo | InboxInfo | Gone | Refused | None:
        try:
            if (space := self._spaces.get(handle)) is not None:
                return SpaceInfo(space.keys, space.last, space.head)
            return self._inboxes.info(handle) or (Gone() if self._spaces.deleted(handle) is not None else None)
        except Damaged:
            return DAMAGED

    # --- the log ------------------------------------------------------------------------

    def _add_entry(self, request: AddEntry) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != (space.keys.control if request.control else space.keys.append):
            return ROTATED
        if (stored := self._stored(space, request)) is not None:
            return stored
        size = len(request.envelope)
        used = space.control_bytes if request.control else space.used
        limit = self._quotas.control_bytes if request.control else self._quotas.space_bytes
        if used + size > limit:
            return over_quota(request.control, limit)
        offset, head = space.last + 1, fold_head(space.head, request.entry)
        self._db.execute(
            "INSERT INTO entries (place, entry, head, control, envelope) VALUES (?, ?, ?, ?, ?)",
            (space.number * PLACES + offset, request.entry, head, request.control, request.envelope))
        self._hashes.add(request.handle, space, {request.entry: offset})
        space.last, space.head = offset, head
        if request.control:
            space.control_bytes += size
        else:
            space.data_bytes += size
        self._spaces.changed(request.handle, space)
        return Stored(offset, head, fresh=True)

    def _stored(self, space: SpaceRow, request: AddEntry) -> Stored | None:
        for offset in self._hashes.where(request.handle, space, request.entry):
            place = space.number * PLACES + offset
            row = self._db.execute("SELECT entry, head, envelope FROM entries WHERE place = ?", (place,)).fetchone()
            if row is None:
                continue
            entry, head, envelope = row
            if fold_head(self._dropped.head(space, offset - 1) or b"", request.entry) != head:
                if entry == request.entry:
                    raise Damaged
                continue  # another one whose hash begins the same
            if (entry, envelope) != (request.entry, request.envelope):  # the disk lost it, and here it is again
                self._db.execute("UPDATE entries SET entry = ?, envelope = ? WHERE place = ?",
                                 (request.entry, request.envelope, place))
            return Stored(offset, head, fresh=False)
        return None

    def _read_page(self, request: ReadPage) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        if request.after > space.last:
            return PAGE_AHEAD
        first = space.number * PLACES
        head = space.head if request.after == space.last else self._dropped.head(space, request.after)
        rows = self._db.execute(
            "SELECT place, entry, head, envelope FROM entries WHERE place > ? AND place <= ? ORDER BY place",
            (first + request.after, first + space.last),
        )
        page = self._dropped.page(space, request.after, head, rows, request.limit)
        rows.close()
        return page

    # --- chunks of attachments ------------------------------------------------------------

    def _add_chunk(self, request: AddChunk) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != space.keys.append:
            return ROTATED
        if self._chunk(space, request.chunk):
            self._dropped.keep(space, request.chunk)
            # Where the disk lost it, here it is again.
            self._db.execute("UPDATE chunks SET data = ? WHERE space = ? AND chunk = ? AND data IS NOT ?",
                             (request.data, space.number, request.chunk, request.data))
            return Done()
        if space.blob_bytes + len(request.data) > self._quotas.blob_bytes:
            return over_blob_quota(self._quotas.blob_bytes)
        self._db.execute("INSERT INTO chunks (space, chunk, data) VALUES (?, ?, ?)",
                         (space.number, request.chunk, request.data))
        space.blob_bytes += len(request.data)
        self._spaces.changed(request.handle, space)
        return Done()

    def _read_chunk(self, request: ReadChunk) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        row = self._db.execute("SELECT data FROM chunks WHERE space = ? AND chunk = ?",
                               (space.number, request.chunk)).fetchone()
        if row is None:
            return NO_CHUNK
        if chunk_id(blob(row[0])) != request.chunk:
            raise Damaged
        return ChunkData(row[0])

    def _find_chunks(self, request: FindChunks) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        return FoundChunks(tuple([self._chunk(space, chunk) and self._dropped.kept(space, chunk)
                                  for chunk in request.chunks]), space.drop)

    def _usage(self, request: ReadUsage) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        return self._quotas.usage(space.used, space.control_bytes, space.blob_bytes)

    def _readable(self, request: ReadPage | ReadChunk | FindChunks | ReadUsage) -> SpaceRow | Refused:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        return space if request.under == space.keys.read else ROTATED

    def _chunk(self, space: SpaceRow, chunk: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM chunks WHERE space = ? AND chunk = ?", (space.number, chunk)).fetchone()
        return row is not None
