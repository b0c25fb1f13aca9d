"""Ephemeral messages between the relays of one cluster: a plain subject for each space, which no stream keeps.

A relay that cannot reach the cluster just now sends none later, and one that is behind hears the first of what comes
at once: they are out of date by then. (What the streams tell goes over subscriptions of its own, which wait for all.)
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chez_relay.bounds import MOST_WAITING
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.places import Places
from chez_wire.ephemeral import SENDER_BYTES

__all__ = ("Ephemerals",)

ORIGIN_BYTES: Final = 8
_HEAD: Final = ORIGIN_BYTES + SENDER_BYTES


class Ephemerals:
    """One relay's part. `origin` are 8 random bytes, by which it knows its own."""

    def __init__(self, client: Client, engine: Engine, places: Places, origin: bytes) -> None:
        self._client = client
        self._engine = engine
        self._places = places
        self._origin = origin
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._wake = asyncio.Event()

    def pass_on(self, name: bytes, data: bytes, to: bytes) -> bool:
        """Give a frame to the other relays soon, and to whom it is if not to all; False when it is let go."""
        if not self._client.is_connected or len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append((name, self._origin + to.ljust(SENDER_BYTES, b"\0") + data))
        self._wake.set()
        return True

    async def run(self) -> None:
        """Send what was given, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                name, data = self._waiting.popleft()
                with suppress(NatsError, OSError):
                    await self._client.publish(self._places.ephemeral(name), data)

    async def listen(self, name: bytes, heard: Callable[[bytes, bytes], None]) -> Callable[[], Awaitable[None]]:
        """Hear what other relays pass on in a space, as frames, and to whom; what is returned ends that."""
        async def came(message: Msg) -> None:
            if message.data[:ORIGIN_BYTES] != self._origin:
                to, data = message.data[ORIGIN_BYTES:_HEAD], message.data[_HEAD:]
                heard(data, to if any(to) else b"")

        return await self._engine.hear(self._places.ephemeral(name), came, most=MOST_WAITING)
