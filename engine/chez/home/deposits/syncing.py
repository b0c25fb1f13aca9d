"""When deposits are taken: at each sync, and again and again while a home is connected."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from chez.errors import ChezError
from chez.home.deposits.desk import Deposits
from chez.home.exchange import Exchange
from chez.home.reports import SyncReport
from chez.tasks import happened, stop

__all__ = ("following", "sync_and_take")

PAUSE: Final = (600.0, 1200.0)
"""Seconds between two looks at the inboxes while the home is connected: by chance within these, so that a relay can't
tell two inboxes of one person by the moment."""


async def sync_and_take(exchange: Exchange, deposits: Deposits, timeout: float, url: str | None, *, reseed: bool,
                        everywhere: bool, progress: Callable[[int, int], None] | None) -> SyncReport:
    """Sync, look at the deposit inboxes, and sync again if something was written; see `Home.sync`."""
    # First what the other devices say: an address may have been revoked, or a message taken.
    report = await exchange.sync(timeout, url, reseed=reseed, everywhere=everywhere, progress=progress)
    taken = await deposits.take()
    if not (taken.messages or taken.dropped):
        return msgspec.structs.replace(report, deposits=taken)
    # So that what was taken is at the relay for the other devices when this returns.
    again = await exchange.sync(timeout, url, everywhere=everywhere, progress=progress)
    await deposits._taking.let_go()
    return msgspec.structs.replace(
        again, sent=report.sent + again.sent, received=report.received + again.received,
        quarantined=report.quarantined + again.quarantined, reset=(*report.reset, *again.reset),
        unanswered=report.unanswered or again.unanswered, let_in=(*report.let_in, *again.let_in), deposits=taken)


@asynccontextmanager
async def following(deposits: Deposits, changed: asyncio.Event, ready: Callable[[], Awaitable[None]]
                    ) -> AsyncIterator[None]:
    """Look at the inboxes again and again while the block lasts: first when `ready` returned, then also when `changed`
    tells of an address that was made, revoked or allowed."""
    task = asyncio.create_task(_follow(deposits, changed, ready))
    try:
        yield
    finally:
        await stop(task)


async def _follow(deposits: Deposits, changed: asyncio.Event, ready: Callable[[], Awaitable[None]]) -> None:
    with suppress(ChezError):
        await ready()
    while True:
        changed.clear()
        with suppress(ChezError):  # a full disk, say: what lies at the relay stays there
            if (await deposits.take()).messages:
                await ready()
                await deposits._taking.let_go()
        await happened(changed, random.uniform(*PAUSE))
