"""Readers on slow lines, and those that take nothing: who is let go, and who is not."""

import asyncio
import socket

from chez.sync.connection import connect
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.limits import MIB
from chez_wire.login import Role, login_message
from tests.relay.raw import Raw, frame, until
from tests.relay.support import seed
from tests.relay.test_abuse import BINARY, SPACE, log_in, url

SIZE = 1_000_000
"""Bytes of an entry: more than lies on the way to a reader here."""


async def reader(server: RelayServer) -> Raw:
    """Somebody who follows the space from its beginning, with little room of its own for what comes."""
    name = f"127.0.0.1:{server.port}"
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connected.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", server.port))
    client = Raw(*await asyncio.open_connection(sock=connected, limit=4096))
    await client.upgrade()
    client.send(frame(BINARY, frames.encode(frames.Hello([1], seed("c"), name))))
    head = await client.reader.readexactly(2)
    welcome = frames.decode_relay(await client.reader.readexactly(head[1]))
    assert isinstance(welcome, frames.Welcome)
    signed = SPACE.credential(Role.READ).sign_bytes(
        login_message(name, seed("c"), welcome.nonce, SPACE.handle, Role.READ))
    client.send(frame(BINARY, frames.encode(frames.Open(1, [frames.Claim(SPACE.handle, Role.READ, signed)]))))
    client.send(frame(BINARY, frames.encode(frames.Subscribe(2, SPACE.handle, 0, 16 * MIB))))
    return client


def dropped(server: RelayServer) -> bool:
    """One look at all connections; whether any was let go by it."""
    return sum(one.drop_if_stalled() for one in list(server._connections)) > 0


async def test_whoever_takes_a_page_slowly_is_not_stalled() -> None:
    """A page that takes its reader longer than the relay waits between two looks arrives; the next reader takes none.
    """
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=Limits(stall=600.0)) as server:
        async with connect(url(server)) as device:
            await log_in(device)
            for number in range(6):
                await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number, SIZE))
        for slow in (True, False):
            client = await reader(server)
            taken = looked = 0
            async with asyncio.timeout(60):
                while slow and taken < 6 * SIZE:
                    data = await client.reader.read(8192)
                    assert data, f"let go after {taken} bytes"
                    taken += len(data)
                    if taken - looked > 100_000:
                        looked = taken
                        assert not dropped(server)
                while not slow and not dropped(server):  # noqa: ASYNC110 (nothing announces it)
                    await asyncio.sleep(0.2)
            client.writer.transport.abort()
            while server.connections:
                dropped(server)  # its socket may be closed already
                await asyncio.sleep(0)


async def test_what_was_begun_after_a_look_is_not_stalled_at_the_next() -> None:
    """To a reader that had nothing to take a page is on its way for a moment only; from the next look on it counts."""
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=Limits(stall=600.0)) as server,
                connect(url(server)) as device, asyncio.timeout(30)):
        await log_in(device)
        client = await reader(server)
        await until(lambda: server.followed == 1)
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        assert await client.reader.readuntil(SPACE.envelope(1))
        for one in server._connections:  # the system would take all of it
            one._socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        assert not dropped(server)
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2, SIZE))
        await until(lambda: any(one._sending for one in server._connections))
        assert not dropped(server)
        assert dropped(server)
        client.writer.transport.abort()
