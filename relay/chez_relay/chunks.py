"""Attachments' chunks at a relay: what a frame asks of the storage, and how its result is answered."""

from collections.abc import Callable
from dataclasses import dataclass

from chez_relay.effects import Effect
from chez_relay.replies import done, refused, send
from chez_relay.storage import AddChunk, ChunkData, FindChunks, FoundChunks, ReadChunk, Request, Result
from chez_wire.chunks import chunk_id
from chez_wire.frames import Chunk, ChunksHeld, GetChunk, HasChunks, PutChunk
from chez_wire.login import Role

__all__ = ("ChunkFrame", "Plan", "plan")

ChunkFrame = PutChunk | GetChunk | HasChunks


@dataclass(frozen=True, slots=True)
class Plan:
    """The role that a frame needs, its request under that role's credential, and what its result becomes."""

    role: Role
    request: Callable[[bytes], Request]
    then: Callable[[Result], list[Effect]]


def plan(frame: ChunkFrame) -> Plan:
    """What to do about a frame, provided its role is open."""
    match frame:
        case PutChunk(ref, handle, data):
            return Plan(Role.APPEND, lambda under: AddChunk(handle, chunk_id(data), data, under),
                        lambda result: done(ref, result))
        case GetChunk(ref, handle, chunk):
            return Plan(Role.READ, lambda under: ReadChunk(handle, chunk, under), lambda result: _chunk(ref, result))
        case HasChunks(ref, handle, chunks):
            return Plan(Role.READ, lambda under: FindChunks(handle, tuple(chunks), under),
                        lambda result: _held(ref, result))


def _chunk(ref: int, result: Result) -> list[Effect]:
    return [send(Chunk(ref, result.data))] if isinstance(result, ChunkData) else refused(ref, result)


def _held(ref: int, result: Result) -> list[Effect]:
    if not isinstance(result, FoundChunks):
        return refused(ref, result)
    return [send(ChunksHeld(ref, list(result.held), result.drop))]
