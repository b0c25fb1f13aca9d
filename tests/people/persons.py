"""Several persons, each with a home of its own, and spaces that they share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

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
