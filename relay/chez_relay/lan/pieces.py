"""Pieces of attachments out of the home's own folder: sealed as they are, so that nothing is stored twice.

The home keeps each piece as a file that is named by the hash of its bytes (`chez/blobs/files.py`). Who proved a
space may ask for any of them: a name is known to who has the attachment's key, and to nobody else.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from chez_relay.errors import Code
from chez_relay.storage import ChunkData, ReadChunk, Refused, Request, Result, Storage
from chez_wire.chunks import chunk_id
from chez_wire.limits import MAX_CHUNK

__all__ = ("WithPieces",)


_NONE = Refused(Code.MISSING, "this home does not hold the chunk")


class WithPieces:
    """A store, and beside it the pieces in a folder, which is read and never written."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        self._folder = folder

    @property
    def incarnation(self) -> bytes:
        """That of the store."""
        return self._storage.incarnation

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As the store; a piece that it does not have is looked for in the folder."""
        results = await self._storage.perform(requests)
        for at, (request, result) in enumerate(zip(requests, results, strict=True)):
            if isinstance(request, ReadChunk) and isinstance(result, Refused):
                data = await asyncio.to_thread(self._read, request.chunk)
                results[at] = _NONE if data is None else ChunkData(data)
        return results

    async def close(self) -> None:
        """Close the store."""
        await self._storage.close()

    def _read(self, chunk: bytes) -> bytes | None:
        """A piece whose bytes are those of its name; None for what is not there, or is damaged."""
        name = chunk.hex()
        try:
            with (self._folder / name[:2] / name[2:]).open("rb") as file:
                data = file.read(MAX_CHUNK + 1)
        except OSError:
            return None
        return data if chunk_id(data) == chunk else None
