"""Where a deleted space may be all the same: at relays that it was moved to, or from, without the deleter's knowing.

Another device of the person deletes it where that knows it to be. Who hears of it deletes it with its next sync where
it was here, before and after it was moved: once, for a relay may be lost, or have another's keys.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from chez.crypto import SigningKey
from chez.errors import ChezError, RelayRefused
from chez.lan.memory import met_relays
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database
from chez.sync.connection import connect

__all__ = ("Place", "clear_leftovers", "delete_at", "delete_soon", "note_leftovers", "places_of")

SECONDS: Final = 10.0
"""How long such relays are waited for."""

Address = Callable[[str], str]
"""Gives what is dialled of a relay's URL."""


class Place(NamedTuple):
    """A space at a relay, and the seeds of the admin keys that it may be deleted by, the likeliest first."""

    url: str
    handle: bytes
    seeds: bytes


def places_of(db: Connection, space: SpaceKeys) -> tuple[list[Place], list[Place]]:
    """Where a space is, and where it was before it was moved."""
    near = met_relays(db)  # those devices hear of it themselves
    now = db.execute("SELECT relay.n, url, ?, epoch FROM cursor JOIN relay ON relay.n = relay WHERE space = ?",
                     (space.handle, space.n)).fetchall()
    former = db.execute("SELECT relay.n, url, handle, epoch FROM former JOIN relay ON relay.n = relay WHERE space = ?",
                        (space.n,)).fetchall()
    found = [[Place(url, handle, _seeds(space, epoch)) for relay, url, handle, epoch in rows if relay not in near]
             for rows in (now, former)]
    return found[0], found[1]


def note_leftovers(db: Connection, space: SpaceKeys) -> None:
    """Another device of the person deleted a space, which is about to be erased here: `clear_leftovers` does the rest.

    Of one that others are in, of whom that device did not know, nothing is deleted that is theirs.
    """
    if len(space.membership.state.members) < 2:
        now, former = places_of(db, space)
        db.executemany("INSERT OR REPLACE INTO leftover (url, handle, seeds) VALUES (?, ?, ?)", [*now, *former])


async def clear_leftovers(database: Database, address: Address) -> None:
    """Delete what was left of them, as far as that can be done now."""
    places = await database.read(lambda db: [Place(*row) for row in db.execute(
        "SELECT url, handle, seeds FROM leftover").fetchall()])
    if not places:
        return
    await delete_soon(places, address)
    await database.write(lambda db: db.executemany("DELETE FROM leftover WHERE url = ? AND handle = ?",
                                                   [place[:2] for place in places]))


async def delete_soon(places: Iterable[Place], address: Address) -> None:
    """Delete a space at places that may be no more, if they answer soon."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            for place in places:
                with suppress(ChezError):
                    await delete_at(place, address)


async def delete_at(place: Place, address: Address, begin: Callable[[], Awaitable[object]] | None = None) -> None:
    """Delete a space at a relay; `begin` is called once that is reached. Raises `RelayUnreachable`, `RelayRefused`."""
    refusal = RelayRefused("no key that is here deletes this space at its relay", "Sync first.", reason="denied")
    async with connect(address(place.url)) as relay:
        if begin is not None:
            await begin()
        for at in range(0, len(place.seeds), 32):
            try:
                await relay.delete_space(place.handle, SigningKey.from_seed(place.seeds[at:at + 32]))
            except RelayRefused as error:
                if error.reason != "denied":
                    raise
                refusal = error
            else:
                return
    raise refusal


def _seeds(space: SpaceKeys, last: bytes | None) -> bytes:
    epochs = sorted(space.epochs.values(), key=lambda epoch: (epoch.id != last, -epoch.number, epoch.id))
    return b"".join([epoch.admin_seed for epoch in epochs if epoch.admin_seed])
