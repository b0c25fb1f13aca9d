"""The look-out of a connection: now and then it is seen whether the device slept or is in another network."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from chez.sync.network import ways_out
from chez.sync.patience import Sleep

__all__ = ("ANSWER", "look_out")

TICK: Final = 20.0
"""Seconds between two looks, which wake no radio: as long as the shortest silence after which a relay is asked whether
it is there (`pulse.SHORTEST`). Those silences grow, to minutes; after a sleep, or in another network, nobody waits for
the end of one."""

ANSWER: Final = 5.0
"""Seconds in which a relay has to answer who slept, or is in another network: the connection was most likely lost."""


async def look_out(tick: Callable[[bool], None]) -> None:
    """Call `tick` now and then, until cancelled, with whether there was a sleep or a change of network since."""
    loop, sleep, network = asyncio.get_running_loop(), Sleep(TICK), ways_out()
    while True:
        slept = sleep.tick(loop.time(), time.time())
        before, network = network, ways_out()
        tick(slept or network != before)
        await asyncio.sleep(TICK)
