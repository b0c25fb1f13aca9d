"""Waiting until a home is in step with its relays, of which some may be away."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from chez.errors import ChezError
from chez.sync.link import Link

__all__ = ("in_step",)


async def in_step(links: Sequence[Link], timeout: float) -> list[ChezError | None]:
    """Wait for several links to the same spaces side by side; for each, what kept it from being in step.

    Once one is, those that can't be reached are not waited for. The longest wait is `timeout` seconds.
    """
    enough = asyncio.Event()

    async def one(link: Link) -> ChezError | None:
        try:
            await link.synced(timeout)
        except ChezError as error:
            return error
        enough.set()
        return None

    async def away(link: Link) -> ChezError:
        await enough.wait()
        while link.error is None or link.status not in ("connecting", "failed"):
            await link.turn()
        return link.error

    async def either(link: Link) -> ChezError | None:
        tasks = [asyncio.create_task(one(link)), asyncio.create_task(away(link))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    return list(await asyncio.gather(*(either(link) for link in links)))
