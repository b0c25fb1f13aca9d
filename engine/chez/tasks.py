"""Waits that hear of their own cancellation, where Python 3.11 makes it easy to lose."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ("finished", "happened", "stop")

T = TypeVar("T")


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it ended. Raises what the task raised, if it was not its cancellation.

    Whoever waits may be cancelled meanwhile, and hears of that: `await task` within `suppress(CancelledError)` would
    take the one for the other.
    """
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def happened(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, so many seconds at most (None: for ever); whether it came.

    A cancellation that comes with the event is heard: `asyncio.wait_for` of 3.11 loses it.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def finished(work: Coroutine[Any, Any, T], unwanted: Callable[[], object] = lambda: None) -> T:
    """What `work` gives, of which nobody may meet a half: who is cancelled meanwhile hears of that once it ended.

    So it is with what a thread does, which no cancellation ends. `unwanted` is called where it comes.
    """
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
            unwanted()
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # what it ended with is of no interest any more
    raise cancelled
