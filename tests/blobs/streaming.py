"""One large attachment through every step; run as `python -m tests.blobs.streaming FOLDER URL MIB`.

Prints how far the process's peak memory (VmHWM, in KiB) rose above what it had once a
first small attachment had gone the same way.
"""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import chez
from tests.blobs.support import made

__all__ = ("MIB", "peak")

MIB = 1024 * 1024


def peak() -> int:
    """The most memory that this process has had, in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


async def _content(size: int, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    for number in range(size // MIB):
        part = number.to_bytes(8, "big") * (MIB // 8)
        digest.update(part)
        yield part


async def _through(home: chez.Home, folder: Path, size: int) -> None:
    """Add, send, give up, fetch again into a file; the content must be the same."""
    sent, got = hashlib.sha256(), hashlib.sha256()
    blob = await home.blobs.add(_content(size, sent))
    await home.collection("films").put({"film": blob})
    await home.sync(timeout=600)
    await home.blobs.evict(blob)
    await home.blobs.save(blob, folder / "out", overwrite=True)
    with (folder / "out").open("rb") as file:
        while part := file.read(MIB):
            got.update(part)
    assert got.digest() == sent.digest()
    (folder / "out").unlink()


async def main() -> None:
    """A small one, then the large one."""
    folder, url, mib = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    async with made(folder / "home", url) as home:
        await _through(home, folder, 16 * MIB)
        before = peak()
        await _through(home, folder, mib * MIB)
        sys.stdout.write(f"{peak() - before}\n")


if __name__ == "__main__":
    asyncio.run(main())
