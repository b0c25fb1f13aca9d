"""Waiting between the connections of a link: longer and longer, unless there is a reason to try now."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress

from chez.sync.patience import LONGEST_PAUSE, Backoff

__all__ = ("Pauses",)


class Pauses:
    """One pause at a time; `told` hears that one begins."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.until: float | None = None
        """Unix seconds of when the one that there is ends."""
        self._told = told
        self._backoff = Backoff()
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Try now; and the next pauses begin from the shortest again."""
        self._backoff.begin_anew()
        self._hurry.set()

    async def lost(self, stood: float) -> None:
        """Wait after a connection that `stood` so many seconds, 0 for none."""
        await self._wait(self._backoff.pause(stood, random.random()))

    async def refused(self) -> None:
        """Wait after a refusal: its operator may see to it, and nobody here hears of that."""
        await self._wait(LONGEST_PAUSE * random.uniform(0.5, 1.0))

    async def _wait(self, seconds: float) -> None:
        self.until = time.time() + seconds
        self._hurry.clear()
        self._told()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self.until = None
