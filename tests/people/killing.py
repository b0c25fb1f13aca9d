"""What a kill leaves of a home: its files as they are at one moment, at rest or in the middle of something.

Nothing becomes durable after it; what was durable then may still leave for a relay.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import chez
from chez.errors import ChezError, StorageFailed
from chez.store.database import Connection
from tests.home.pairing import PASSPHRASE

__all__ = ("interrupted", "kill", "restart")


class Victim(Protocol):
    """A device, whose home is open."""

    folder: Path
    home: chez.Home
    stack: AsyncExitStack


async def restart(device: Victim) -> None:
    """Close a home and open it again."""
    with suppress(StorageFailed):  # of one that was killed: nothing can be written there
        await device.stack.aclose()
    device.home = await device.stack.enter_async_context(chez.open(device.folder, passphrase=PASSPHRASE))


async def kill(device: Victim, work: Coroutine[Any, Any, Any], commits: int) -> Any:
    """Kill it after so many commits of some work, or at rest before that; what the work gave, or raised."""
    taken = device.folder.with_name(device.folder.name + ".taken")

    def take() -> None:
        shutil.copytree(device.folder, taken, ignore=shutil.ignore_patterns("*-shm"), copy_function=_copied)

    def end() -> None:
        take()
        database.before_commit = _refuse

    database = device.home._database
    if commits:
        outcome = await interrupted(device, work, commits, end)
    else:
        work.close()
        outcome = None
    if not taken.exists():  # at rest, or the work ended before
        await database._writer._execute(lambda db: take(), None)  # type: ignore[no-untyped-call]
    with suppress(ChezError):
        await device.stack.aclose()
    shutil.rmtree(device.folder)
    taken.rename(device.folder)
    await restart(device)
    return outcome


async def interrupted(device: Victim, work: Coroutine[Any, Any, Any], commits: int, end: Callable[[], None]) -> Any:
    """Do some work, and `end` after so many commits, if it does not end before; what it gave, or raised."""
    database, loop = device.home._database, asyncio.get_running_loop()
    task = asyncio.create_task(work)
    known, left = database.after_commit, commits
    over = asyncio.Event()

    def committed() -> None:
        nonlocal left
        assert known is not None
        known()
        left -= 1
        if left == 0:
            end()
            loop.call_soon_threadsafe(over.set)

    database.after_commit = committed
    waiting = asyncio.create_task(over.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    database.after_commit = known
    for one in (task, waiting):
        one.cancel()
    outcome, _ = await asyncio.gather(task, waiting, return_exceptions=True)
    return outcome


def _copied(source: str, target: str) -> None:
    """A file, unless it was removed just now: the store does not name it any more, or not yet."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)
    assert os.path.lexists(target) or not os.path.lexists(source)


def _refuse(db: Connection) -> None:
    raise StorageFailed("the process is dead")
