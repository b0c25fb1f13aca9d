"""Calls that are given up, at whatever moment, leave nothing that goes on: no task and no connection."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from chez.sync.connection import connect
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.relay.within import Within


def _tasks() -> list[str]:
    """What goes on of the SDK."""
    return [told for task in asyncio.all_tasks() if "chez/" in (told := repr(task)) and "chez_relay" not in told]


async def _give_up(call: Callable[[], Coroutine[Any, Any, object]], turns: int, times: int = 1) -> None:
    """Begin a call, let the loop turn, and give the call up, as often as is said."""
    task = asyncio.create_task(call())
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait((task,))


async def test_who_gives_up_connecting_leaves_no_connection(server: Within) -> None:
    """Before the relay's welcome it was left open: it was kept alive, and counted against this address, for ever."""
    async def hold() -> None:
        async with connect(server.url):
            await asyncio.Event().wait()

    for turns in range(40):
        await _give_up(hold, turns)
    async with asyncio.timeout(10):
        while _tasks() or server._server._connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_gives_up_waiting_twice_leaves_nobody_waiting(tmp_path: Path, server: Within) -> None:
    """As one whose time is over in the moment in which all is ended: who looked whether the relay is away looked on."""
    async with (proxy() as front, behind(front, tmp_path / "second"),
                persons(tmp_path, "a", relay=server.url) as (a,)):
        await a.relays.add(front.url)
        front.passes.clear()
        async with a.connect():
            await asyncio.sleep(0.05)  # what begins with the connection has begun
            before = asyncio.all_tasks()
            await _give_up(a.synced, 5, times=2)
            await asyncio.sleep(0.05)
            assert not [task for task in asyncio.all_tasks() - before if "in_step" in repr(task)]
        front.passes.set()
