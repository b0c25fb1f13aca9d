"""A home that comes back, in this process or in one that is killed: `python -m tests.people.recovering PATH RELAY HOW`.

The 24 words come through standard input. Each step of progress is a line; HOW is "on",
"ask" (waits for ever when it asks the person) or "placed" (dies when the home has its place).
Or the spaces of a home are taken back, all other devices taken out: "said" is killed before the
relay hears of it, "half" when the relay has the new keys of some space and nothing else.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf
from chez.home import remaining, taking_back
from tests.home.pairing import PASSPHRASE
from tests.people.support import open_again

__all__ = ("DIED", "back", "founded")

DIED = 9


async def back(folder: Path, words: str, url: str, **rest: Any) -> chez.Recovered:
    """A home called "new" from 24 words."""
    return await chez.recover(folder, words, relay=url, passphrase=PASSPHRASE, kdf=Kdf.minimum(),
                              **({"name": "new"} | rest))


@asynccontextmanager
async def founded(folder: Path, url: str, name: str = "a") -> AsyncIterator[tuple[chez.Home, str]]:
    """The first home of a person, open, at a relay; and the person's 24 words."""
    words = await chez.create(folder / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
    async with open_again(folder / name) as home:
        await home.set_relay(url)
        await home.sync()
        yield home, words


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


async def _take_back(path: Path, words: str, how: str) -> None:
    if how == "said":
        remaining.sync_back = _die
    else:
        true = taking_back._take_back_at

        async def half(*given: Any) -> bool:
            if await true(*given):
                _die()
            return False

        taking_back._take_back_at = half  # type: ignore[assignment]
    await chez.take_back(path, words, passphrase=PASSPHRASE, expel_others=True)


async def _main(path: Path, url: str, how: str) -> None:
    if how in ("said", "half"):
        await _take_back(path, sys.stdin.readline(), how)
        return

    def tell(done: int, of: int) -> None:
        sys.stdout.write(f"{done} of {of}\n")
        sys.stdout.flush()

    async def ask(question: str, *, default: str | None = None) -> str:
        sys.stdout.write("asked\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        raise AssertionError

    if how == "placed":
        true = os.rename

        def rename(source: Any, target: Any) -> None:
            true(source, target)
            if Path(target) == path:
                os._exit(DIED)

        os.rename = rename  # type: ignore[assignment]
    await back(path, sys.stdin.readline(), url, progress=tell, expel_others=how != "ask",
               ask=ask if how == "ask" else None)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
