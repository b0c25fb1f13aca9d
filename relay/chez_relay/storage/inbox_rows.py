"""The tables of inboxes and their items, on the open transaction of `Tables`."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from chez_relay.storage import (
    AddInbox,
    AddItem,
    Done,
    DropItems,
    InboxInfo,
    InboxItem,
    ItemPage,
    Quotas,
    ReadItems,
    Result,
)
from chez_relay.storage.integrity import Damaged, blob, intact, item_digest, seal
from chez_relay.storage.refusals import CROWDED, ITEMS_AHEAD, NO_INBOX, OTHER_INBOX_KEYS, OTHER_WRITER, full
from chez_relay.storage.space_rows import Room
from chez_relay.storage.standing import Standing
from chez_wire.limits import MAX_INBOX_TTL

__all__ = ("InboxRows",)


@dataclass(frozen=True, slots=True)
class _Inbox:
    number: int
    owner_key: bytes
    write_key: bytes
    ttl: int
    last: int


class InboxRows:
    """Inboxes on `db`, on whose disk there is so much `room` in bytes; `now` is the time of the group, in seconds."""

    def __init__(self, db: sqlite3.Connection, quotas: Quotas, room: Callable[[], int]) -> None:
        self._db = db
        self._quotas = quotas
        self._room = room
        self._standing = Standing()
        self.now = 0.0

    def info(self, name: bytes) -> InboxInfo | None:
        """An inbox's credentials, if it is there and has not expired."""
        box = self._inbox(name)
        return None if box is None else InboxInfo(box.owner_key, box.write_key)

    def expire(self, room: Room) -> bool:
        """Delete a slice of the inboxes and items whose time is over; whether there is more.

        Nobody is shown them any more: an inbox may be half empty meanwhile.
        """
        self._not_after(self.now + MAX_INBOX_TTL, room.rows)
        over = self._db.execute("SELECT inbox FROM inboxes WHERE expires <= ? ORDER BY expires LIMIT ?",
                                (self.now, room.rows + 1)).fetchall()
        for (number,) in over:
            if not (self._emptied("inbox = ?", number, room) and room.take(0)):
                return True
            self._db.execute("DELETE FROM inboxes WHERE inbox = ?", (number,))
        return not self._emptied("expires <= ?", self.now, room)

    def _not_after(self, latest: float, most: int) -> None:
        """What was put while the clock was ahead stays no longer than anybody may ask for."""
        (late,) = self._db.execute("SELECT EXISTS (SELECT 1 FROM inboxes WHERE expires > ?1) OR EXISTS "
                                   "(SELECT 1 FROM items WHERE expires > ?1)", (latest,)).fetchone()
        if self._standing.believed(self.now, late=bool(late)):
            for table in ("inboxes", "items"):
                self._db.execute(
                    f"UPDATE {table} SET expires = ? WHERE rowid IN "
                    f"(SELECT rowid FROM {table} WHERE expires > ? LIMIT ?)", (latest, latest, most))

    def _emptied(self, which: str, value: float, room: Room) -> bool:
        """Delete items while there is room; whether all of these are gone."""
        rows = self._db.execute(f"SELECT rowid, length(item) FROM items WHERE {which} LIMIT ?",
                                (value, room.rows + 1)).fetchall()
        gone = [(row,) for row, size in rows if room.take(size)]
        self._db.executemany("DELETE FROM items WHERE rowid = ?", gone)
        return len(gone) == len(rows)

    def _inbox(self, name: bytes) -> _Inbox | None:
        row = self._db.execute(
            "SELECT inbox, owner_key, write_key, ttl, last, seal FROM inboxes WHERE name = ? AND expires > ?",
            (name, self.now),
        ).fetchone()
        if row is None:
            return None
        intact(row[-1], (name, row[1], row[2]))
        return _Inbox(*row[:-1])

    def add_inbox(self, request: AddInbox) -> Result:
        """Make an inbox, or renew it."""
        expires = self.now + request.ttl
        box = self._inbox(request.inbox)
        if box is None:
            if self._crowded():
                return CROWDED
            self._db.execute("DELETE FROM inboxes WHERE name = ?", (request.inbox,))
            self._db.execute(
                "INSERT INTO inboxes (name, owner_key, write_key, ttl, expires, last, seal)"
                " VALUES (?, ?, ?, ?, ?, 0, ?)",
                (request.inbox, request.owner_key, request.write_key, request.ttl, expires,
                 seal(request.inbox, request.owner_key, request.write_key)),
            )
            return Done()
        if (box.owner_key, box.write_key) != (request.owner_key, request.write_key):
            return OTHER_INBOX_KEYS
        self._db.execute(
            "UPDATE inboxes SET ttl = ?, expires = ? WHERE inbox = ?", (request.ttl, expires, box.number)
        )
        return Done()

    def add_item(self, request: AddItem) -> Result:
        """Put an item, once."""
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        if request.under != box.write_key:
            return OTHER_WRITER
        digest = item_digest(request.item)
        self._db.execute("DELETE FROM items WHERE inbox = ? AND expires <= ?", (box.number, self.now))
        waiting, same = self._db.execute(
            "SELECT count(*), coalesce(sum(digest = ?), 0) FROM items WHERE inbox = ?", (digest, box.number)
        ).fetchone()
        if same:  # where the disk lost it, here it is again
            self._db.execute("UPDATE items SET item = ? WHERE inbox = ? AND digest = ? AND item IS NOT ?",
                             (request.item, box.number, digest, request.item))
            return Done()
        if waiting >= self._quotas.inbox_items:
            return full(self._quotas.inbox_items)
        if self._crowded():
            return CROWDED
        self._db.execute("UPDATE inboxes SET last = last + 1 WHERE inbox = ?", (box.number,))
        self._db.execute(
            "INSERT INTO items (inbox, number, digest, expires, item) VALUES (?, ?, ?, ?, ?)",
            (box.number, box.last + 1, digest, self.now + box.ttl, request.item),
        )
        return Done()

    def _crowded(self) -> bool:
        """Whether what is left is for spaces. What was deleted leaves room inside the file."""
        lacking = self._quotas.inbox_reserve - self._room()
        if lacking <= 0:
            return False
        (pages,), (size,) = (self._db.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
        inside: int = pages * size
        return inside < lacking

    def read_items(self, request: ReadItems) -> Result:
        """A page of items."""
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        if request.after > box.last:
            return ITEMS_AHEAD
        rows = self._db.execute(
            "SELECT number, item, digest FROM items WHERE inbox = ? AND number > ? AND expires > ? ORDER BY number",
            (box.number, request.after, self.now),
        )
        items: list[InboxItem] = []
        room = request.limit
        for number, item, digest in rows:
            room -= len(blob(item))
            if room < 0 and items:
                break
            if item_digest(item) != digest:
                raise Damaged
            items.append(InboxItem(number, item))
        rows.close()
        return ItemPage(tuple(items), box.last)

    def drop_items(self, request: DropItems) -> Result:
        """Delete what was taken."""
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        self._db.execute("DELETE FROM items WHERE inbox = ? AND number <= ?", (box.number, request.upto))
        return Done()
