"""One large file from a device to another; run as `python -m tests.blobs.carrying WHAT FOLDER URL MIB`.

`send` makes two devices of one person, attaches a small file on the first and then a large
one, and sends both; `fetch` gets both on the second and reads them to the end. Each prints
how far the process's peak memory (VmHWM, in KiB) rose with the large one above what it was
with the small one, and the megabytes a second of the large one.
"""

import asyncio
import hashlib
import sys
import time
from pathlib import Path
from random import Random

import chez
from tests.blobs.streaming import MIB, peak
from tests.blobs.support import joined, made

__all__ = ("NAMES",)

NAMES = ("small", "large")
SMALL = 16


def write(path: Path, mib: int) -> bytes:
    """A file that does not compress, the same each time, of which no part is like another; its SHA-256."""
    random, digest = Random(mib), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            part = random.randbytes(MIB)
            digest.update(part)
            file.write(part)
    return digest.digest()


async def send(folder: Path, url: str, mib: int) -> None:
    """Attach and send, and measure it."""
    async with made(folder / "laptop", url) as home:
        await home.sync()
        async with joined(folder / "phone", home):
            pass
        before = began = 0.0
        for name, size in zip(NAMES, (SMALL, mib), strict=True):
            digest = write(folder / "file", size)
            before, began = peak(), time.perf_counter()
            blob = await home.blobs.add(folder / "file", name=name)
            (folder / "file").unlink()
            await home.collection("films").put({"film": blob, "sha256": digest}, id=name)
            await home.sync(timeout=600)
        tell(before, began, mib)


async def fetch(folder: Path, url: str, mib: int) -> None:
    """Fetch and read, and measure it."""
    async with chez.open(folder / "phone", passphrase="b") as home:
        await home.sync(url)
        before = began = 0.0
        for name in NAMES:
            before, began = peak(), time.perf_counter()
            value = (await home.collection("films").get(name)).value
            digest = hashlib.sha256()
            async for part in home.blobs.read(value["film"]):
                digest.update(part)
            assert digest.digest() == value["sha256"]
        tell(before, began, mib)


def tell(before: float, began: float, mib: int) -> None:
    """Say how it went."""
    rate = mib * MIB / 1e6 / (time.perf_counter() - began)
    sys.stdout.write(f"{peak() - before:.0f} {rate:.1f}\n")


if __name__ == "__main__":
    asyncio.run({"send": send, "fetch": fetch}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
