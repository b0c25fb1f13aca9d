"""Waiting for a link's turns: for as long as it gets on."""

import asyncio
from collections.abc import Callable

from chez.sync.patience import Headway
from chez.sync.work import Progress

__all__ = ("turns_until",)


async def turns_until(reached: Callable[[], bool], turn: asyncio.Condition, progress: Callable[[], Progress],
                      timeout: float | None) -> None:
    """Look at each turn whether something is reached; what `reached` raises ends it too.

    Raises `TimeoutError` once nothing got on for `timeout` seconds (`Headway`): what is much takes its time.
    """
    headway, loop = Headway(), asyncio.get_running_loop()

    def got_on() -> bool:
        now = progress()
        return headway.got_on(now.sent + now.received, now.read)

    got_on()  # what was done before is none
    async with asyncio.timeout(timeout) as limit, turn:
        while not reached():
            await turn.wait()
            if timeout is not None and got_on():
                limit.reschedule(loop.time() + timeout)
