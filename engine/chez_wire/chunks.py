"""Chunks: the pieces of an attachment as a relay sees them, ciphertext named by its hash."""

import hashlib

from chez_wire.limits import ID_BYTES

__all__ = ("chunk_id",)


def chunk_id(data: bytes) -> bytes:
    """The 32-byte id of a sealed chunk: BLAKE2b-256 of all its bytes (RFC 7693).

    It is a hash of ciphertext under a random key, so it confirms no guess about the content.
    """
    return hashlib.blake2b(data, digest_size=ID_BYTES, person=b"chez.chunk.id").digest()
