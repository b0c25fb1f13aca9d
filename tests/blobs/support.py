"""What the tests of this folder share: contents, devices, and looking at what is on the disk."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import chez
from chez.blobs.format import CHUNK
from chez.crypto import Kdf
from chez.records.reference import Blob

__all__ = ("CHUNK", "content", "drop", "files", "joined", "made", "read", "settled", "stream")


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same each time."""
    return Random(seed).randbytes(size)


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    """A stream of these parts."""
    for part in parts:
        yield part


async def read(home: chez.Home, blob: Blob, start: int = 0, end: int | None = None) -> bytes:
    """All that is read of an attachment."""
    return b"".join([part async for part in home.blobs.read(blob, start, end)])


def files(path: Path) -> set[Path]:
    """The sealed pieces in a home's folder."""
    return {file for file in (path / "blobs").glob("??/*") if file.is_file()}


def drop(path: Path) -> None:
    """Remove every sealed piece, as a person with a broom might."""
    for file in files(path):
        file.unlink()


async def settled(home: chez.Home) -> None:
    """Wait until what runs in the background for attachments has ended."""
    for task in (home.blobs._recovery, home.blobs._tidying):
        if task is not None:
            await asyncio.wait((task,))


@asynccontextmanager
async def made(path: Path, url: str | None = None) -> AsyncIterator[chez.Home]:
    """A new home, open, perhaps with a relay."""
    await chez.create(path, passphrase="a", name="laptop", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="a") as home:
        if url is not None:
            await home.set_relay(url)
        yield home


@asynccontextmanager
async def joined(path: Path, first: chez.Home) -> AsyncIterator[chez.Home]:
    """Another device of the same person, open and in step."""
    async with first.pair() as pairing:
        joining = asyncio.create_task(
            chez.join(path, pairing.code, passphrase="b", name="phone", kdf=Kdf.minimum()))
        await pairing.confirm()
        await joining
    async with chez.open(path, passphrase="b") as home:
        await home.sync()
        yield home
