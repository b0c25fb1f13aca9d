"""Vectors: for each device, the last entry known, by number and by hash.

    vector = MessagePack [1, [[author, sequence, hash], ...]], sorted by author

The hash is the author's chain at that entry, so two vectors that agree on it agree on
everything before. Checkpoints stand for exactly the entries up to a vector.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from chez.errors import BadEntry
from chez.store.database import Connection

__all__ = ("Vector", "decode_vector", "encode_vector", "vector_of")

Vector = dict[bytes, tuple[int, bytes]]
"""Author's device id -> sequence number and hash of its last entry."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Vector(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    entries: list[tuple[Id, Annotated[int, Meta(ge=1, le=2**62)], Id]]


def vector_of(db: Connection, space: int) -> Vector:
    """What a device has accepted of a space, by its row in the store."""
    rows = db.execute("SELECT author, sequence, hash FROM entry WHERE space = ? AND branch = 0 AND (author, sequence) "
                      "IN (SELECT author, max(sequence) FROM entry WHERE space = ? AND branch = 0 GROUP BY author)",
                      (space, space))
    return {author: (sequence, hash) for author, sequence, hash in rows}


def encode_vector(vector: Vector) -> bytes:
    """The canonical bytes of a vector."""
    return msgspec.msgpack.encode(_Vector(1, [(author, *vector[author]) for author in sorted(vector)]))


def decode_vector(data: bytes) -> Vector:
    """Read a vector. Raises `BadEntry` unless it is the canonical bytes of one."""
    try:
        read = msgspec.msgpack.decode(data, type=_Vector)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadEntry(f"no vector: {error}") from None
    vector = {author: (sequence, hash) for author, sequence, hash in read.entries}
    if encode_vector(vector) != data:
        raise BadEntry("a vector names each device once, in order")
    return vector
