"""What a relay sends faster than a device takes it in waits at the relay, not in the device's memory."""

import asyncio
from typing import cast

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chez.store.database import Database
from chez.sync import inbox
from chez.sync.lanes import Lanes
from chez.sync.link import Link

COUNT = 30_000


async def _nothing(row: int) -> None:
    pass


@pytest.mark.parametrize("size", [1024, 0])
async def test_a_flood_waits_at_the_relay_and_keeps_its_order(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The link is held up, as it is where the relay does not read, or the store is slow."""
    heard: list[bytes] = []
    whole = asyncio.Event()

    def receive(lanes: Lanes, message: bytes) -> None:
        heard.append(message)
        if len(heard) == COUNT:
            whole.set()

    monkeypatch.setattr(Lanes, "receive", receive)
    monkeypatch.setattr(inbox, "MOST_WAITING", 256 * 1024)
    gate = asyncio.Event()

    async def tell(link: Link) -> None:
        await gate.wait()

    monkeypatch.setattr(Link, "_tell", tell)
    said = [b"%07d" % number + bytes(size) for number in range(COUNT)]

    async def flood(peer: ServerConnection) -> None:
        for message in said:
            await peer.send(message)
        await peer.wait_closed()

    async with serve(flood, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        link = Link(cast("Database", None), bytes(32), (), 1, f"ws://127.0.0.1:{port}", retry=False, found=_nothing)
        link.start()
        try:
            before = -1
            while before != len(link._inbox) or not before:  # until nothing more comes
                before = len(link._inbox)
                await asyncio.sleep(0.3)
            assert len(link._inbox) < COUNT // 2
            gate.set()
            async with asyncio.timeout(60):
                await whole.wait()
            assert heard == said
        finally:
            gate.set()
            await link.close()
