"""Pages of large entries: who asks for a byte of each is given whole ones, and holds as much."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from chez.sync.connection import connect
from chez.sync.events import EntriesArrived
from chez.sync.session import ClientSession
from chez_relay.bounds import WINDOW
from chez_relay.cursors import SpaceCursor
from chez_relay.effects import Send
from chez_relay.server import serving
from chez_relay.storage import Page, Request, Result
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.limits import MAX_CREDIT, MAX_ENVELOPE, MAX_FRAME, MAX_PAGE
from chez_wire.login import Role
from tests.relay.link import World, opened
from tests.relay.raw import until
from tests.relay.support import Space, seed
from tests.relay.test_abuse import log_in, url
from tests.relay.test_turns import asking

SPACE = Space()
MANY = 40


class Weighing(MemoryStorage):
    """Notes how many bytes of envelopes each group read, and how many pages there were in all."""

    def __init__(self) -> None:
        super().__init__(seed("incarnation"))
        self.read: list[int] = []
        self.pages = 0

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        results = await super().perform(requests)
        pages = [one for one in results if isinstance(one, Page)]
        self.pages += len(pages)
        self.read.append(sum(len(entry.envelope) for page in pages for entry in page.entries))
        return results


async def taken(client: ClientConnection) -> None:
    """Take whatever comes, for ever."""
    while True:
        await client.recv()


@pytest.mark.parametrize("ask", [
    lambda ref: frames.Read(ref, SPACE.handle, 0, 1),
    lambda ref: frames.Subscribe(ref, SPACE.handle, 0, 1),
], ids=["read", "subscribed to anew"])
async def test_a_page_of_a_byte_weighs_the_entry_that_it_may_be(ask: Callable[[int], frames.ClientFrame]) -> None:
    """There is one entry on it, however large: by frames of a few bytes nobody has the relay read hundreds at once."""
    store = Weighing()
    async with serving(store, "127.0.0.1", 0) as server:
        async with connect(url(server)) as device:
            await log_in(device)
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1, MAX_ENVELOPE))
        async with asking(server, SPACE, "127.0.0.1", "") as client:
            for ref in range(1, MANY + 1):
                await client.send(frames.encode(ask(ref)))
            taking = asyncio.create_task(taken(client))
            await until(lambda: store.pages == MANY)
            taking.cancel()
    assert MAX_ENVELOPE <= max(store.read) <= WINDOW + MAX_ENVELOPE


async def test_a_slow_reader_of_many_spaces_costs_no_more_than_its_window() -> None:
    """What grows meanwhile costs nothing while it waits; all of it comes when the reader goes on."""
    spaces = [Space(f"space {number}") for number in range(24)]
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0) as server, connect(url(server)) as device:
        own.connect(("127.0.0.1", server.port))
        own.setblocking(False)
        name = f"127.0.0.1:{server.port}"
        async with dial(f"ws://{name}", sock=own, compression=None, max_size=None, max_queue=1) as client:
            session, waiting = ClientSession(name, seed("nonce")), {space.handle for space in spaces}
            for space in spaces:
                session.create_space(space.admin, *space.others)
                session.open(space.claims(Role.READ, Role.APPEND))
                session.subscribe(space.handle, 0, 2 * MAX_ENVELOPE)
            while waiting:
                for data in session.data_to_send():
                    await client.send(data)
                waiting -= {event.handle for event in session.receive(await client.recv(decode=False))
                            if isinstance(event, EntriesArrived)}
            loads = []
            for space in spaces:
                await device.open(space.claims(Role.APPEND))
                await device.append(space.handle, Role.APPEND, space.envelope(1, MAX_ENVELOPE))
                loads.append(server.load)
            assert WINDOW < max(loads) <= WINDOW + 2 * MAX_FRAME
            came: list[bytes] = []
            while len(came) < len(spaces):
                came += [entry.envelope for event in session.receive(await client.recv(decode=False))
                         if isinstance(event, EntriesArrived) for entry in event.entries]
            assert sorted(came) == sorted(space.envelope(1, MAX_ENVELOPE) for space in spaces)


def test_no_more_is_under_way_than_the_protocol_has() -> None:
    """However much credit is given: what is beyond is not remembered."""
    cursor = SpaceCursor(1, SPACE.handle, 0, MAX_CREDIT, 1, SPACE.keys.read)
    cursor.allow(MAX_CREDIT)
    assert cursor.credit == MAX_CREDIT
    cursor.sent(Page((frames.Entry(1, SPACE.envelope(1)),), seed("head"), 1))
    cursor.allow(200)
    assert cursor.credit == MAX_CREDIT - 100


def test_news_of_several_entries_are_no_more_than_a_page() -> None:
    """A frame has no room for more; to its last byte they go on as they are, and so does one that is larger alone."""
    for sizes, sent in (((MAX_PAGE - 500, 500), True), ((MAX_PAGE - 500, 501), False), ((MAX_PAGE + 1,), True)):
        world = World(1)
        reader = opened(world, Role.READ)
        reader.client.subscribe(SPACE.handle, 0, 2 * MAX_ENVELOPE)
        world.run()
        news = tuple(frames.Entry(number, SPACE.envelope(number, size)) for number, size in enumerate(sizes, 1))
        (effect, *_) = reader.relay.grew(SPACE.handle, Page(news, seed("head"), len(news)))
        assert isinstance(effect, Send) is sent
        assert not isinstance(effect, Send) or len(effect.data) <= MAX_FRAME
