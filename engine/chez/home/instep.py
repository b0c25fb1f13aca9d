"""Waiting until a home is in step with its relays, of which some may be away, and telling how far it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy

from chez.errors import ChezError, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.sync.connection import relay_name
from chez.sync.link import Link
from chez.tasks import stop

__all__ = ("in_step", "summed_up", "telling")


async def in_step(links: Sequence[Link], timeout: float | None, *, everywhere: bool) -> list[ChezError | None]:
    """Wait for several links to the same spaces side by side; for each, what kept it from being in step.

    Once one is, those that can't be reached are not waited for, unless it is to be so `everywhere`. The longest wait
    in which nothing gets on is `timeout` seconds.
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
        if everywhere:
            return await one(link)
        tasks = [asyncio.create_task(one(link)), asyncio.create_task(away(link))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return list(await asyncio.gather(*(either(link) for link in links)))


def summed_up(links: Sequence[Link], errors: Sequence[ChezError | None]) -> ChezError:
    """What to raise for links of which some are not in step: an error like the first, with each relay's own reason.

    What is about the home and no relay is raised as it is.
    """
    failed = [(link, error) for link, error in zip(links, errors, strict=True) if error is not None]
    for _, error in failed:
        if not isinstance(error, RelayUnreachable | RelayRefused | RelayMisbehaved):
            return error
    told = copy(failed[0][1])
    if len(failed) > 1:
        told.message = "; ".join(error.message if relay_name(link.url) in error.message else
                                 f"{relay_name(link.url)}: {error.message}" for link, error in failed)
        told.hint = " ".join(dict.fromkeys(error.hint for _, error in failed if error.hint))
        told.args = told.message, told.hint
    return told


@asynccontextmanager
async def telling(links: Sequence[Link], progress: Callable[[int, int], None] | None) -> AsyncIterator[None]:
    """Tell `progress(done, total)`, in entries, while the block lasts: sent and received, and those known to be left.

    The total grows as more becomes known. More links may come meanwhile.
    """
    if progress is None:
        yield
        return
    def did(link: Link) -> int:
        return link.done.sent + link.done.received

    begun = {link: did(link) for link in links}

    def tell() -> None:
        done = sum(did(link) - begun.get(link, 0) for link in links)
        states = [link.progress for link in links]
        progress(done, done + sum(now.left + max(0, now.end - now.position) for now in states))

    async def look() -> None:
        while True:
            turns = [asyncio.ensure_future(link.turn()) for link in links]
            try:
                if turns:
                    await asyncio.wait(turns, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(0.1)
            finally:
                for turn in turns:
                    turn.cancel()
            tell()

    task = asyncio.create_task(look())
    try:
        yield
        tell()
    finally:
        await stop(task)
