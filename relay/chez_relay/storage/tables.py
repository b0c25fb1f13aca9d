"""The synchronous half of the SQLite store: one group of requests on one connection.

Runs on the database's own thread. Spaces that are written to are kept in memory between
groups (this process is the only writer), so an append is one insert, and a space's row
is updated once per group.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    Entry,
    Expire,
    FindChunks,
    Found,
    FoundChunks,
    InboxInfo,
    InboxItem,
    ItemPage,
    Lookup,
    Page,
    Quotas,
    ReadChunk,
    ReadItems,
    ReadPage,
    Request,
    Result,
    SpaceInfo,
    SpaceKeys,
    Stored,
)
from chez_relay.storage.refusals import (
    ITEMS_AHEAD,
    NO_CHUNK,
    NO_INBOX,
    NO_SPACE,
    OTHER_INBOX_KEYS,
    OTHER_SPACE_KEYS,
    PAGE_AHEAD,
    full,
    over_blob_quota,
    over_quota,
)
from chez_wire.envelope import GENESIS_HEAD, fold_head

__all__ = ("Tables",)

PLACES: Final = 2**32
MAX_CACHED_SPACES: Final = 16_384
"""Spaces remembered between groups, about 1 KB each."""

_READING: Final = (Lookup, ReadPage, ReadItems, ReadChunk, FindChunks)


@dataclass(slots=True)
class _Space:
    number: int
    keys: SpaceKeys
    last: int
    head: bytes
    data_bytes: int
    control_bytes: int
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class _Inbox:
    number: int
    owner_key: bytes
    write_key: bytes
    ttl: int
    last: int


class Tables:
    """Performs groups on `db` (autocommit mode, schema in place)."""

    def __init__(self, db: sqlite3.Connection, quotas: Quotas, clock: Callable[[], float]) -> None:
        self._db = db
        self._quotas = quotas
        self._clock = clock
        self._spaces: dict[bytes, _Space] = {}
        self._changed: dict[bytes, _Space] = {}
        self._now = 0.0

    def perform(self, requests: Sequence[Request]) -> list[Result]:
        """Perform a group in one transaction. On any error nothing of it happened."""
        self._now = self._clock()
        writes = not all(isinstance(request, _READING) for request in requests)
        try:
            self._db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            results = [self._perform(request) for request in requests]
            self._write_spaces()
            self._db.execute("COMMIT")
        except BaseException:
            # What is remembered of spaces may be ahead of the file now: forget it.
            self._spaces.clear()
            self._changed.clear()
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
                return self._add_space(request)
            case AddInbox():
                return self._add_inbox(request)
            case AddItem():
                return self._add_item(request)
            case ReadItems():
                return self._read_items(request)
            case DropItems():
                return self._drop_items(request)
            case AddChunk():
                return self._add_chunk(request)
            case ReadChunk():
                return self._read_chunk(request)
            case FindChunks():
                return self._find_chunks(request)
            case Expire():
                self._db.execute("DELETE FROM inboxes WHERE expires <= ?", (self._now,))
                self._db.execute("DELETE FROM items WHERE expires <= ?", (self._now,))
                return Done()

    # --- spaces -------------------------------------------------------------------------

    def _space(self, handle: bytes) -> _Space | None:
        if (space := self._spaces.get(handle)) is not None:
            return space
        row = self._db.execute(
            "SELECT space, admin_key, recovery_key, read_key, append_key, control_key, last, head,"
            " data_bytes, control_bytes, blob_bytes FROM spaces WHERE handle = ?", (handle,)
        ).fetchone()
        if row is None:
            return None
        space = _Space(row[0], SpaceKeys(*row[1:6]), *row[6:])
        if len(self._spaces) >= MAX_CACHED_SPACES:
            self._write_spaces()
            self._spaces.clear()
        self._spaces[handle] = space
        return space

    def _write_spaces(self) -> None:
        self._db.executemany(
            "UPDATE spaces SET last = ?, head = ?, data_bytes = ?, control_bytes = ?, blob_bytes = ? WHERE space = ?",
            [(s.last, s.head, s.data_bytes, s.control_bytes, s.blob_bytes, s.number) for s in self._changed.values()],
        )
        self._changed.clear()

    def _known(self, handle: bytes) -> SpaceInfo | InboxInfo | None:
        if (space := self._space(handle)) is not None:
            return SpaceInfo(space.keys, space.last, space.head)
        if (inbox := self._inbox(handle)) is not None:
            return InboxInfo(inbox.owner_key, inbox.write_key)
        return None

    def _add_space(self, request: AddSpace) -> Result:
        if (space := self._space(request.handle)) is not None:
            return Done() if space.keys == request.keys else OTHER_SPACE_KEYS
        keys = request.keys
        self._db.execute(
            "INSERT INTO spaces (handle, admin_key, recovery_key, read_key, append_key, control_key, last,"
            " head, data_bytes, control_bytes, blob_bytes) VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 0)",
            (request.handle, keys.admin, keys.recovery, keys.read, keys.append, keys.control, GENESIS_HEAD),
        )
        return Done()

    def _add_entry(self, request: AddEntry) -> Result:
        space = self._space(request.handle)
        if space is None:
            return NO_SPACE
        size = len(request.envelope)
        used = space.control_bytes if request.control else space.data_bytes
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
        self._changed[request.handle] = space
        return Stored(offset, head, fresh=True)

    def _stored(self, space: _Space, entry: bytes) -> Stored | None:
        row = self._db.execute(
            "SELECT place, head FROM entries WHERE space = ? AND entry = ?", (space.number, entry)
        ).fetchone()
        return None if row is None else Stored(row[0] - space.number * PLACES, row[1], fresh=False)

    def _read_page(self, request: ReadPage) -> Result:
        space = self._space(request.handle)
        if space is None:
            return NO_SPACE
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
        space = self._space(request.handle)
        if space is None:
            return NO_SPACE
        if self._chunk(space, request.chunk):
            return Done()
        if space.blob_bytes + len(request.data) > self._quotas.blob_bytes:
            return over_blob_quota(self._quotas.blob_bytes)
        self._db.execute("INSERT INTO chunks (space, chunk, data) VALUES (?, ?, ?)",
                         (space.number, request.chunk, request.data))
        space.blob_bytes += len(request.data)
        self._changed[request.handle] = space
        return Done()

    def _read_chunk(self, request: ReadChunk) -> Result:
        space = self._space(request.handle)
        if space is None:
            return NO_SPACE
        row = self._db.execute("SELECT data FROM chunks WHERE space = ? AND chunk = ?",
                               (space.number, request.chunk)).fetchone()
        return NO_CHUNK if row is None else ChunkData(row[0])

    def _find_chunks(self, request: FindChunks) -> Result:
        space = self._space(request.handle)
        return NO_SPACE if space is None else FoundChunks(tuple([self._chunk(space, c) for c in request.chunks]))

    def _chunk(self, space: _Space, chunk: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM chunks WHERE space = ? AND chunk = ?", (space.number, chunk)).fetchone()
        return row is not None

    # --- inboxes ------------------------------------------------------------------------

    def _inbox(self, name: bytes) -> _Inbox | None:
        row = self._db.execute(
            "SELECT inbox, owner_key, write_key, ttl, last FROM inboxes WHERE name = ? AND expires > ?",
            (name, self._now),
        ).fetchone()
        return None if row is None else _Inbox(*row)

    def _add_inbox(self, request: AddInbox) -> Result:
        expires = self._now + request.ttl
        box = self._inbox(request.inbox)
        if box is None:
            self._db.execute("DELETE FROM inboxes WHERE name = ?", (request.inbox,))
            self._db.execute(
                "INSERT INTO inboxes (name, owner_key, write_key, ttl, expires, last)"
                " VALUES (?, ?, ?, ?, ?, 0)",
                (request.inbox, request.owner_key, request.write_key, request.ttl, expires),
            )
            return Done()
        if (box.owner_key, box.write_key) != (request.owner_key, request.write_key):
            return OTHER_INBOX_KEYS
        self._db.execute(
            "UPDATE inboxes SET ttl = ?, expires = ? WHERE inbox = ?", (request.ttl, expires, box.number)
        )
        return Done()

    def _add_item(self, request: AddItem) -> Result:
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        digest = hashlib.blake2b(request.item, digest_size=32).digest()
        self._db.execute("DELETE FROM items WHERE inbox = ? AND expires <= ?", (box.number, self._now))
        waiting, same = self._db.execute(
            "SELECT count(*), coalesce(sum(digest = ?), 0) FROM items WHERE inbox = ?", (digest, box.number)
        ).fetchone()
        if same:
            return Done()
        if waiting >= self._quotas.inbox_items:
            return full(self._quotas.inbox_items)
        self._db.execute("UPDATE inboxes SET last = last + 1 WHERE inbox = ?", (box.number,))
        self._db.execute(
            "INSERT INTO items (inbox, number, digest, expires, item) VALUES (?, ?, ?, ?, ?)",
            (box.number, box.last + 1, digest, self._now + box.ttl, request.item),
        )
        return Done()

    def _read_items(self, request: ReadItems) -> Result:
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        if request.after > box.last:
            return ITEMS_AHEAD
        rows = self._db.execute(
            "SELECT number, item FROM items WHERE inbox = ? AND number > ? AND expires > ? ORDER BY number",
            (box.number, request.after, self._now),
        )
        items: list[InboxItem] = []
        room = request.limit
        for number, item in rows:
            room -= len(item)
            if room < 0 and items:
                break
            items.append(InboxItem(number, item))
        rows.close()
        return ItemPage(tuple(items), box.last)

    def _drop_items(self, request: DropItems) -> Result:
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        self._db.execute("DELETE FROM items WHERE inbox = ? AND number <= ?", (box.number, request.upto))
        return Done()
