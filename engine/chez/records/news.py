"""News of records: what each commit touched, told to whoever follows it.

The writer's thread collects what a transaction touches (`touch`) and, once it is
durable, hands it over to the event loop (`publish`). Each follower keeps one flag: news
that come while it is busy are one piece of news, so a burst costs it one look, and the
last state is never missed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ("Follower", "News")

MOST_IDS: Final = 4096
"""Records of one collection that a commit is remembered by; beyond, it touched them all."""


@dataclass(slots=True, eq=False)
class Follower:
    """One who follows a collection, some records of it, or (without a collection) everything."""

    collection: str | None
    ids: frozenset[str] | None
    _flag: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def news(self) -> bool:
        """Wait until something was touched since the last call; False once the home closes."""
        await self._flag.wait()
        self._flag.clear()
        return not self._ended

    def wake(self, *, end: bool = False) -> None:
        """There is news, or there will be none."""
        self._ended = self._ended or end
        self._flag.set()


@dataclass(slots=True)
class News:
    """The followers of one home's records; they share one event loop."""

    _touched: dict[str, set[str] | None] = field(default_factory=dict)
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

    def publish(self) -> None:
        """What was touched is durable now. (What was undone is told as well: a look too many.)

        Followers are looked for only now: one that came in the meantime may have looked
        before this commit.
        """
        touched, self._touched = self._touched, {}
        if None not in self._followers:
            touched = {collection: ids for collection, ids in touched.items() if collection in self._followers}
        if touched and self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, touched)

    # --- on the event loop ----------------------------------------------------------------

    @contextmanager
    def follow(self, collection: str | None, ids: frozenset[str] | None = None) -> Iterator[Follower]:
        """Be told of every commit that touches the collection, these records of it, or anything, from now on."""
        self._loop = asyncio.get_running_loop()
        follower = Follower(collection, ids)
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

    def _tell(self, touched: dict[str, set[str] | None]) -> None:
        for follower in self._followers.get(None, ()):
            follower.wake()
        for collection, ids in touched.items():
            for follower in self._followers.get(collection, ()):
                if follower.ids is None or ids is None or not follower.ids.isdisjoint(ids):
                    follower.wake()
