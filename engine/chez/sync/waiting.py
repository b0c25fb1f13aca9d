"""The turns of a link, and waiting for them: for as long as it gets on."""

import asyncio
from collections.abc import Callable

from chez.sync.patience import Headway
from chez.sync.work import Progress

__all__ = ("Turns",)


class Turns:
    """What a link tells those who wait: that something was done, or that how it stands changed."""

    def __init__(self) -> None:
        self.count = 0
        """How many there were."""
        self._next = asyncio.Event()

    def tell(self) -> None:
        """There is one."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, after: int | None = None) -> None:
        """Wait for the next one; or, with a `count` that somebody read, for the first one since."""
        if after is None or after == self.count:
            await self._next.wait()

    async def until(self, reached: Callable[[], bool], progress: Callable[[], Progress],
                    timeout: float | None) -> None:
        """Look at each turn whether something is reached; what `reached` raises ends it too.

        Raises `TimeoutError` once nothing got on for `timeout` seconds (`Headway`): what is much takes its time.
        """
        headway, loop = Headway(), asyncio.get_running_loop()

        def got_on() -> bool:
            now = progress()
            return headway.got_on(now.sent + now.received, now.read)

        got_on()  # what was done before is none
        async with asyncio.timeout(timeout) as limit:
            while not reached():
                await self._next.wait()
                if timeout is not None and got_on():
                    limit.reschedule(loop.time() + timeout)
