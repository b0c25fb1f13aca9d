"""Checkpoints of a space, as applications ask for them."""

import msgspec

from chez.home.exchange import Exchange
from chez.home.held import Held
from chez.home.syncing import Syncing, relay_row
from chez.spaces.permits import check_writer
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.checkpoints.heard import checkpoints, manifest_of, vouches

__all__ = ("Checkpoint", "checkpoint", "last_checkpoint")


class Checkpoint(msgspec.Struct, frozen=True):
    """The newest checkpoint of a space: how many entries it stands for, and the bytes of its segments at the relay.

    `vouched`: a device that holds all of it read it back and compared; `dropped`: the relay was asked, by
    an owner's device, to let go of what it stands for, which it does when its grace is over.
    """

    entries: int
    bytes: int
    vouched: bool
    dropped: bool


def last_checkpoint(db: Connection, space: SpaceKeys) -> Checkpoint | None:
    """The newest checkpoint of a space that was not refused, None when there is none."""
    newest = next(iter(checkpoints(db, space)), None)
    if newest is None:
        return None
    entry, _ = newest
    manifest = manifest_of(db, space.n, entry)
    states = [state for _, _, vouch, state in vouches(db, space.n) if vouch.manifest == entry]
    return Checkpoint(sum(sequence for sequence, _ in manifest.vector.values()),
                      sum(bundle.size for bundle in manifest.bundles), bool(states), 1 in states)


async def checkpoint(held: Held, syncing: Syncing, timeout: float) -> Checkpoint | None:
    """Make a checkpoint of a space at each of its relays, now or when the home connects; see `Space.checkpoint`."""
    database = syncing.database

    def work(db: Connection) -> None:
        check_writer(held.space, held.replica.access.device)
        held.replica.relays.want_checkpoint(db, held.space.n,
                                            {relay_row(db, url) for url in syncing.routes.urls_of(held.space)})

    await database.write(work)
    for link in syncing.links:
        link.wake(held.space.id)
    await Exchange(syncing).sync(timeout)
    return await database.read(lambda db: last_checkpoint(db, held.replica.space))
