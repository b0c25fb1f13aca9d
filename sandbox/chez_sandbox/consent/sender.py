"""Sends what waits for its time while a home is open, so that a held result leaves by itself.

One task for a home. It begins with the first message that waits, or the first run or `chez job send` after the
home was opened: a home that nobody opens sends nothing, and one that is opened late sends late.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from typing import Final

from chez.errors import ChezError
from chez.tasks import happened, stop
from chez_sandbox.consent.delivery import Delivery

__all__ = ("MOST", "RETRY", "Sender", "pause", "sender")

RETRY: Final = 300.0
"""Seconds until a relay that could not be reached is tried again."""

MOST: Final = 600.0
"""Seconds of one wait at most: a device that slept, or whose clock was set, is late by no more than this."""


def pause(told: Delivery, now: datetime) -> float | None:
    """Seconds until there may be something to send; None when nothing waits."""
    waits = [RETRY] if told.waiting else []
    if told.next is not None:
        waits.append(min(MOST, max(0.0, (told.next - now).total_seconds())))
    return min(waits, default=None)


Guard = Callable[[], AbstractContextManager[None]]
"""Around a delivery: what it lets pass ends the sending."""


def _ours() -> AbstractContextManager[None]:
    return contextlib.suppress(ChezError)


class Sender:
    """The task's other end: `nudge` tells it what is waiting now."""

    def __init__(self) -> None:
        self.told: Delivery | None = None
        self.news = asyncio.Event()

    def nudge(self, told: Delivery) -> None:
        """Wait anew, for what this delivery left over."""
        self.told = told
        self.news.set()


@asynccontextmanager
async def sender(
    deliver: Callable[[], Awaitable[Delivery]], now: Callable[[], datetime], going_on: Guard = _ours
) -> AsyncIterator[Sender]:
    """Deliver whenever it is time, until the block is left. What fails within `going_on` is tried again later."""
    end = Sender()
    task = asyncio.create_task(_send(end, deliver, now, going_on))
    try:
        yield end
    finally:
        await stop(task)


async def _send(
    end: Sender, deliver: Callable[[], Awaitable[Delivery]], now: Callable[[], datetime], going_on: Guard
) -> None:
    while True:
        end.news.clear()
        wait = RETRY if end.told is None else pause(end.told, now())
        if await happened(end.news, wait):
            continue
        told = None
        with going_on():
            told = await deliver()
        if not end.news.is_set():  # what was told meanwhile is newer
            end.told = told
