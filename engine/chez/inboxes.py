"""Sealed mailboxes at a relay: pairing, invitations, deposits, results. No home needed.

The relay sees an inbox's name (the hash of its owner's key), items' sizes and times. What
is inside is sealed, and signed if it must be authentic, by the callers of this module.
Others choose these relays (a provider, whoever invites), so one that is asked and says nothing is left.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chez.crypto import SigningKey
from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import InboxArrived, Refused
from chez.sync.session import Claim
from chez_wire.frames import InboxItem
from chez_wire.login import Role, inbox_of

__all__ = ("SILENCE", "InboxItem", "InboxItems", "create", "put", "watch")

SILENCE: Final = 60.0
"""Seconds for which an answer is waited for."""


async def create(relay_url: str, owner: SigningKey, write_public: bytes, *, ttl: int) -> bytes:
    """Create an inbox, or renew it, for `ttl` seconds; returns its name (32 bytes).

    `owner` takes items, the holder of `write_public`'s secret puts them. Raises
    `RelayUnreachable`, or `RelayRefused` when it exists with another write key.
    """
    async with connect(relay_url) as relay, _answered(relay):
        await relay.create_inbox(owner, write_public, ttl)
    return inbox_of(owner.public)


async def put(relay_url: str, inbox: bytes, writer: SigningKey, *items: bytes) -> None:
    """Put items, on a connection of their own; returns when they are durable at the relay.

    Repeating it while they wait stores nothing. Raises `RelayUnreachable`, or
    `RelayRefused` (no such inbox, wrong key, inbox full).
    """
    async with connect(relay_url) as relay:
        async with _answered(relay):
            await _open(relay, (inbox, Role.PUT, writer))
        for item in items:  # each has its time: many of them, on a slow line, take longer than a relay may be silent
            async with _answered(relay):
                await relay.put(inbox, item)


@asynccontextmanager
async def watch(relay_url: str, owner: SigningKey, *, after: int = 0) -> AsyncIterator["InboxItems"]:
    """Follow the owner's inbox from the items numbered above `after`."""
    inbox = inbox_of(owner.public)
    async with connect(relay_url) as relay:
        async with _answered(relay):
            await _open(relay, (inbox, Role.TAKE, owner))
            await relay.watch(inbox, after)
        yield InboxItems(relay, inbox)


class InboxItems:
    """The items of one watched inbox: iterate, make them durable, then `ack`."""

    def __init__(self, relay: RelayConnection, inbox: bytes) -> None:
        self._relay = relay
        self._inbox = inbox
        self._pages = self._iterate()
        self._left = deque[InboxItem]()

    def __aiter__(self) -> AsyncIterator[InboxItem]:
        return self

    async def __anext__(self) -> InboxItem:
        if not self._left:
            self._left.extend(await anext(self._pages))
        return self._left.popleft()

    async def page(self) -> list[InboxItem]:
        """The next items that came together, one at least, for who makes several durable and deletes them in one go."""
        found = list(self._left) or await anext(self._pages)
        self._left.clear()
        return found

    async def ack(self, number: int) -> None:
        """Delete the items numbered up to `number` at the relay."""
        async with _answered(self._relay):
            await self._relay.ack(self._inbox, number)

    async def _iterate(self) -> AsyncIterator[list[InboxItem]]:
        async for event in self._relay.arrivals():
            match event:
                case InboxArrived(items=items):
                    if items:
                        yield list(items)
                case Refused(code=code, message=message):
                    raise RelayRefused(f"the relay ended the watch: {message}", reason=code)


@asynccontextmanager
async def _answered(relay: RelayConnection) -> AsyncIterator[None]:
    """Raises `RelayUnreachable` where what is asked of a relay takes longer than `SILENCE`."""
    try:
        async with asyncio.timeout(SILENCE):
            yield
    except TimeoutError:
        raise RelayUnreachable(f"{relay.relay} said nothing for {SILENCE:g} seconds", "Try again later.") from None


async def _open(relay: RelayConnection, claim: Claim) -> None:
    (outcome,) = await relay.open([claim])
    if outcome.error:
        unknown = outcome.error == "unknown"
        text = "the relay has no such inbox, or it has expired" if unknown else "the relay refused the key"
        raise RelayRefused(text, reason=outcome.error)
