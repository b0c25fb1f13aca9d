"""A device that syncs and is killed where it speaks to a relay of a deposit: `python -m tests.deposits.dying`."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import chez
from chez.home.deposits.taking import Taking
from chez.sync.connection import RelayConnection
from tests.home.pairing import PASSPHRASE

__all__ = ("POINTS",)

POINTS = ("before the item is deleted", "after it", "before the organisation is told", "after it",
          "before that is noted")
"""The moments, by their place."""


def _dying(call: Callable[..., Awaitable[Any]], *, before: bool) -> Callable[..., Awaitable[Any]]:
    async def once(*arguments: Any) -> Any:
        if not before:
            await call(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return once


async def _main(folder: str, point: int) -> None:
    made: Any = Taking if point == 4 else RelayConnection
    name = ("ack", "ack", "put", "put", "_sent")[point]
    setattr(made, name, _dying(getattr(made, name), before=point % 2 == 0))
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        await home.sync()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
