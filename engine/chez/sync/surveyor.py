"""Surveying a space at a relay: the shell around `chez.sync.survey`."""

import asyncio
from collections.abc import Callable
from typing import Final

from chez.crypto import SealingKey
from chez.errors import BadEntry, NotAllowed, NotFound, RelayMisbehaved, RelayRefused
from chez.spaces.rotation import Farewell, open_packet
from chez.sync.connection import RelayConnection, connect
from chez.sync.survey import Survey, Surveying
from chez_wire.login import Role

__all__ = ("OnEntries", "survey")

OnEntries = Callable[[int, int], None]
"""Is told how many entries were gone over, and how many there are."""

TRIES: Final = 3
"""How often it is begun anew because the space's keys were replaced meanwhile."""


async def survey(url: str, handle: bytes, tag: bytes, key: SealingKey, *, space: bytes | None = None,
                 progress: OnEntries | None = None) -> Survey:
    """Read a space's log at a relay with what is in the packet under a tag, which opens with this key.

    Without `space` the packet says which it is. Only entries' statements are read; ordinary
    sync takes the log in, once space, statements and epochs are stored.

    Raises `NotFound` when the relay has no such packet, `NotAllowed` when it says that the
    device was taken out, `RelayUnreachable`, `RelayRefused` (with reason "denied" when the
    keys in the packet do not open the space), `RelayMisbehaved` for a packet that is none, of
    another space, or of an epoch of whose beginning the log says nothing.
    """
    for _ in range(TRIES):
        async with connect(url) as relay:
            try:
                return await _read(relay, handle, await _packet(relay, handle, tag, key, space), progress)
            except RelayRefused as error:
                if error.reason not in ("rotated", "denied"):
                    raise
                refusal = error
    raise refusal


async def _packet(relay: RelayConnection, handle: bytes, tag: bytes, key: SealingKey,
                  space: bytes | None) -> Surveying:
    try:
        box = await relay.get_packet(handle, tag)
    except RelayRefused as error:
        if error.reason != "unknown":
            raise
        raise NotFound(f"{relay.relay} has nothing for these keys",
                       "Is it the right relay? Who lets somebody in has to be in step with it first.") from None
    try:
        named, content = open_packet(box, key)
    except BadEntry as error:
        raise RelayMisbehaved(f"{relay.relay} has something else in their place: {error.message}",
                              "Try again, or use another relay that the space is at.") from None
    if space is not None and named != space:
        raise RelayMisbehaved(f"{relay.relay} has keys of another space in their place",
                              "Try again, or use another relay that the space is at.")
    if isinstance(content, Farewell):
        raise NotAllowed("who had these keys was taken out of the space", "An owner of the space lets you in again.")
    return Surveying(handle, named, content)


async def _read(relay: RelayConnection, handle: bytes, under_way: Surveying, progress: OnEntries | None) -> Survey:
    opened = await relay.open([(handle, Role.READ, under_way.newest.read)])
    for outcome in opened:
        if outcome.error:
            raise RelayRefused(f"{relay.relay} does not open the space with the keys that it has for it "
                               f"({outcome.error})", "Its store is damaged, or it lies. Use another relay.",
                               reason=outcome.error)
    while under_way.after is not None:
        page = await relay.read(handle, under_way.after)
        await asyncio.to_thread(under_way.take, page.entries, page.end)
        if progress is not None:
            progress(*under_way.progress)
    return under_way.result()
