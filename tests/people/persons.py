"""Several persons, each with a home of its own, and spaces that they share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf, random_bytes
from chez.keys.epochs import Epoch
from chez.store.database import Connection
from chez.sync.connection import connect
from chez.sync.entry import CHANGES, seal
from chez.sync.outbox import change_items, put_into, waiting_changes
from chez.sync.planning import plan
from chez_wire.login import Role
from tests.home.pairing import PASSPHRASE


@asynccontextmanager
async def persons(folder: Path, *names: str, relay: str | None = None) -> AsyncIterator[list[chez.Home]]:
    """The homes of new persons, open, at a relay or none."""
    async with AsyncExitStack() as stack:
        homes = []
        for name in names:
            await chez.create(folder / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
            homes.append(await stack.enter_async_context(chez.open(folder / name, passphrase=PASSPHRASE)))
            if relay is not None:
                await homes[-1].set_relay(relay)
        yield homes


async def roles(space: chez.Space) -> dict[str, str]:
    """The members of a space by name, with their roles."""
    return {member.name: member.role for member in await space.members()}


async def shared(space: chez.Space, owner: chez.Home, *guests: chez.Home, role: str = "writer") -> list[chez.Space]:
    """Let guests into a space, each with one device at least; what they have of it, in step."""
    for guest in guests:
        await space.add(await guest.card(), role)  # type: ignore[arg-type]
    await owner.sync()
    joined = []
    for guest in guests:
        joined.append(await guest.join(space.link()))
        await guest.sync()
    return joined


async def values(space: chez.Space) -> dict[str, dict[str, Any]]:
    """The notes of a space by id."""
    return {note.id: note.value async for note in space.collection("notes")}


async def in_step(*homes: chez.Home) -> None:
    """Each has what all others have, and the epochs that were owed are started: two rounds of syncs."""
    for _ in range(2):
        for home in homes:
            await home.sync()


async def crooked_put(home: chez.Home, space: chez.Space, keys: Epoch, value: dict[str, Any], id: str) -> None:
    """A device that keeps to no rule writes a note, and sends it with an append credential that it was not given."""
    permit, home._spaces.records.permit = home._spaces.records.permit, lambda space: None
    await space.collection("notes").put(value, id=id)
    home._spaces.records.permit = permit
    replica = space._held.replica

    def work(db: Connection) -> list[bytes]:
        out = []
        for batch, part in plan(waiting_changes(db, replica.space.n)):
            row, entry = replica.author._append(db, 1, CHANGES, change_items(db, replica.space.n, batch, 1)[0], part)
            put_into(db, replica.space.n, batch, row)
            out.append(seal(entry.packed, replica.space.handle, keys, random_bytes(24)))
        return out

    sealed = await home._database.write(work)
    relay = home.relay
    assert relay is not None and keys.append is not None
    async with connect(relay) as opened:
        (outcome,) = await opened.open([(replica.space.handle, Role.APPEND, keys.append)])
        assert not outcome.error, "the stolen credential opens the space"
        for envelope in sealed:
            await opened.append(replica.space.handle, Role.APPEND, envelope)
