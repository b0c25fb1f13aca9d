"""An app that attaches files until it is killed; run as `python -m tests.blobs.crashing HOME SEED [URL]`.

A content follows from its name, so that whoever killed the app can tell what each record
must hold. With a relay's address it sends meanwhile.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import chez
from tests.blobs.conftest import PASSPHRASE
from tests.blobs.support import CHUNK

__all__ = ("WORKERS", "expected")

WORKERS = 3


def expected(name: str) -> bytes:
    """The content that belongs to a name: often small, sometimes of many chunks, sometimes one that came before."""
    random = Random(name)
    if random.random() < 0.2:
        return b"the same each time" * 1000
    return random.randbytes(random.choice((10, 5000, CHUNK, CHUNK + 1, 6 * CHUNK + 100)))


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 300_000):
        yield data[at : at + 300_000]


async def _work(home: chez.Home, seed: str, worker: int) -> None:
    for number in range(10_000):
        name = f"{seed}-{worker}-{number}"
        blob = await home.blobs.add(_parts(expected(name)), name=name)
        await home.collection("files").put({"file": blob}, id=name)
        if number % 3 == 2:  # let one go, so that the collector has something to do
            await home.collection("files").put({"file": None}, id=f"{seed}-{worker}-{number - 1}")
            await home.blobs.collect()
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


async def main() -> None:
    """Attach without end."""
    path, seed, *url = sys.argv[1:]
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(chez.open(Path(path), passphrase=PASSPHRASE))
        if url:
            await home.set_relay(url[0])
            await stack.enter_async_context(home.connect())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for worker in range(WORKERS):
            tasks.create_task(_work(home, seed, worker))


if __name__ == "__main__":
    asyncio.run(main())
