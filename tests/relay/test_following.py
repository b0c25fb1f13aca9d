"""Those who follow a space: written to at once where they are few, by tasks where they are many."""

from contextlib import AsyncExitStack

import pytest

from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived
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
