"""News of records: what each commit touched, told to whoever follows it.

The writer's thread collects what a transaction touches (`touch`) and, once it is
durable, hands it over to the event loop (`publish`). Each follower keeps one flag: news
that come while it is busy are one piece of news, so a burst costs it one look, and the
last state is never missed.

Who follows single records may give the *look* itself along: the writer takes it in the transaction
that touched one, and what it saw comes with the news. That spares a way to the reader's thread and back,
which on a machine that was asleep takes longer than all the rest.

Of a live change even that is known before its transaction (`sync.ahead`): who can make its answer of a row that is not
in the store yet is told `ahead`. Where the transaction fails, it is told to look again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from chez.query import decimals
from chez.records.store import Shown
from chez.store.database import Connection

__all__ = ("Follower", "News", "View")

MOST_IDS: Final = 4096
"""Records of one collection that a commit is remembered by; beyond, it touched them all."""

MOST_LOOKS: Final = 16
"""Looks that the writer takes for one commit, some ten microseconds each; beyond, followers look for themselves."""


class View(msgspec.Struct, frozen=True):
    """What a follower wants to see: a `look`, which writes nothing, and what it makes of a record's row (id, json,
    kinds) in a space, by its row, where that is all that a look would find. Either may raise: then it is not told.
    """

    look: Callable[[Connection], Any]
    space: int
    of: Callable[[Sequence[Any]], Any]


@dataclass(slots=True, eq=False)
class Follower:
    """One who follows a collection, some records of it, or (without a collection) everything."""

    collection: str | None
    ids: frozenset[str] | None
    view: View | None = None
    """What the writer may look at for it."""
    seen: tuple[Any] | None = None
    """What the writer saw for the last news; None where it did not look."""
    _flag: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def news(self) -> bool:
        """Wait until something was touched since the last call; False once the home closes."""
        await self._flag.wait()
        self._flag.clear()
        return not self._ended

    @property
    def told(self) -> bool:
        """Whether there is news that `news` has still to tell."""
        return self._flag.is_set()

    def wake(self, seen: tuple[Any] | None = None, *, end: bool = False) -> None:
        """There is news, or there will be none."""
        self._ended = self._ended or end
        self.seen = seen
        self._flag.set()

    def concerns(self, ids: set[str] | None) -> bool:
        """Whether it is told when these records of its collection (None: all) were touched."""
        return self.ids is None or ids is None or not self.ids.isdisjoint(ids)


@dataclass(slots=True)
class News:
    """The followers of one home's records; they share one event loop."""

    declarations: int = 0
    """How many commits said of fields that they are decimals: what queries went by before each is out of date."""
    _declared: bool = False
    _touched: dict[str, set[str] | None] = field(default_factory=dict)
    _seen: dict[Follower, tuple[Any]] = field(default_factory=dict)
    _ahead: set[Follower] = field(default_factory=set)
    """Those that were told ahead of a transaction that is not committed."""
    _followers: dict[str | None, set[Follower]] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None
    _closed: bool = False

    # --- in the writer's thread -----------------------------------------------------------

    def touch(self, collection: str, id: str) -> None:
        """A record is being changed by the transaction that is open."""
        ids = self._touched.setdefault(collection, set())
        if ids is not None:
            ids.add(id)
            if len(ids) > MOST_IDS:
                self._touched[collection] = None

    def declare(self, db: Connection, collection: str, names: Sequence[str] | frozenset[str]) -> None:
        """Fields of a collection are decimals, with the transaction that is open: who asked before goes by it too."""
        if decimals.declare(db, collection, names):
            self._declared = True

    def look(self, db: Connection) -> None:
        """The transaction that is open is about to commit: see what it leaves for those who gave a look along."""
        self._seen.clear()
        for collection, ids in self._touched.items():
            for follower in tuple(self._followers.get(collection, ())):  # the loop may add one, or end one
                if follower.view is not None and follower.concerns(ids) and len(self._seen) < MOST_LOOKS:
                    with suppress(Exception):  # it looks for itself, and is told what is wrong
                        self._seen[follower] = (follower.view.look(db),)

    def publish(self) -> None:
        """What was touched is durable now. (What was undone is told as well: a look too many.)

        Followers are looked for only now: one that came in the meantime may have looked
        before this commit.
        """
        touched, self._touched = self._touched, {}
        seen, self._seen = self._seen, {}
        self._ahead.clear()
        if self._declared:
            self.declarations, self._declared = self.declarations + 1, False
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._all_again)
        if None not in self._followers:
            touched = {collection: ids for collection, ids in touched.items() if collection in self._followers}
        if touched and self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, touched, seen)

    def forget(self) -> None:
        """Some of the transaction was undone: what was seen in it, or told ahead of it, may not be."""
        self._seen.clear()
        if self._ahead and self._loop is not None:
            ahead, self._ahead = self._ahead, set()
            self._loop.call_soon_threadsafe(self._again, ahead)

    # --- on the event loop ----------------------------------------------------------------

    def ahead(self, shown: Shown) -> bool:
        """A transaction that is about to begin will show this of a record: whoever follows it may know already.

        Whether anybody does.
        """
        ids, told = {shown.row[0]}, False
        for follower in self._followers.get(shown.collection, ()):
            view = follower.view
            if view is not None and view.space == shown.space and follower.concerns(ids):
                with suppress(Exception):  # as in `look`
                    follower.wake((view.of(shown.row),))
                    self._ahead.add(follower)
                    told = True
        return told

    @contextmanager
    def follow(self, collection: str | None, ids: frozenset[str] | None = None,
               view: View | None = None) -> Iterator[Follower]:
        """Be told of every commit that touches the collection, these records of it, or anything, from now on."""
        self._loop = asyncio.get_running_loop()
        follower = Follower(collection, ids, view)
        if self._closed:
            follower.wake(end=True)
        self._followers.setdefault(collection, set()).add(follower)
        try:
            yield follower
        finally:
            self._followers[collection].discard(follower)
            if not self._followers[collection]:
                del self._followers[collection]

    def close(self) -> None:
        """The home closes: who waits for news is let go."""
        self._closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.wake(end=True)

    def _all_again(self) -> None:
        for followers in self._followers.values():
            self._again(followers)

    def _again(self, followers: set[Follower]) -> None:
        for follower in followers:
            follower.wake()

    def _tell(self, touched: dict[str, set[str] | None], seen: dict[Follower, tuple[Any]]) -> None:
        for follower in self._followers.get(None, ()):
            follower.wake()
        for collection, ids in touched.items():
            for follower in self._followers.get(collection, ()):
                if follower.concerns(ids):
                    follower.wake(seen.get(follower))
