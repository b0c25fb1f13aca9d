"""The synchronous half of the SQLite store: one group of requests on one connection.

Runs on the database's own thread. The log and attachments are here; `space_rows` has the
spaces and their keys, `inbox_rows` the inboxes.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from chez_relay.storage import (
    AddChunk,
    AddEntry,
    AddInbox,
    AddItem,
    AddSpace,
    ChunkData,
    Done,
    DropItems,
    DropSpace,
    Entry,
    Expire,
    Expired,
    FindChunks,
    Found,
    FoundChunks,
    Gone,
    InboxInfo,
    Lookup,
    Page,
    Quotas,
    ReadChunk,
    ReadItems,
    ReadPacket,
    ReadPage,
    Refused,
    Request,
    Result,
    RotateSpace,
    SpaceInfo,
    Stored,
)
from chez_relay.storage.inbox_rows import InboxRows
from chez_relay.storage.refusals import NO_CHUNK, NO_SPACE, PAGE_AHEAD, ROTATED, over_blob_quota, over_quota
from chez_relay.storage.space_rows import PLACES, SpaceRow, SpaceRows
from chez_wire.envelope import GENESIS_HEAD, fold_head

__all__ = ("Tables",)

_READING: Final = (Lookup, ReadPage, ReadItems, ReadChunk, FindChunks, ReadPacket)


class Tables:
    """Performs groups on `db` (autocommit mode, schema in place)."""

    def __init__(self, db: sqlite3.Connection, quotas: Quotas, clock: Callable[[], float]) -> None:
        self._db = db
        self._quotas = quotas
        self._clock = clock
        self._spaces = SpaceRows(db, quotas)
        self._inboxes = InboxRows(db, quotas)

    def perform(self, requests: Sequence[Request]) -> list[Result]:
        """Perform a group in one transaction. On any error nothing of it happened."""
        self._inboxes.now = self._clock()
        writes = not all(isinstance(request, _READING) for request in requests)
        try:
            self._db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            results = [self._perform(request) for request in requests]
            self._spaces.write()
            self._db.execute("COMMIT")
        except BaseException:
            self._spaces.forget()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return results

    def _perform(self, request: Request) -> Result:
        match request:
            case AddEntry():
                return self._add_entry(request)
            case ReadPage():
                return self._read_page(request)
            case Lookup(handles):
                return Found(tuple(self._known(handle) for handle in handles))
            case AddSpace():
                return self._spaces.add(request)
            case RotateSpace():
                return self._spaces.rotate(request)
            case DropSpace():
                return self._spaces.drop(request)
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
            case Expire():
                self._inboxes.expire()
                return Expired(self._spaces.sweep())

    def _known(self, handle: bytes) -> SpaceInfo | InboxInfo | Gone | None:
        if (space := self._spaces.get(handle)) is not None:
            return SpaceInfo(space.keys, space.last, space.head)
        return self._inboxes.info(handle) or (Gone() if self._spaces.deleted(handle) is not None else None)

    # --- the log ------------------------------------------------------------------------

    def _add_entry(self, request: AddEntry) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != (space.keys.control if request.control else space.keys.append):
            return ROTATED
        size = len(request.envelope)
        used = space.control_bytes if request.control else space.used
        limit = self._quotas.control_bytes if request.control else self._quotas.space_bytes
        if used + size > limit:
            return self._stored(space, request.entry) or over_quota(request.control, limit)
        offset, head = space.last + 1, fold_head(space.head, request.entry)
        inserted = self._db.execute(
            "INSERT INTO entries (place, space, entry, head, envelope) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (space, entry) DO NOTHING",
            (space.number * PLACES + offset, space.number, request.entry, head, request.envelope),
        )
        if inserted.rowcount == 0:
            found = self._stored(space, request.entry)
            return found if found is not None else NO_SPACE
        space.last, space.head = offset, head
        if request.control:
            space.control_bytes += size
        else:
            space.data_bytes += size
        self._spaces.changed(request.handle, space)
        return Stored(offset, head, fresh=True)

    def _stored(self, space: SpaceRow, entry: bytes) -> Stored | None:
        row = self._db.execute(
            "SELECT place, head FROM entries WHERE space = ? AND entry = ?", (space.number, entry)
        ).fetchone()
        return None if row is None else Stored(row[0] - space.number * PLACES, row[1], fresh=False)

    def _read_page(self, request: ReadPage) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        if request.after > space.last:
            return PAGE_AHEAD
        first = space.number * PLACES
        rows = self._db.execute(
            "SELECT place, head, envelope FROM entries WHERE place > ? AND place <= ? ORDER BY place",
            (first + request.after, first + space.last),
        )
        entries: list[Entry] = []
        head, room = (GENESIS_HEAD if request.after == 0 else space.head), request.limit
        for place, after, envelope in rows:
            room -= len(envelope)
            if room < 0 and entries:
                break
            entries.append(Entry(place - first, envelope))
            head = after
        rows.close()
        return Page(tuple(entries), head, space.last)

    # --- chunks of attachments ------------------------------------------------------------

    def _add_chunk(self, request: AddChunk) -> Result:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        if request.under != space.keys.append:
            return ROTATED
        if self._chunk(space, request.chunk):
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
        return NO_CHUNK if row is None else ChunkData(row[0])

    def _find_chunks(self, request: FindChunks) -> Result:
        space = self._readable(request)
        if isinstance(space, Refused):
            return space
        return FoundChunks(tuple([self._chunk(space, chunk) for chunk in request.chunks]))

    def _readable(self, request: ReadPage | ReadChunk | FindChunks) -> SpaceRow | Refused:
        space = self._spaces.get(request.handle)
        if space is None:
            return NO_SPACE
        return space if request.under == space.keys.read else ROTATED

    def _chunk(self, space: SpaceRow, chunk: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM chunks WHERE space = ? AND chunk = ?", (space.number, chunk)).fetchone()
        return row is not None
