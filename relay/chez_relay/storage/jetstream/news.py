"""What any relay stores, told to those who follow it here.

The cluster itself tells of each message that it stored, on a subject for each space and
inbox. That telling may get lost (a leader that falls, a connection that breaks): so this
relay looks at all that it follows when it has reached the cluster again, and slowly, over
and over, at everything.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chez_relay.errors import RelayError
from chez_relay.fanout import Growth
from chez_relay.storage import Entry, Page
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.blocks import Block, State, decode_block
from chez_relay.storage.jetstream.engine import Engine, Kept, Unavailable
from chez_relay.storage.jetstream.ephemeral import Ephemerals
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.spaces import Spaces

__all__ = ("News",)

LOOK_SECONDS: Final = 30.0
"""Between two looks at all that is followed."""

LOOK_AT_ONCE: Final = 64
"""Spaces looked at side by side."""

_log = logging.getLogger("chez_relay")


class News:
    """Follows names on the cluster; `run` tells of what came."""

    def __init__(self, engine: Engine, places: Places, spaces: Spaces, look: Callable[[], Awaitable[None]],
                 ephemerals: Ephemerals) -> None:
        self._engine = engine
        self._places = places
        self._spaces = spaces
        self._look_at_store = look
        self._ephemerals = ephemerals
        self._grown: Callable[[Growth], None] = lambda _: None
        self._ends: dict[bytes, Callable[[], Awaitable[None]] | None] = {}
        self._told: dict[bytes, int] = {}
        self._look = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, grown: Callable[[Growth], None]) -> None:
        """Tell `grown` what came, for ever."""
        self._grown = grown

        async def renewed(_: Msg) -> None:
            self._look.set()

        with suppress(NatsError, OSError):  # the slow look sees it, too
            await self._engine.hear(self._places.renewed, renewed)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look.wait()
            self._look.clear()
            with suppress(Unavailable, RelayError):
                # A node that is cut off tells nothing, and goes on talking to us: where nobody asks, this finds out.
                await patiently(self._engine, self._look_at_store)
            names = list(self._ends)
            for at in range(0, len(names), LOOK_AT_ONCE):
                await asyncio.gather(*(self._check(name) for name in names[at:at + LOOK_AT_ONCE]))

    def tell(self, growth: Growth) -> None:
        """Tell of something at once."""
        self._grown(growth)

    def look_again(self) -> None:
        """Something may have been missed: look at everything now."""
        self._look.set()

    def follow(self, name: bytes) -> None:
        """Listen for a space or inbox."""
        if name not in self._ends:
            self._ends[name] = None
            self._task(self._listen(name))

    def unfollow(self, name: bytes) -> None:
        """Listen no more."""
        end = self._ends.pop(name, None)
        self._told.pop(name, None)
        if end is not None:
            self._task(end())

    async def close(self) -> None:
        """Let go of everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, name: bytes) -> None:
        async def heard(message: Msg) -> None:
            self._heard(name, message)

        def said(data: bytes, to: bytes) -> None:
            if name in self._ends:
                self._grown(Growth({}, {}, (), ((name, data, to),)))

        ends: list[Callable[[], Awaitable[None]]] = []

        async def end() -> None:
            for one in ends:
                await one()

        try:
            ends.append(await self._engine.hear(self._places.news(name), heard))
            ends.append(await self._ephemerals.listen(name, said))
        except (NatsError, OSError) as error:  # the slow look finds what comes
            _log.warning("a space can't be listened to: %s", type(error).__name__)
            await end()
            return
        if name in self._ends and self._ends[name] is None:
            self._ends[name] = end
            await self._check(name)  # what came while nobody listened yet
        else:
            await end()

    def _heard(self, name: bytes, message: Msg) -> None:
        headers = message.headers or {}
        subject, seq = headers.get("Nats-Subject", ""), headers.get("Nats-Sequence", "")
        if not seq.isdigit() or name not in self._ends:
            return
        if subject == self._places.box(name):
            self._grown(Growth({}, {}, (name,)))
            return
        kept = Kept(subject, int(seq), message.data)
        block = decode_block(kept.data, kept.seq)
        if subject != self._places.log(name) or block is None:
            return
        self._spaces.views.heard(name, kept, block)
        if kept.seq > self._told.get(name, 0):
            self._told[name] = kept.seq
            self._grown(_growth(name, block.state, block))

    async def _check(self, name: bytes) -> None:
        """Tell where a space is now, in case it was not heard."""
        try:
            state = await self._spaces.known(name)
        except (Unavailable, Damaged):
            return
        if name not in self._ends:
            return
        self._grown(_growth(name, state, None) if state is not None else Growth({}, {}, (name,)))


def _growth(name: bytes, state: State, block: Block | None) -> Growth:
    """What is new in a space; roles under credentials that are not its own end."""
    rotated = {name: state.keys.credentials if state.alive else None}
    entries = () if block is None else tuple(
        Entry(offset, envelope) for offset, envelope in enumerate(block.envelopes, block.first))
    spaces = {name: Page(entries, state.head, state.end)} if state.alive and state.end else {}
    return Growth(rotated, spaces, ())
