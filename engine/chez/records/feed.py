"""The change feed: what happened to records since a cursor, in pages, and on as it happens.

Every write of a record's projection gives it the next number of this store, in the same
transaction. A feed reads records in the order of these numbers, so a record that changed
several times since the cursor comes once, as it is now: changes are coalesced, and the
last state is never missed. A cursor is such a number, with the one at which the feed was
last caught up and the name of the store that counts: it means nothing to another device.

What is handed out is durable: had it been only shown (`store.database`), a power cut could
take it back, and the numbers would be given again behind the cursor's back.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import msgspec

from chez.errors import InvalidValue
from chez.records.past import NameOf
from chez.records.rows import ABSENT, HERE
from chez.records.then import State
from chez.store.database import Connection, Database

if TYPE_CHECKING:
    from chez.records.news import News
    from chez.records.record import Record

__all__ = ("Changed", "Feed", "FeedPage", "Source", "check_cursor", "cursor_now", "state_of")

T = TypeVar("T")
PAGE: Final = 1000
"""Records in one page: a few milliseconds to read."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """What happened to a record since the cursor, and as it is now.

    `kind` is "created" if it was not there when the feed was last caught up (or was deleted
    since and put back): a feed that is behind may say so twice, and never says "updated" of
    what it did not tell before. It is "deleted" for one that is gone, purged ones included;
    then `record` is None.
    `device` made the last of the changes; `space` is the id of the record's space.
    """

    collection: str
    id: str
    kind: Literal["created", "updated", "deleted"]
    record: "Record[T] | None"
    device: bytes = field(repr=False)
    device_name: str | None
    space: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class FeedPage(Generic[T]):
    """Some of what changed, in order, and the cursor after it: text to be kept, and given to `changes(since=...)`."""

    changes: tuple[Changed[T], ...]
    cursor: str

    def __repr__(self) -> str:
        return f"<FeedPage of {len(self.changes):,} changes, up to {self.cursor}>"


class Source(msgspec.Struct, Generic[T], frozen=True):
    """What tells the names of a space's devices, and makes a record of a row of one of its collections."""

    name_of: NameOf
    record: "Callable[[Sequence[Any]], Record[T]]"


class Feed(msgspec.Struct, Generic[T], frozen=True):
    """What a feed reads: one collection of a space, or all of them, or (`space` None) those of all spaces.

    `source` gives what a space, by its row, and a collection need to be shown.
    """

    database: Database
    news: "News"
    space: int | None
    device: bytes
    collection: str | None
    source: "Callable[[int, str], Awaitable[Source[T]]]"

    async def pages(self, since: str | None, live: bool) -> AsyncIterator[FeedPage[T]]:
        """The pages after a cursor; ends when all was read, or (`live`) when the home closes. Raises `InvalidValue`."""
        at, base = (0, 0) if since is None else check_cursor(since, self.device)
        sources: dict[tuple[int, str], Source[T]] = {}
        with self.news.follow(self.collection) as follower:
            while True:
                rows, upto = await self.database.read(partial(self._read, at=at))
                full = len(rows) == PAGE
                known, at = base, rows[-1][0] if full else upto
                base = base if full else at
                if rows:
                    # Behind everything that was committed before: from here on it is durable.
                    await self.database.write(lambda db: None)
                    for n, name in {(row[1], row[3]) for row in rows} - sources.keys():
                        sources[n, name] = await self.source(n, name)
                    yield FeedPage(tuple([self._changed(row, known, sources[row[1], row[3]]) for row in rows]),
                                   f"1.{self.device[:8].hex()}.{at}.{base}")
                if not full and (not live or not await follower.news()):
                    return

    def _read(self, db: Connection, at: int) -> tuple[list[tuple[Any, ...]], int]:
        (upto,) = db.execute("SELECT coalesce(max(changed), 0) FROM record").fetchone()
        if at > upto:
            raise InvalidValue("this cursor is ahead of the store: it is of a later state than the one that is open",
                               "Read from the beginning: changes() without a cursor.")
        only = {"collection": self.collection, "record.space": self.space}
        given = {column: value for column, value in only.items() if value is not None}
        rows = db.execute(
            "SELECT changed, record.space, space.id, collection, record.id, json, kinds, deleted, born, author "
            "FROM record INDEXED BY record_by_change JOIN space ON space.n = record.space "
            "LEFT JOIN entry ON entry.n = editor WHERE changed > ? AND changed <= ? "
            f"{''.join(f'AND {column} = ? ' for column in given)}"
            f"AND (deleted <> {ABSENT} OR changed > born) ORDER BY changed LIMIT {PAGE}",
            (at, upto, *given.values())).fetchall()
        return rows, upto

    def _changed(self, row: Sequence[Any], known: int, source: Source[T]) -> Changed[T]:
        _, _, space, collection, id, json, kinds, state, born, author = row
        device = self.device if author is None else author
        kind: Literal["created", "updated"] = "created" if born > known else "updated"
        return Changed(collection, id, kind if state == HERE else "deleted",
                       source.record((id, json, kinds)) if state == HERE else None, device, source.name_of(device),
                       space.hex())


def cursor_now(db: Connection, device: bytes) -> str:
    """The cursor of somebody who has read everything that there is: it stands for a whole state."""
    upto, logged = db.execute("SELECT (SELECT coalesce(max(changed), 0) FROM record), "
                              "(SELECT coalesce(max(n), 0) FROM change)").fetchone()
    return f"1.{device[:8].hex()}.{upto}.{upto}.{logged}"


_CURSOR: Final = re.compile(r"1\.([0-9a-f]{16})\.([0-9]{1,18})\.([0-9]{1,18})(?:\.([0-9]{1,18}))?")


def check_cursor(cursor: str, device: bytes) -> tuple[int, int]:
    """The numbers in a cursor of this device's store: what was read, and when all was. Raises `InvalidValue`."""
    found = _numbers(cursor, device)
    return int(found[2]), int(found[3])


def state_of(cursor: str, device: bytes) -> State:
    """The state that a cursor of `cursor_now` stands for. Raises `InvalidValue`, also for one that came with a page."""
    found = _numbers(cursor, device)
    if found[4] is None:
        raise InvalidValue(f"{cursor!r} stands for no whole state: it came with a page of changes",
                           "Give one that cursor_now() gave.")
    return State(int(found[2]), int(found[4]))


def _numbers(cursor: str, device: bytes) -> "re.Match[str]":
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise InvalidValue(f"{cursor!r} is no cursor of a change feed", "Give what a page had as `cursor`, or None.")
    if found[1] != device[:8].hex():
        raise InvalidValue("this cursor is another device's: each counts its own changes",
                           "Read from the beginning: changes() without a cursor.")
    return found
