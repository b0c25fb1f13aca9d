"""From the inbox to wherever results go: take, keep, hand on, and only then let the relay forget.

    relay ── item ──> book (a line, durable) ──> sinks ──> acknowledged at the relay

Killed at any of these arrows, the next start goes on there: the relay repeats what was not acknowledged, the
book knows it by its id, and each sink knows its own place in the book.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from typing import Final, Protocol

import msgspec

from chez.errors import NotARelay, RelayUnreachable
from chez.inboxes import InboxItem
from chez.tasks import stop
from chez_sandbox.provider.results import Kept, ResultBook

__all__ = ("Inbox", "Items", "Sink", "Taking", "take_results")

LONGEST_WAIT: Final = 60.0
"""Seconds between two attempts to reach the relay at most."""

A_MOMENT: Final = 0.3
"""Seconds in which a second message may follow the first, when nobody waits for more."""

RENEWED: Final = 24 * 3600.0
"""Seconds after which a connection is made anew, which renews the inbox: it would end after 90 days."""


class Sink(Protocol):
    """Where results go beside the book. All of it may be called again after a crash."""

    async def take(self) -> None:
        """Take what the book has more; when it returns, nothing of it can be lost any more."""

    def due(self) -> float | None:
        """Seconds until it wants to `take` though nothing comes, or None."""

    async def close(self) -> None:
        """Finish what was begun, when results are not followed any longer."""


class Items(Protocol):
    """The items of an inbox: iterate, then `ack`."""

    def __aiter__(self) -> AsyncIterator[InboxItem]:
        """Those that wait, then those that come."""

    async def ack(self, number: int) -> None:
        """Let the relay forget the items up to this one."""


Inbox = Callable[[], AbstractAsyncContextManager[Items]]
"""Connects to the relay, renews the inbox, and watches it."""


class Taking(msgspec.Struct, frozen=True):
    """What `take_results` works with."""

    book: ResultBook
    sinks: Sequence[Sink]
    now: Callable[[], datetime]
    shown: Callable[[Kept], None]
    """Hears of each item that is new."""
    lost: Callable[[RelayUnreachable], None]
    """Hears why the relay can't be reached, before it is tried again."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def take_results(inbox: Inbox, taking: Taking, wait: float | None) -> int:
    """Take what comes; returns how many were new, those included of which the book holds the bundle only now.

    With `wait`, until nothing came for so many seconds; without, for ever, through losses of the
    relay. Raises what the relay, the book or a sink raises.
    """
    count = tried = 0
    for kept in taking.book.late():
        taking.shown(kept)
        count += 1
    while True:
        try:
            await _fill(taking)  # what a crash left between the book and a sink
            async with inbox() as items:
                async for new in _from_one(items, taking, wait):
                    tried = 0
                    count += new
            if wait is not None:
                break
        except NotARelay:
            raise
        except RelayUnreachable as error:
            if wait is not None:
                raise
            taking.lost(error)
            await taking.sleep(min(LONGEST_WAIT, 2.0**tried))
            tried = min(tried + 1, 10)
    for sink in taking.sinks:
        await sink.close()
    return count


async def _fill(taking: Taking) -> None:
    for sink in taking.sinks:
        await sink.take()


async def _from_one(items: Items, taking: Taking, wait: float | None) -> AsyncIterator[int]:
    """The items of one connection: 1 for each that was new, 0 for each that was not."""
    waiting = aiter(items)
    loop = asyncio.get_running_loop()
    renew = loop.time() + RENEWED
    while (item := await _next(waiting, taking, wait, renew)) is not None:
        kept = taking.book.keep(item.item, taking.now())
        if kept.new:
            taking.shown(kept)
        await _fill(taking)
        await items.ack(item.number)
        wait = None if wait is None else min(wait, A_MOMENT)
        yield int(kept.new)


async def _next(
    waiting: AsyncIterator[InboxItem], taking: Taking, wait: float | None, renew: float
) -> InboxItem | None:
    """The next item; None when there is none within `wait`, or it is time to renew. Sinks are served meanwhile."""
    loop = asyncio.get_running_loop()
    end = renew if wait is None else min(renew, loop.time() + wait)
    coming = asyncio.create_task(_one(waiting))
    try:
        while True:
            left = max(0.0, end - loop.time())
            dues = [due for sink in taking.sinks if (due := sink.due()) is not None]
            await asyncio.wait({coming}, timeout=min([left, *dues]))
            if coming.done():
                return coming.result()
            if not left:
                return None
            await _fill(taking)
    finally:
        with suppress(RelayUnreachable):
            await stop(coming)


async def _one(waiting: AsyncIterator[InboxItem]) -> InboxItem | None:
    return await anext(waiting, None)
