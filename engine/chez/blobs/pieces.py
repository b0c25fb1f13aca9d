"""One blob being read: its pieces from the disk, or else from a relay and then on the disk.

    manifest -> (pages ->) chunks

Each piece's bytes must have the id that the one before lists, and open at its place. A
file that fails its hash is put aside and fetched again, as if it had not been there; one
that the disk does not give is fetched, too, and counts as held again once it is read.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from chez.blobs import tables
from chez.blobs.files import DamagedPiece
from chez.blobs.format import (
    LISTED,
    MANIFEST,
    Manifest,
    chunk_count,
    open_chunk,
    open_manifest,
    open_page,
    page_position,
    split_ids,
)
from chez.blobs.shared import Shared
from chez.blobs.transfer import AHEAD, Fetcher
from chez.errors import BlobDamaged, BlobMissing, ChezError
from chez.records.reference import Blob
from chez.sync.meeting import Near

__all__ = ("Reader", "reading")

SETTLED: Final = 16
"""Fetched pieces after which the store notes that they are here: 8 MiB."""


@asynccontextmanager
async def reading(shared: Shared, blob: Blob, urls: Sequence[str | Near]) -> AsyncIterator["Reader"]:
    """Read a blob; `urls` are the relays to fetch from, the best first. What was fetched stays, however the block ends.

    Raises what `Reader.chunk` raises; and `BlobDamaged` when the record says another size
    than the manifest.
    """
    space = shared.space()
    with shared.reading(blob.id):
        known = await shared.database.read(lambda db: tables.get_complete(db, space.n, blob.id))
        if known is None:
            known = await shared.database.write(lambda db: tables.ensure(db, space.n, blob.id))
        fetcher = Fetcher(urls, space)
        reader = Reader(shared, fetcher, known)
        try:
            await reader.start(blob.size)
            yield reader
        finally:
            await asyncio.shield(fetcher.close())
            # What can't be noted now is found, or fetched, again.
            with suppress(ChezError):
                await asyncio.shield(reader.settle())


class Reader:
    """The chunks of one blob in any order; made by `reading`."""

    def __init__(self, shared: Shared, fetcher: Fetcher, known: tables.Known) -> None:
        self._shared = shared
        self._fetcher = fetcher
        self._space = shared.space()
        self._fetched: list[tables.Piece] = []
        self.n = known.n
        self.whole = known.whole
        self._listing = known.size is None
        self.manifest = Manifest(1, bytes(32), 0, bytes(32), bytes(32))

    @property
    def count(self) -> int:
        """How many chunks there are, those of padding included."""
        return chunk_count(self.manifest.size)

    async def start(self, size: int) -> None:
        """Read the manifest."""
        (row,) = await self._rows(MANIFEST, MANIFEST)
        data = await self._piece(row)
        self.manifest = manifest = open_manifest(data, self._space.id, self._space.epochs)
        if manifest.size != size:
            raise BlobDamaged("the record says another size of its attachment than the attachment itself",
                              "Whoever wrote the record made it so: attach the file again.")
        if self._listing:
            await self._shared.database.write(
                lambda db: tables.list_manifest(db, self.n, manifest, split_ids(manifest.ids)))

    async def chunk(self, position: int, until: int) -> bytes:
        """The content of a chunk, empty where it is padding alone; some more before `until` are asked for meanwhile.

        Raises `BlobMissing` when it is neither here nor to be had, `BlobDamaged` when it
        is not what the manifest says, or is damaged here and not to be had; `StorageFailed`,
        `RelayRefused`, `RelayMisbehaved`.
        """
        ahead = await self._listed(position, until)
        for row in ahead:
            # One that was given up a moment ago may still be here: what is not waited for must not be asked for.
            if not (row.held or self._shared.database.read_only or self._shared.files.has(row.id)):
                self._fetcher.begin(row.id)
        data = await self._piece(ahead[0])
        return await asyncio.to_thread(open_chunk, self.manifest, self._space.id, position, data)

    async def settle(self) -> None:
        """Say in the store which fetched pieces are here, once they are for good."""
        fetched, self._fetched = self._fetched, []
        if not fetched:
            return
        await asyncio.to_thread(self._shared.files.settle)
        await self._shared.database.write(lambda db: tables.hold(db, self.n, fetched))

    async def _rows(self, first: int, last: int) -> list[tables.Row]:
        return await self._shared.database.read(lambda db: tables.rows(db, self.n, first, last))

    async def _listed(self, position: int, until: int) -> list[tables.Row]:
        """The row of a chunk and those after it, as far as they are known; its page is read if need be."""
        last = min(position + AHEAD, until) - 1
        rows = await self._rows(position, last)
        if not rows or rows[0].position != position:
            number = position // LISTED
            (row,) = await self._rows(page_position(position), page_position(position))
            ids = open_page(self.manifest, self._space.id, number, await self._piece(row))
            await self._shared.database.write(lambda db: tables.list_chunks(db, self.n, number * LISTED, ids))
            rows = await self._rows(position, last)
        return rows

    async def _piece(self, row: tables.Row) -> bytes:
        """A piece's bytes, kept here when they were fetched."""
        damaged = False
        try:
            data = await asyncio.to_thread(self._shared.files.read, row.id)
        except DamagedPiece:
            data, damaged = None, True
        if data is not None:
            # It was written before a crash, or for another blob; or who owns the home gave it up a moment ago.
            if not (row.held or self._shared.database.read_only):
                self._fetched.append((row.position, row.id, len(data)))
            return data

        if self._shared.database.read_only:  # the owner fetches it, when it reads it
            raise _gone(damaged)
        if row.held:
            await self._shared.database.write(lambda db: tables.forget_piece(db, row.id))
        try:
            data = await self._fetcher.get(row.id)
        except BlobMissing as error:
            if damaged:
                raise BlobDamaged(f"a piece of the attachment is damaged on this disk; {error.message}",
                                  "It was kept, and is fetched again when a relay has it.") from error
            raise
        await asyncio.to_thread(self._shared.files.write, row.id, data)
        self._fetched.append((row.position, row.id, len(data)))
        if len(self._fetched) >= SETTLED:
            await self.settle()
        return data


def _gone(damaged: bool) -> BlobDamaged | BlobMissing:
    """What a home that is opened for reading only says of a piece that it can't fetch."""
    hint = "Read it where the home is open for writing, which fetches it again."
    if damaged:
        return BlobDamaged("a piece of the attachment is damaged on this disk", hint)
    return BlobMissing("a piece of the attachment is not on this device any more", hint)
