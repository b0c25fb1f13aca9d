"""Two devices of one person, paired through a relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import chez
from chez.crypto import Kdf

PASSPHRASE = "correct horse"


async def _yes(question: str, *, default: str | None = None) -> str:
    return "yes"


@asynccontextmanager
async def paired(folder: Path, url: str) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """The homes `folder`/a and `folder`/b, open and not connected; b has everything of a."""
    await chez.create(folder / "a", passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with chez.open(folder / "a", passphrase=PASSPHRASE) as a:
        await a.sync(url)
        async with a.pair(url) as pairing:
            joined = asyncio.create_task(chez.join(folder / "b", pairing.code, passphrase=PASSPHRASE, name="b",
                                                   relay=url, kdf=Kdf.minimum()))
            await pairing.confirm(_yes)
            await joined
        async with chez.open(folder / "b", passphrase=PASSPHRASE) as b:
            await b.sync(url)
            yield a, b
