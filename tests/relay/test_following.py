"""Those who follow a space: written to at once where they are few, by tasks where they are many."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from chez.errors import RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived
from chez_relay import storage as s
from chez_relay.server import FEW, serving
from chez_relay.storage.memory import MemoryStorage
from chez_wire.login import Role
from tests.relay.support import Space, seed
from tests.relay.test_process import append_all, log_in

SPACE = Space()


async def envelopes(device: RelayConnection, count: int) -> list[bytes]:
    """The first entries that are pushed."""
    found: list[bytes] = []
    async for event in device.arrivals():
        assert isinstance(event, EntriesArrived)
        found += [entry.envelope for entry in event.entries]
        if len(found) >= count:
            break
    return found


@pytest.mark.parametrize("followers", [1, FEW, FEW + 1])
async def test_all_who_follow_get_all_in_order(followers: int) -> None:
    """However many there are: each is pushed every entry once, whoever appends meanwhile."""
    async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0) as server, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{server.port}"
        author = await stack.enter_async_context(connect(url))
        await log_in(author)
        devices = [await stack.enter_async_context(connect(url)) for _ in range(followers)]
        for device in devices:
            await log_in(device, Role.READ)
            await device.subscribe(SPACE.handle, 0)
        await append_all(author, 40)
        for device in devices:
            assert await envelopes(device, 40) == [SPACE.envelope(n) for n in range(40)]
        assert server.counts.entries == 40


class Hesitant(MemoryStorage):
    """It answers no Open before it may."""

    def __init__(self) -> None:
        super().__init__(seed("incarnation"))
        self.asked = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()

    async def perform(self, requests: Sequence[s.Request]) -> list[s.Result]:
        if any(isinstance(request, s.Lookup) for request in requests):
            self.asked.set()
            await self.may.wait()
        return await super().perform(requests)


async def test_who_left_before_its_open_was_answered_follows_nothing() -> None:
    """What the store answers then opens nothing: no news is looked for, and no place is taken, on behalf of nobody."""
    storage = Hesitant()
    async with serving(storage, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url) as author:
            await log_in(author)
        storage.asked.clear()
        storage.may.clear()
        async with connect(url) as device:
            opening = asyncio.create_task(device.open(SPACE.claims(Role.READ)))
            await storage.asked.wait()
        with pytest.raises(RelayUnreachable):
            await opening
        async with asyncio.timeout(10):
            while server.connections:  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.01)
        storage.may.set()
        async with connect(url) as device:  # behind the other's answer
            await log_in(device, Role.READ)
            assert server.followed == 1
        async with asyncio.timeout(10):
            while server.connections:  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.01)
        assert server.followed == server.load == server.door.addresses.at("127.0.0.1").places == 0
