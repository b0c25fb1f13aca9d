"""What is owed is merged while a home is open, with or without a relay.

A transaction takes in a bounded amount (`sync.intake.TURN`). What it leaves over while a
relay is connected is worked off by that link; what an earlier process left, and what a
write on this device released, is worked off here. Each turn is a transaction of its own,
so that the app's reads and writes come in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from chez.errors import ChezError, HomeCopied, SpaceFull
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.store.database import Database
from chez.sync.copied import note_copy
from chez.sync.intake import TURN
from chez.sync.replica import Replica
from chez.tasks import stop

__all__ = ("Backlog",)


class Backlog:
    """The task that merges what is owed in all spaces; it runs inside `async with`.

    `found` hears of the spaces that it tells of, by their rows.
    """

    def __init__(self, database: Database, replicas: Callable[[], Iterable[Replica]], records: RecordStore,
                 found: Callable[[int], Awaitable[None]]) -> None:
        self._database = database
        self._replicas = replicas
        self._records = records
        self._found = found
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for replica in self._replicas():
            if await self._database.read(replica.leaves):
                self._news.set()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        if task is not None:
            await stop(task)

    def committed(self) -> None:
        """A transaction was committed; called in the writer's thread."""
        if self._records.writer.left and self._loop is not None:
            self._records.writer.left = False
            self._loop.call_soon_threadsafe(self._news.set)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            # What fails is left for the next time: a link says why, and so does the next write.
            with suppress(ChezError):
                while any([await self._turn(replica) for replica in list(self._replicas())]):
                    pass

    async def _turn(self, replica: Replica) -> bool:
        """One turn of one space; whether something is left over there."""
        try:
            received = await self._database.submit(lambda db: replica.go_on(db, Budget(TURN)))
        except SpaceFull:  # of this space alone: others have their turn
            await self._database.submit(replica.stand)
            return False
        except HomeCopied:  # the same; a home that meets no relay for long hears of it by `chez doctor`
            await self._database.submit(note_copy)
            return False
        for n in received.spaces:
            await self._found(n)
        return received.left
