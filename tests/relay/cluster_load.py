"""Devices that append while a cluster is hurt: what was acknowledged to them, and what must hold of it afterwards."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.frames import Entry
from chez_wire.login import Role
from tests.relay.support import Space

WRITERS = 8
SPACES = [Space(f"space {number}") for number in range(3)]


@dataclass
class Load:
    """What devices do and saw. Each writer has a relay of its own, and takes the next one when that fails."""

    urls: Sequence[str]
    acknowledged: dict[tuple[bytes, bytes], tuple[int, bytes]] = field(default_factory=dict)
    over: bool = False
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def write(self, writer: int) -> None:
        """Append one entry after another, each until it is acknowledged."""
        space, number, relay = SPACES[writer % len(SPACES)], writer, writer
        while not self.over:
            relay += 1
            with suppress(RelayUnreachable, RelayRefused, TimeoutError):
                async with connect(self.urls[relay % len(self.urls)]) as device:
                    await open_space(device, space)
                    while not self.over:
                        done = await device.append(space.handle, Role.APPEND, space.envelope(number))
                        self.acknowledged[space.handle, done.entry] = done.offset, done.head
                        number += WRITERS
                        async with self._grown:
                            self._grown.notify_all()
            await asyncio.sleep(0.05)  # the pause of a client that was turned away

    async def more(self, count: int) -> None:
        """Wait for so many more acknowledgements."""
        wanted = len(self.acknowledged) + count
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.acknowledged) >= wanted)

    async def follow(self, url: str, space: Space, seen: list[Entry]) -> None:
        """Follow a space at one relay, coming back whenever the connection ends, until the load is over."""
        while not self.over:
            with suppress(RelayUnreachable, RelayRefused, TimeoutError):
                async with connect(url) as device:
                    await open_space(device, space)
                    await device.subscribe(space.handle, len(seen))
                    async for event in device.arrivals():
                        if isinstance(event, EntriesArrived):
                            seen += event.entries
            await asyncio.sleep(0.05)


async def open_space(device: RelayConnection, space: Space) -> None:
    """Make a space that is not there, and open its roles."""
    await device.create_space(space.admin, *space.others)
    for opened in await device.open(space.claims()):
        if opened.error:
            raise RelayRefused(opened.error, "not opened")


async def whole_log(url: str, space: Space) -> list[Entry]:
    """All entries of a space at one relay, page by page."""
    async with connect(url) as device:
        await open_space(device, space)
        log: list[Entry] = []
        while True:
            page = await device.read(space.handle, len(log))
            log += page.entries
            if len(log) == page.end:
                return log


async def settled_log(url: str, space: Space) -> list[Entry]:
    """The same, asked for again while a relay tells to come later: leaders may still move."""
    async with asyncio.timeout(120):
        while True:
            with suppress(RelayUnreachable, RelayRefused):
                return await whole_log(url, space)
            await asyncio.sleep(0.5)


@asynccontextmanager
async def loaded(urls: Sequence[str]) -> AsyncIterator[Load]:
    """Devices that append at these relays and follow at each; at the end, everything must hold."""
    load = Load(urls)
    followed: dict[tuple[str, int], list[Entry]] = {(url, n): [] for url in urls for n in range(len(SPACES))}
    writers = [asyncio.create_task(load.write(number)) for number in range(WRITERS)]
    followers = [asyncio.create_task(load.follow(url, SPACES[n], seen)) for (url, n), seen in followed.items()]
    try:
        await load.more(40)
        yield load
        load.over = True
        await asyncio.gather(*writers)
    finally:
        for task in (*writers, *followers):
            task.cancel()
        await asyncio.gather(*writers, *followers, return_exceptions=True)
    for number, space in enumerate(SPACES):
        logs = [await settled_log(url, space) for url in urls]
        check(logs, space, load, [followed[url, number] for url in urls])


def check(logs: Sequence[Sequence[Entry]], space: Space, load: Load, followed: Sequence[Sequence[Entry]]) -> None:
    """Every relay has the same log without gap or double, with all that was acknowledged where that was said."""
    log = logs[0]
    assert all(other == log for other in logs)
    assert [entry.offset for entry in log] == list(range(1, len(log) + 1))
    places: dict[bytes, tuple[int, bytes]] = {}
    head = GENESIS_HEAD
    for entry in log:
        head = fold_head(head, entry_id(entry.envelope))
        places[entry_id(entry.envelope)] = entry.offset, head
    assert len(places) == len(log), "an entry is there twice"
    said = {entry: place for (handle, entry), place in load.acknowledged.items() if handle == space.handle}
    assert said and said.items() <= places.items()
    for seen in followed:
        assert seen and list(seen) == list(log[: len(seen)]), "a follower was told of something else"
