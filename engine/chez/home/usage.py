"""How much of a relay's room a space takes, as applications ask for it."""

import msgspec

from chez.errors import NotFound, RelayRefused
from chez.home.syncing import Syncing
from chez.spaces.space import SpaceKeys
from chez.sync.connection import connect
from chez_wire.login import Role

__all__ = ("Usage", "usage_at")


class Usage(msgspec.Struct, frozen=True):
    """What a space takes at a relay, and what it may there, in bytes of what is sealed.

    `entries` are its records' changes and the keys of its epoch, `control` what is said of devices, and
    `attachments` also what checkpoints are in. A full space is read as ever; what is written stays here until
    there is room.
    """

    relay: str
    entries: int
    entries_limit: int
    control: int
    control_limit: int
    attachments: int
    attachments_limit: int


async def usage_at(syncing: Syncing, space: SpaceKeys, relay: str | None) -> Usage:
    """Ask a relay that a space is at, the first without; see `Space.usage`."""
    urls = syncing.routes.urls_of(space)
    url = relay or next(iter(urls), None)
    if url is None or url not in urls:
        raise NotFound(f"the space {space.name!r} is not at {relay or 'any relay'}", "`Home.relays` tells where it is.")
    async with connect(syncing.routes.address(url)) as opened:
        (outcome,) = await opened.open([(space.handle, Role.READ, space.epoch.read)])
        if outcome.error:
            raise RelayRefused(f"the relay does not open this space ({outcome.error})", "Sync first.",
                               reason=outcome.error)
        told = await opened.usage(space.handle)
    return Usage(url, told.entries.bytes, told.entries.limit, told.control.bytes, told.control.limit,
                 told.chunks.bytes, told.chunks.limit)
