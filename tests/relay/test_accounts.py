"""What connections hold comes back to nothing: while they stand and all is answered, and in whatever way they end."""

import asyncio
from contextlib import suppress
from random import Random

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

from chez.sync.session import ClientSession
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_wire import frames
from chez_wire.limits import MAX_CREDIT, MIB
from chez_wire.login import Role
from tests.relay.gates import Gate
from tests.relay.raw import until
from tests.relay.support import Space, seed

SPACES = [Space(f"space {number}") for number in range(3)]
DEVICES = 6


class Device:
    """A connection that takes whatever comes, and asks for what chance says."""

    def __init__(self, socket: ClientConnection, random: Random) -> None:
        self.socket, self.random = socket, random
        self.taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()

    async def ask(self) -> None:
        """Ask for something, or say it to the others."""
        space, number = self.random.choice(SPACES), self.random.randrange(2**32)
        frame: frames.ClientFrame
        match self.random.randrange(5):
            case 0:
                frame = self.entry(space, number, self.random.choice((5000, 100_000, 700_000)))
            case 1:
                frame = self.entry(space, number, 300)
            case 2:
                frame = frames.Subscribe(number, space.handle, 0, MAX_CREDIT)
            case 3:
                frame = frames.Read(number, space.handle, 0, 1)
            case _:
                frame = frames.Broadcast(space.handle, space.message(number), b"")
        await self.socket.send(frames.encode(frame))

    async def ask_all(self) -> None:
        """Ask for several things; who was let go does no more."""
        with suppress(ConnectionClosed):
            for _ in range(10):
                await self.ask()

    def entry(self, space: Space, number: int, size: int) -> frames.ClientFrame:
        """An entry that no other is the same as."""
        return frames.Append(number, space.handle, self.random.choice((Role.APPEND, Role.CONTROL)),
                             space.envelope(number, size))

    async def end(self) -> None:
        """Go, in one of the ways there are."""
        match self.random.randrange(3):
            case 0:
                self.socket.transport.abort()
            case 1:
                await self.socket.close()
            case _:
                with suppress(ConnectionClosed):
                    await self.socket.send(b"no frame")


async def arrived(server: RelayServer, random: Random) -> Device:
    """A device that opened all spaces, each of which is there then."""
    name = f"127.0.0.1:{server.port}"
    socket = await dial(f"ws://{name}", compression=None, max_size=None, close_timeout=0.2)
    session = ClientSession(name, seed("nonce"))
    for space in SPACES:
        session.create_space(space.admin, *space.others)
        session.open(space.claims(Role.READ, Role.APPEND, Role.CONTROL))
    while session.unanswered:
        for data in session.data_to_send():
            await socket.send(data)
        session.receive(await socket.recv(decode=False))
    return Device(socket, random)


def nothing_is_held(server: RelayServer) -> bool:
    """Of all and of the address that they came from, beside the places that are open."""
    addresses, account = server.door.addresses, server.door.addresses.at("127.0.0.1")
    return (addresses.held, addresses.left, account.held, account.left) == (0, 0, 0, 0)


async def asking(store: Gate, server: RelayServer, random: Random, devices: list[Device]) -> list[asyncio.Task[None]]:
    """All ask for several things, those who were let go anew, and the storage is busy with the first."""
    devices[:] = [one for one in devices if not one.taking.done()]
    while len(devices) < DEVICES:
        devices.append(await arrived(server, random))
    store.open.clear()
    tasks = [asyncio.create_task(device.ask_all()) for device in devices]
    await until(lambda: server.load > 0)
    return tasks


@pytest.mark.parametrize(("seeded", "most"), [(1, 256), (2, 256), (3, 256), (4, 6), (5, 6), (6, 4)])
async def test_all_that_is_held_comes_back(seeded: int, most: int) -> None:
    """Whatever is asked for, while the storage is slow; for who stands, who left, and who was let go for what he held.
    """
    random, store, devices, let_go = Random(seeded), Gate(), list[Device](), 0
    async with (serving(store, "127.0.0.1", 0, limits=Limits(memory_per_address=most * MIB)) as server,
                asyncio.timeout(90)):
        account = server.door.addresses.at("127.0.0.1")
        for _ in range(3):
            tasks = await asking(store, server, random, devices)
            store.open.set()
            await asyncio.gather(*tasks)
            await until(lambda: nothing_is_held(server))
            assert account.places == server.connections * len(SPACES)
        let_go = server.counts.let_go["memory"]
        assert let_go if most < 256 else server.connections == DEVICES and not let_go
        tasks = await asking(store, server, random, devices)
        await asyncio.gather(*(device.end() for device in random.sample(devices, DEVICES)))
        store.open.set()
        await asyncio.gather(*tasks, *(device.taking for device in devices))
        await until(lambda: not server.connections and nothing_is_held(server))
        assert (account.places, account.guests, server.followed, len(server.door.guests)) == (0, set(), 0, 0)
