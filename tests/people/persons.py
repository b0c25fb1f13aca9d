"""Several persons, each with a home of its own, and spaces that they share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf
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
