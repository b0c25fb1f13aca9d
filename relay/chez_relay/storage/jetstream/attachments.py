"""Attachments' chunks: a message each, under the life of its space and its own hash, stored once."""

import asyncio
from collections.abc import Sequence
from typing import Final

from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.engine import Conflict, Engine, Kept, Unavailable
from chez_relay.storage.jetstream.places import Places
from chez_wire.chunks import chunk_id

__all__ = ("Attachments",)

AT_ONCE: Final = 256
"""Chunks asked about side by side: each answer has its time from when it was asked for."""


class Attachments:
    """The chunks of all spaces; who may store or read them is decided elsewhere."""

    def __init__(self, engine: Engine, places: Places) -> None:
        self._engine = engine
        self._places = places

    async def put(self, handle: bytes, birth: bytes, chunk: bytes, data: bytes, mark: str) -> bool:
        """Store a chunk; whether it is new. By its `mark` who was not answered knows it again. Raises `Unavailable`."""
        try:
            await self._engine.publish(self._places.chunk(handle, birth, chunk), data, expected=0, mark=mark)
        except Conflict:
            return False
        return True

    async def bears(self, handle: bytes, birth: bytes, chunk: bytes, mark: str) -> bool:
        """Whether a chunk is there, and was stored under this mark. Raises `Unavailable`."""
        kept = await self._engine.last(self._places.stream("blob", handle), self._places.chunk(handle, birth, chunk))
        return kept is not None and kept.mark == mark

    async def get(self, handle: bytes, birth: bytes, chunk: bytes) -> bytes | None:
        """The bytes of a chunk, None where it is not there. Raises `Damaged`, `Unavailable`."""
        found = await self._find(handle, birth, chunk)
        if found is not None and chunk_id(found.data) != chunk:
            raise Damaged
        return None if found is None else found.data

    async def place(self, handle: bytes, birth: bytes, chunk: bytes) -> tuple[int, int] | None:
        """The size of a chunk and its sequence, None where it is not there. Raises `Unavailable`."""
        found = await self._find(handle, birth, chunk)
        return None if found is None else (len(found.data), found.seq)

    async def _find(self, handle: bytes, birth: bytes, chunk: bytes) -> Kept | None:
        stream, subject = self._places.stream("blob", handle), self._places.chunk(handle, birth, chunk)
        try:
            found = (await self._engine.lasts(stream, [subject]))[0].get(subject)
        except Unavailable:
            found = None  # the node that was asked may be the one that is gone
        if found is None or chunk_id(found.data) != chunk:
            found = await self._engine.last(stream, subject)
        return found

    async def delete(self, handle: bytes, seq: int) -> None:
        """Remove the chunk at a sequence, and none that was put after it. Raises `Unavailable`."""
        await self._engine.delete(self._places.stream("blob", handle), seq)

    async def held(self, handle: bytes, birth: bytes, chunks: Sequence[bytes]) -> tuple[bool, ...]:
        """Which chunks are there. Raises `Unavailable`."""
        found: list[bool] = []
        for at in range(0, len(chunks), AT_ONCE):
            found += await asyncio.gather(*(
                self._engine.exists(self._places.chunk(handle, birth, chunk)) for chunk in chunks[at:at + AT_ONCE]))
        return tuple(found)

    async def remove(self, handle: bytes, birth: bytes) -> None:
        """Remove all of one life. Raises `Unavailable`."""
        await self._engine.purge(self._places.stream("blob", handle), self._places.chunks(handle, birth))
