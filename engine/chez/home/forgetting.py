"""A space ended: forgotten on a device of somebody who has no part in it, or deleted by who is alone in it.

It is deleted at its relays first, and then here. That this was begun is noted before a relay is asked: who is cut off
in between has a space that no relay opens, and the next sync does the rest. A relay's word alone erases nothing.
"""

from contextlib import suppress

from chez.errors import ChezError, NotAllowed, RelayRefused
from chez.home.held import Held
from chez.home.leftovers import Place, clear_leftovers, delete_at, delete_soon, places_of
from chez.home.syncing import Syncing
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.spaces.handover import bury
from chez.spaces.permits import check_owner
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Remove
from chez.store.database import Connection, Database

__all__ = ("delete_space", "finish_deletions", "forget_space")


async def forget_space(database: Database, syncing: Syncing, journal: Journal, held: Held, device: DeviceKeys) -> None:
    """Erase a space that the person left, was taken out of, or follows, on this device alone.

    Raises `NotAllowed` for a member, and while nobody was told that this device left.
    """
    def check(db: Connection) -> None:
        held.replica.refresh(db)
        space = held.space
        if space.private:
            raise NotAllowed("the private space is yours, and stays", "`chez wipe` empties this device.")
        if not (held.replica.access.removed or held.replica.access.follows):
            raise NotAllowed(f"you are a member of the space {space.name!r}", "Leave it first, or delete it.")
        if _leaving(db, space, device.id):
            raise NotAllowed(f"nobody was told yet that you left the space {space.name!r}",
                             "Sync first: until then you are a member to the others, and get their keys.")

    await database.write(check)
    await syncing.erase(held, lambda db: _end(db, journal, held, device.id, deleted=False))


async def delete_space(database: Database, syncing: Syncing, journal: Journal, held: Held, device: DeviceKeys) -> None:
    """Delete a space at its relays and on all devices of the person, who is alone in it.

    Where it was before it was moved it is deleted too, but nobody waits for that: such a relay may be lost, or have
    another's keys. Raises `NotAllowed` for who is not, `RelayUnreachable`, `RelayRefused`: then it is here still.
    """
    def check(db: Connection) -> tuple[list[Place], list[Place]]:
        held.replica.refresh(db)
        space = held.space
        check_owner(space, device.id, "deletes a space")
        if len(space.membership.state.members) > 1:
            raise NotAllowed(f"others are in the space {space.name!r}: it is not yours alone to delete",
                             "Take them out first, or leave it to another owner (`transfer`, then `leave`).")
        return places_of(db, space)

    async def begin() -> None:
        await database.write(lambda db: db.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES (?, x'01')", (_note(held.space),)))

    places, former = await database.write(check)
    for place in places:
        await delete_at(place, syncing.routes.address, begin)
    await delete_soon(former, syncing.routes.address)
    await syncing.erase(held, lambda db: _end(db, journal, held, device.id, deleted=True))


async def finish_deletions(database: Database, syncing: Syncing, journal: Journal, device: DeviceKeys) -> bool:
    """Delete what this device began to delete, and a relay says is deleted, and what another one deleted elsewhere;
    whether there was something of the former.
    """
    await clear_leftovers(database, syncing.routes.address)
    finished = False
    for held in list(syncing.spaces.all.values()):
        problems = [link.problems.get(held.space.id) for link in syncing.links]
        if any(isinstance(one, RelayRefused) and one.reason == "deleted" for one in problems) and (
                await database.read(lambda db, space=held.space: _begun(db, space))):  # type: ignore[misc]
            with suppress(ChezError):  # it stays a problem of the space
                await delete_space(database, syncing, journal, held, device)
                finished = True
    return finished


def _note(space: SpaceKeys) -> str:
    return f"deleting.{space.id.hex()}"


def _begun(db: Connection, space: SpaceKeys) -> bool:
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (_note(space),)).fetchone() is not None


def _leaving(db: Connection, space: SpaceKeys, device: bytes) -> bool:
    """Whether this device said that its person leaves, and no relay has that yet, though one has the space."""
    if space.farewell:
        return False
    words = [statement.raw for statement in space.membership.statements
             if isinstance(statement.body, Remove) and statement.issuer == device]
    waits = any(db.execute("SELECT 1 FROM statement WHERE space = ? AND body = ? AND sent = 0",
                           (space.n, word)).fetchone() for word in words)
    waits = waits or bool(words and db.execute(
        "SELECT 1 FROM sealed JOIN entry ON entry.n = sealed.entry WHERE space = ?", (space.n,)).fetchone())
    return waits and db.execute("SELECT 1 FROM cursor WHERE space = ?", (space.n,)).fetchone() is not None


def _end(db: Connection, journal: Journal, held: Held, device: bytes, *, deleted: bool) -> None:
    bury(db, held.space.id, device, deleted=deleted, told=not deleted)
    db.execute("DELETE FROM meta WHERE key = ?", (_note(held.space),))
    journal.record(db, "space-deleted" if deleted else "space-forgotten",
                   {"name": held.space.name, "space": held.id})
