"""Tasks on one home, whose steps at the store are taken in an order that a seed chooses.

Between two steps (a read or a write of the store) a task can't be overtaken, and nothing
waits for a clock: a seed names one interleaving exactly.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chez.store.database import Database

__all__ = ("Seeded",)


class Seeded:
    """A scheduler of steps at the store; the patch lasts as long as the `monkeypatch` it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._news = asyncio.Event()
        for name in ("read", "write"):
            monkeypatch.setattr(Database, name, self._gated(getattr(Database, name)))

    def _gated(self, step: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def gated(database: Database, work: Callable[..., Any]) -> Any:
            if asyncio.current_task() in self._tasks:
                turn = asyncio.Event()
                self._waiting.append(turn)
                self._news.set()
                await turn.wait()
            return await step(database, work)

        return gated

    async def run(self, seed: int, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run all to their ends; their results, or the exceptions they ended with, in order."""
        chance = random.Random(seed)
        tasks = [asyncio.create_task(one) for one in work]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(lambda _: self._news.set())
        while not all(task.done() for task in tasks):
            # Whoever was let on comes back to the gate, or ends.
            while len(self._waiting) + sum(task.done() for task in tasks) < len(tasks):
                self._news.clear()
                await self._news.wait()
            if self._waiting:
                self._waiting.pop(chance.randrange(len(self._waiting))).set()
        self._tasks.difference_update(tasks)
        return await asyncio.gather(*tasks, return_exceptions=True)
