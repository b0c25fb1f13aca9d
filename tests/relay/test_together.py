"""What many connections append at once is committed together: one fsync for all that came meanwhile."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chez.sync.connection import RelayConnection, connect
from chez_relay.server import serving
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.login import Role
from tests.relay.support import Space
from tests.relay.test_process import log_in

SPACE = Space()
CONNECTIONS = 50
EACH = 64


@pytest.mark.parametrize("unanswered", [EACH, 1])
async def test_what_connections_append_at_once_is_committed_together(tmp_path: Path, unanswered: int) -> None:
    """However they come over the sockets, a group has the entries of many: at most one for twenty entries."""
    storage = await SqliteStorage.open(tmp_path)
    async with serving(storage, "127.0.0.1", 0) as server, AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(connect(f"ws://127.0.0.1:{server.port}"))
                   for _ in range(CONNECTIONS)]
        for device in devices:
            await log_in(device, Role.APPEND)
        before = sum(server.counts.groups.counts)

        async def append(device: RelayConnection, first: int) -> list[int]:
            """Entries of its own, so many of them unanswered."""
            offsets: list[int] = []
            for at in range(first, first + EACH, unanswered):
                sent = [device.append(SPACE.handle, Role.APPEND, SPACE.envelope(n, 200))
                        for n in range(at, at + unanswered)]
                offsets += [done.offset for done in await asyncio.gather(*sent)]
            return offsets

        offsets = await asyncio.gather(*(append(device, EACH * at) for at, device in enumerate(devices)))
        groups = sum(server.counts.groups.counts) - before
    await storage.close()
    assert sorted(offset for each in offsets for offset in each) == list(range(1, CONNECTIONS * EACH + 1))
    assert server.counts.entries == CONNECTIONS * EACH
    assert groups <= CONNECTIONS * EACH // 20
