"""Where the other side reads nothing any more: who ends the connection is not held up, and memory is bounded."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chez.errors import RelayUnreachable
from chez.sync.connection import connect, open_socket
from chez.sync.socket import MAX_PINGS
from chez_wire.limits import KIB, MAX_FRAME

PINGS = (b"\x89\x7d" + bytes(125)) * 2000


@asynccontextmanager
async def served(how: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """Somebody on a free port of loopback; its address."""
    async with serve(how, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def deaf(there: ServerConnection) -> None:
    """Ends the websocket's handshake, and reads nothing of what comes."""
    there.transport.pause_reading()
    await there.wait_closed()


async def pinging(there: ServerConnection) -> None:
    """The same, and pings without end."""
    there.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    there.transport.pause_reading()
    while not there.transport.is_closing():
        there.transport.write(PINGS)
        await there.drain()
        await asyncio.sleep(0)


async def test_who_ends_a_connection_is_not_held_up_by_what_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a network went while much was being sent: a home that is locked does not wait until the system gives
    that up, which takes a quarter of an hour."""
    monkeypatch.setattr("chez.sync.socket.GOODBYE", 0.1)
    async with served(deaf) as url:
        opened = await open_socket(url)
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2):
                    await opened.send(bytes(MAX_FRAME))
        assert opened.waits
        began = time.monotonic()
        async with asyncio.timeout(60):
            await opened.close()
        assert time.monotonic() - began < 10 and opened.closed


async def test_pings_without_end_end_the_connection() -> None:
    """Whoever is dialled, as anybody on a network is who is announced there, keeps nobody at answering."""
    async with served(pinging) as url:
        began = time.monotonic()
        with pytest.raises(RelayUnreachable, match="ended"):
            async with connect(url, open_timeout=60):
                pass
        assert time.monotonic() - began < 20


async def test_who_asks_often_is_answered_as_often() -> None:
    """Answers that somebody waits for count for no flood: each `chez sync` asks whether a relay is there."""
    async with served(lambda there: there.wait_closed()) as url:
        opened = await open_socket(url)
        for _ in range(2 * MAX_PINGS):
            assert await opened.alive(20)
        await opened.close()


@pytest.mark.slow
async def test_pings_whose_answers_are_not_read_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay, or who poses as one on a network, that pings and never reads would fill the memory of who answers."""
    monkeypatch.setattr("chez.sync.socket.MAX_PINGS", 1 << 40)
    monkeypatch.setattr("chez.sync.socket.MAX_UNREAD", 64 * KIB)  # beyond what the system takes
    async with served(pinging) as url:
        with pytest.raises(RelayUnreachable, match="ended"):
            async with asyncio.timeout(60), connect(url, open_timeout=60):
                pass
