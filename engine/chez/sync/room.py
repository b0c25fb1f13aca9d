"""How much of this device a followed public space may take: whoever publishes it says how much there is, nobody else.

In other spaces write people whom one knows. A public one is written by strangers: who went bad, or whose key was
stolen, could fill the disk of everybody who follows it. So each has its room here, in bytes and records. What it takes
is measured, not reckoned: by how many pages the database grew over each turn of its intake, with all indexes, whatever
a few bytes of a change come to. A turn that would take more than there is, is undone, and that is written down:
nothing more is taken in, or asked of its relay, until the person gives it more room. Being made a member by its
publisher changes nothing, joining it by one's own word does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from chez.errors import SpaceFull
from chez.records.waiting import PER_CHANGE, Budget
from chez.store.database import Connection
from chez.sync.access import Access

__all__ = ("DEFAULT_BYTES", "DEFAULT_RECORDS", "LEAST_BYTES", "Bound", "Room", "give_room", "let_go", "room_of")

DEFAULT_BYTES: Final = 512 * 1024 * 1024
"""Room of a followed space: several times what most datasets of 200,000 rows take, and a small part of any phone's."""

DEFAULT_RECORDS: Final = 1_000_000
"""Records of a followed space, those that were removed from it among them, for each leaves a trace."""

LEAST_BYTES: Final = 1024 * 1024
"""Less room than for a page of what a relay hands out helps nobody."""

_BYTES: Final = 64
"""Bytes of room for each operation of a turn: it is the shorter the less room is left, so it ends near the bound."""


class Room(msgspec.Struct, frozen=True):
    """What a followed public space takes on this device, and may take, in bytes of the store and in records."""

    bytes: int = 0
    bytes_limit: int = DEFAULT_BYTES
    records: int = 0
    records_limit: int = DEFAULT_RECORDS
    full: bool = False
    """Whether it stands at its bound: nothing more of it comes until it is given more."""


def room_of(db: Connection, n: int) -> Room | None:
    """The room of the space in row `n`; None for one that has no bound."""
    row = db.execute("SELECT bytes, bytes_limit, records, records_limit, full FROM room WHERE space = ?",
                     (n,)).fetchone()
    return None if row is None else Room(row[0], row[1], row[2], row[3], bool(row[4]))


def _begin(db: Connection, n: int) -> Room:
    """The space in row `n` is followed: it has the room that there is without another word."""
    db.execute("INSERT OR IGNORE INTO room (space, bytes_limit, records_limit) VALUES (?, ?, ?)",
               (n, DEFAULT_BYTES, DEFAULT_RECORDS))
    return room_of(db, n) or Room()


def let_go(db: Connection, n: int) -> None:
    """The person belongs to the space in row `n` by their own word: it has no bound."""
    db.execute("DELETE FROM room WHERE space = ?", (n,))


def give_room(db: Connection, n: int, bytes: int | None, records: int | None) -> Room:
    """Set the bounds of the space in row `n`, None: as they are. It goes on, as far as they let it."""
    _begin(db, n)
    db.execute("UPDATE room SET bytes_limit = coalesce(?, bytes_limit), records_limit = coalesce(?, records_limit) "
               "WHERE space = ?", (bytes, records, n))
    db.execute("UPDATE room SET full = 0 WHERE space = ?", (n,))
    return _begin(db, n)


class Bound:
    """What holds the intake of one space to its room, where it is followed; all else passes."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.full: SpaceFull | None = None
        """Why nothing more of it is taken in, as was seen last."""

    def bounds(self, db: Connection) -> bool:
        """Whether what comes of the space is held to its room: it is followed."""
        space = self._access.space
        return space.public and (self._access.follows or room_of(db, space.n) is not None)

    @contextmanager
    def within(self, db: Connection, budget: Budget | None = None) -> Iterator[None]:
        """Take something in that a relay has of the space: what is written is measured, and `budget` kept to the room.

        Raises `SpaceFull` for more than there is, so that it is undone.
        """
        if not self.bounds(db):
            yield
            return
        self.check(db)
        n = self._access.space.n
        room = _begin(db, n)
        if budget is not None:
            left = min((room.bytes_limit - room.bytes) // _BYTES, (room.records_limit - room.records) * PER_CHANGE)
            budget.left = min(budget.left, max(1, left))
        bytes, records = _used(db), _last(db)
        yield
        bytes, records = max(0, room.bytes + _used(db) - bytes), room.records + max(0, _last(db) - records)
        if (bytes > room.bytes_limit and bytes > room.bytes) or (
                records > room.records_limit and records > room.records):
            raise _refusal(room, self._access.space.name)
        db.execute("UPDATE room SET bytes = ?, records = ? WHERE space = ?", (bytes, records, n))

    def stand(self, db: Connection) -> None:
        """The space wants more than its room: nothing more of it is taken in."""
        _begin(db, self._access.space.n)
        db.execute("UPDATE room SET full = 1 WHERE space = ?", (self._access.space.n,))

    def is_full(self, db: Connection) -> bool:
        """Whether nothing more is taken in: it stands at its bound."""
        space = self._access.space
        room = room_of(db, space.n) if space.public else None
        self.full = None if room is None or not room.full else _refusal(room, space.name)
        return self.full is not None

    def check(self, db: Connection) -> None:
        """Raises `SpaceFull` where nothing more is taken in."""
        if self.is_full(db) and self.full is not None:
            raise SpaceFull(self.full.message, self.full.hint)  # the one that is kept would keep who raised it, too


def _refusal(room: Room, name: str) -> SpaceFull:
    return SpaceFull(
        f"the followed space {name!r} wants more room than it has here: it takes {_mib(room.bytes)} of "
        f"{_mib(room.bytes_limit)} MiB, and {room.records:,} of {room.records_limit:,} records, and more is to come",
        "What is here stays, and nothing newer comes. `chez data room` gives it more; if it should not be so "
        "large, unsubscribe, and tell its publisher.")


def _used(db: Connection) -> int:
    """Bytes of the store's pages that are in use."""
    pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0])
                         for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def _last(db: Connection) -> int:
    """The row of the newest record: within a transaction of one space, it grows by those that came."""
    (row,) = db.execute("SELECT coalesce(max(n), 0) FROM record").fetchone()
    return int(row)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f}"
