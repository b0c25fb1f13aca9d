"""Trying again: what a cluster does not answer now it answers in seconds, from another node."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chez_relay.storage.jetstream.engine import Engine, Unavailable

__all__ = ("PATIENCE", "patiently")

PATIENCE: Final = 20.0
"""Seconds for a request, after which its client is told to try later: a new leader is there in less than ten."""

MOVE_AFTER: Final = 8.0
"""Seconds without an answer after which another node is asked: this one may be parted from the others, and go on
talking to a relay. Most new leaders are there before, and what is left of the patience is enough for an answer."""

FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 1.0
T = TypeVar("T")


async def patiently(engine: Engine, act: Callable[[], Awaitable[T]], seconds: float = PATIENCE) -> T:
    """What `act` comes to, called again while it raises `Unavailable`, which is raised when time is up.

    Where it has come to nothing for long, `engine` goes on with another node of the cluster.
    """
    time = asyncio.get_running_loop().time
    end, move, wait = time() + seconds, time() + MOVE_AFTER, FIRST_WAIT
    while True:
        try:
            return await act()
        except Unavailable:
            if time() + wait > end:
                raise
        if time() >= move:
            await engine.move(MOVE_AFTER)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
