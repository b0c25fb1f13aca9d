"""Pages of large entries: who asks for a byte of each is given whole ones, and holds as much."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from websockets.asyncio.client import ClientConnection

from chez.sync.connection import connect
from chez_relay.bounds import WINDOW
from chez_relay.server import serving
from chez_relay.storage import Page, Request, Result
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.limits import MAX_ENVELOPE
from chez_wire.login import Role
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
