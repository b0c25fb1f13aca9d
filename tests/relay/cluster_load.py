"""Devices that append while a cluster is hurt: what was acknowledged to them, and what must hold of it afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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

PAUSE = 0.05
"""Of a client that was turned away."""

SECONDS = 120.0
"""For all to go on: new leaders take ten, and a relay tries for twenty."""


@dataclass(eq=False)
class Follower:
    """A device that follows a space at a relay, and at the next one when that fails; what it was told so far."""

    space: Space
    relay: int
    seen: list[Entry] = field(default_factory=list)
    head: bytes = GENESIS_HEAD


@dataclass
class Load:
    """What devices do and saw. Each has a relay of its own, and takes the next one when that fails."""

    urls: Sequence[str]
    acknowledged: dict[tuple[bytes, bytes], tuple[int, bytes]] = field(default_factory=dict)
    over: bool = False
    followers: list[Follower] = field(default_factory=list)
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
                        await self._tell()
            await asyncio.sleep(PAUSE)

    async def follow(self, follower: Follower) -> None:
        """Follow a space for ever, each time from where it was: what comes must chain to what came before."""
        handle = follower.space.handle
        while True:
            with suppress(RelayUnreachable, RelayRefused, TimeoutError):
                async with connect(self.urls[follower.relay % len(self.urls)]) as device:
                    await open_space(device, follower.space)
                    await device.subscribe(handle, len(follower.seen), head=follower.head)
                    async for event in device.arrivals():
                        if not isinstance(event, EntriesArrived):
                            break  # the relay gave the subscription up
                        follower.seen += event.entries
                        follower.head = event.head
                        if size := sum(len(entry.envelope) for entry in event.entries):
                            device.credit(handle, size)
                        await self._tell()
            follower.relay += 1
            await asyncio.sleep(PAUSE)

    async def more(self, count: int) -> None:
        """Wait for so many more acknowledgements, and until each follower was told of all that was acknowledged."""
        wanted = len(self.acknowledged) + count
        await self._until(lambda: len(self.acknowledged) >= wanted)
        await self.told(self.ends)

    @property
    def ends(self) -> dict[bytes, int]:
        """The last offset that was acknowledged, for each space."""
        found = dict.fromkeys((space.handle for space in SPACES), 0)
        for (handle, _), (offset, _) in self.acknowledged.items():
            found[handle] = max(found[handle], offset)
        return found

    async def told(self, ends: Mapping[bytes, int]) -> None:
        """Wait until each follower was told of all entries of its space up to this offset."""
        await self._until(lambda: all(len(one.seen) >= ends[one.space.handle] for one in self.followers))

    async def _tell(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS), self._grown:
            await self._grown.wait_for(reached)


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
    """Devices that append at these relays, and some that follow each space at each; at the end, everything must hold.
    """
    load = Load(urls)
    load.followers += [Follower(space, relay) for relay in range(len(urls)) for space in SPACES]
    async with asyncio.TaskGroup() as followers:
        following = [followers.create_task(load.follow(one)) for one in load.followers]
        async with asyncio.TaskGroup() as writers:
            for number in range(WRITERS):
                writers.create_task(load.write(number))
            await load.more(40)
            yield load
            load.over = True
        logs = {space.handle: [await settled_log(url, space) for url in urls] for space in SPACES}
        await load.told({handle: len(log) for handle, (log, *_) in logs.items()})
        for task in following:
            task.cancel()
    for space in SPACES:
        check(logs[space.handle], space, load)


def check(logs: Sequence[Sequence[Entry]], space: Space, load: Load) -> None:
    """Every relay has the same log without gap or double, with all that was acknowledged where that was said.

    Each follower was told of just that, once and in its order.
    """
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
    followed = [one.seen for one in load.followers if one.space == space]
    assert followed and all(seen == log for seen in followed), "a follower was told of something else"
