"""Waits that hear of their own cancellation, where Python 3.11 makes it easy to lose."""

import asyncio
from typing import Any

__all__ = ("happened", "stop")


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
