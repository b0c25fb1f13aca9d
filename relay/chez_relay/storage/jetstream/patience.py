"""Trying again: what a cluster does not answer now it answers in seconds, from another node."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chez_relay.storage.jetstream.engine import Unavailable

__all__ = ("PATIENCE", "patiently")

PATIENCE: Final = 20.0
"""Seconds for a request, after which its client is told to try later: a new leader is there in less than ten."""

FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 1.0
T = TypeVar("T")


async def patiently(act: Callable[[], Awaitable[T]], seconds: float = PATIENCE) -> T:
    """What `act` comes to, called again while it raises `Unavailable`, which is raised when time is up."""
    end = asyncio.get_running_loop().time() + seconds
    wait = FIRST_WAIT
    while True:
        try:
            return await act()
        except Unavailable:
            if asyncio.get_running_loop().time() + wait > end:
                raise
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
