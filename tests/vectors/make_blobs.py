"""Prints the golden vectors of attachments: a key and contents to their sealed pieces.

    python -m tests.vectors.make_blobs > tests/vectors/blobs.json

Sealed here from the layout in chez/blobs/format.py, not by its code. Of chunks that are
full only ids and lengths are kept.
"""

import hashlib
import json
import sys
from typing import Any

import msgspec

from chez import crypto
from chez.sync.entry import pad, padded_size
from tests.vectors.fixed import CREATE, EPOCH, filled

__all__ = ("KEY", "NONCE", "SIZES", "content", "vectors")

KEY = filled(0x41)
NONCE = filled(0x42, 24)
SIZES = (0, 5, 1024, 524_288, 524_289)


def content(size: int) -> bytes:
    """A content of so many bytes: the low bytes of 0, 1, 2, ..."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def _hash(data: bytes, name: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, person=name).digest()


def _blob(size: int) -> dict[str, Any]:
    plain = content(size)
    padded = plain.ljust(padded_size(size), b"\0")
    parts = [padded[at : at + 524_288] for at in range(0, len(padded), 524_288)]
    chunks = []
    for index, part in enumerate(parts):
        place = index.to_bytes(8, "big")
        associated = b"chez/1 blob piece" + CREATE.hash + b"\0" + place + bytes((index == len(parts) - 1,))
        chunks.append(crypto.encrypt(KEY, b"\0" + place + bytes(15), part, associated))
    ids = [_hash(chunk, b"chez.chunk.id") for chunk in chunks]
    manifest = msgspec.msgpack.encode([1, KEY, size, _hash(plain, b"chez.blob"), b"".join(ids)])
    header = b"CZB\1" + EPOCH.id + NONCE
    key = crypto.derive(EPOCH.secret, "chez/1 blob manifest key")
    sealed = header + crypto.encrypt(key, NONCE, pad(manifest), b"chez/1 blob manifest" + CREATE.hash + header)
    return {
        "size": size, "padded": len(padded), "id": _hash(sealed, b"chez.chunk.id").hex(),
        "manifest": manifest.hex(), "sealed_manifest": sealed.hex(), "chunks": [id.hex() for id in ids],
        "lengths": [len(chunk) for chunk in chunks],
        "sealed_chunks": [chunk.hex() for chunk in chunks] if size <= 1024 else None,
    }  # fmt: skip


def vectors() -> dict[str, Any]:
    """All vectors: the space is the one of statements.json, the epoch that of keys.json."""
    return {"space": CREATE.hash.hex(), "epoch": EPOCH.id.hex(), "key": KEY.hex(), "nonce": NONCE.hex(),
            "blobs": [_blob(size) for size in SIZES]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
