"""What is done at a link's relay over other connections than the link's own, as sending attachments.

It ends with the link, and when the link keeps its space in step no more: nothing that was begun goes on to a relay that
was let go of.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from chez.errors import RelayUnreachable

__all__ = ("Beside", "EndedHere")

T = TypeVar("T")


class EndedHere(RelayUnreachable):
    """What was done was ended by this device, which has let go of the relay, or dials it anew."""


class Beside:
    """That of the link to `url`; `keeps` tells whether it keeps a space, by its id, in step."""

    def __init__(self, url: str, keeps: Callable[[bytes], bool]) -> None:
        self._url = url
        self._keeps = keeps
        self._tasks: dict[asyncio.Task[Any], bytes] = {}
        self._closed = False

    async def do(self, space: bytes, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something for a space. Raises what that raises, and `EndedHere` where it is that."""
        if self._closed or not self._keeps(space):
            raise self._ended()
        task = asyncio.create_task(work())
        self._tasks[task] = space
        task.add_done_callback(self._tasks.pop)
        try:
            await asyncio.wait((task,))
            if task.cancelled():
                raise self._ended()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drop(self, space: bytes) -> None:
        """The link keeps a space in step no more."""
        for task in [task for task, of in self._tasks.items() if of == space]:
            task.cancel()

    async def close(self) -> None:
        """The link is let go of: as `end`, and nothing more begins."""
        self._closed = True
        await self.end()

    async def end(self) -> None:
        """End all of it, and wait for that."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self) -> EndedHere:
        return EndedHere(f"a connection to {self._url} was ended here",
                         "Another one is begun where that relay is kept still.")
