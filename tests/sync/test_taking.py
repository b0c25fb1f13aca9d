"""Messages that are handled as they come keep their order, whole or in parts, and all of them are heard."""

import asyncio
from collections.abc import AsyncIterator

from websockets.asyncio.server import ServerConnection, serve

from chez.sync.connection import open_socket


async def _parts() -> AsyncIterator[bytes]:
    yield b"3a"
    yield b"3b"


async def test_messages_keep_their_order_whole_or_in_parts() -> None:
    """The first ones come before anybody takes them, one comes in parts, a text is as no bytes."""
    async def answer(peer: ServerConnection) -> None:
        for said in (b"1", b"2", _parts(), b"4", "text", b"6", b"7"):
            await peer.send(said)
        await peer.recv()
        for said in (b"8", b"9"):
            await peer.send(said)

    heard: list[bytes] = []
    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await open_socket(f"ws://127.0.0.1:{port}")
        try:
            async for message in socket.messages():
                heard.append(message)
                socket.take(heard.append)
                if message == b"":
                    await socket.send(b"on")
        finally:
            socket.take(None)
            await socket.close()
    assert heard == [b"1", b"2", b"3a3b", b"4", b"", b"6", b"7", b"8", b"9"]


async def test_a_socket_closes_at_once_however_much_still_comes() -> None:
    """What nobody reads any more would stand before the other side's goodbye, which was waited for for ten seconds."""
    async def answer(peer: ServerConnection) -> None:
        for _ in range(40):
            await peer.send(bytes(1000))
        await peer.wait_closed()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await open_socket(f"ws://127.0.0.1:{port}")
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            await socket.close()
