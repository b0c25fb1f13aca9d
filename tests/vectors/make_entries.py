"""Prints the golden vectors of entries: hashes, signed bytes, a sealed envelope, padding, a vector.

    python -m tests.vectors.make_entries > tests/vectors/entries.json

Hashes are computed here from the layouts in chez/sync/entry.py, not by its code. What
zstd writes may change from one of its releases to the next, so the envelope's frame is
one that stores its content as it is: every reader takes it, and its bytes stay.
"""

import hashlib
import json
import sys
from typing import Any

import msgspec

from chez import crypto
from chez.records.encode import encode_fields
from chez.records.imported import identity_change, record_id
from chez.sync.entry import (
    CHANGE,
    CHANGES,
    GENESIS,
    JOURNAL_HEAD,
    STATEMENT,
    STATEMENTS,
    Inner,
    Item,
    Part,
    RelayHead,
    padded_size,
    seal,
)
from chez.sync.vector import encode_vector
from tests.vectors.fixed import CREATE, CREATE_NONCE, EPOCH, FIRST_STATEMENTS, HANDLE, LAPTOP, NEW_EPOCH, PHONE, filled
from tests.vectors.make_keys import COLLECTION, IDENTITY

__all__ = ("FIRST", "FOURTH", "INNERS", "NONCE", "SECOND", "SIZES", "THIRD", "entry_vector", "short", "stored",
           "vectors")

NONCE = filled(0x31, 24)
SIZES = (0, 1, 1023, 1024, 1025, 2000, 4097, 65_536, 1_000_000)
_RECORD_KEY = crypto.derive(CREATE_NONCE, "chez/1 record id key")
_TEA = encode_fields(LAPTOP.id, 1, 1, (), {"title": "Tea", "cups": 2, "hot": True})


def stored(data: bytes) -> bytes:
    """A zstd frame (RFC 8878) of one raw block; for up to 65,791 bytes."""
    size = b"\x20" + bytes((len(data),)) if len(data) < 256 else b"\x60" + (len(data) - 256).to_bytes(2, "little")
    header = b"\x28\xb5\x2f\xfd" + size
    return header + (len(data) << 3 | 1).to_bytes(3, "little") + data


def _content(item: Item) -> bytes:
    if item.kind == CHANGE:
        return hashlib.sha256(item.data[8:]).digest()
    return crypto.hash_fields("chez/1 content", item.data)


def _item_hash(item: Item) -> bytes:
    return crypto.hash_fields("chez/1 item", bytes((item.kind,)), item.collection.encode(), item.id.encode(),
                              _content(item))


def _hash(inner: Inner) -> bytes:
    rest = crypto.hash_fields("chez/1 rest", b"\1", inner.time.to_bytes(8, "big"), msgspec.msgpack.encode(inner.part),
                              msgspec.msgpack.encode([item.age for item in inner.items]), *inner.heads)
    return crypto.hash_fields("chez/1 entry", inner.space, inner.author, inner.sequence.to_bytes(8, "big"),
                              inner.previous, bytes((inner.kind,)), b"".join(map(_item_hash, inner.items)), rest)


FIRST = Inner(1, CREATE.hash, LAPTOP.id, 1, GENESIS, 1_767_225_600_000, STATEMENTS, [
    Item(STATEMENT, "", "", statement.raw) for statement in FIRST_STATEMENTS
], [], None)
SECOND = Inner(1, CREATE.hash, LAPTOP.id, 2, _hash(FIRST), 1_767_225_600_001, CHANGES, [
    Item(CHANGE, "notes", "tea", _TEA.bytes, 60_000),
    Item(CHANGE, COLLECTION, record_id(_RECORD_KEY, COLLECTION, IDENTITY), identity_change(IDENTITY).bytes),
    Item(JOURNAL_HEAD, "", "", (7).to_bytes(8, "big") + filled(0x32)),
], [NEW_EPOCH.hash], RelayHead(filled(0x33), 17, filled(0x34)))
THIRD = Inner(1, CREATE.hash, LAPTOP.id, 3, _hash(SECOND), 1_767_225_600_002, CHANGES, [
    Item(CHANGE, "notes", "milk", encode_fields(LAPTOP.id, 1, 1, (), {"title": "Milk"}).bytes),
], [NEW_EPOCH.hash], None, Part(1, True))
_SOUP = encode_fields(LAPTOP.id, 1, 1, (), {"title": "Soup", "cups": 4})
_SALT = encode_fields(LAPTOP.id, 2, 3, (_SOUP.hash,), {"salt": 1})
_HOT = encode_fields(LAPTOP.id, 3, 4, (_SALT.hash,), {"hot": True})
FOURTH = Inner(1, CREATE.hash, LAPTOP.id, 4, _hash(THIRD), 1_767_225_600_003, CHANGES, [
    Item(CHANGE, "notes", "soup", change.bytes) for change in (_SOUP, _SALT, _HOT)], [NEW_EPOCH.hash], None)
INNERS = {"statements": FIRST, "changes": SECOND, "last part of a batch": THIRD, "changes in a row": FOURTH}
"""Four entries of one device, each chained to the one before."""


def short(data: bytes, step: int) -> bytes:
    """A change that goes on from the one before (chez/sync/short.py); all numbers in its header are small."""
    header = 4 + 4 + 1 + 1 + (1 + 32) + (1 + 32) + 1 + 1  # to the length; what it builds on, actor, two numbers
    return bytes((0, step)) + data[header:]


def _written(inner: Inner) -> Inner:
    if inner is not FOURTH:
        return inner
    whole = inner.items
    items = [whole[0], *(msgspec.structs.replace(item, data=short(item.data, step))
                         for item, step in zip(whole[1:], (2, 1), strict=True))]
    return msgspec.structs.replace(inner, items=items)


def entry_vector(name: str) -> dict[str, Any]:
    """The vector of one of the entries."""
    inner = INNERS[name]
    digest = _hash(inner)
    signature = LAPTOP.signing.sign("chez/1 entry", inner.space, digest, msgspec.msgpack.encode(inner.relay))
    signed = msgspec.msgpack.encode([_written(inner), signature])
    return {
        "key": LAPTOP.signing.seed.hex(), "sequence": inner.sequence, "previous": inner.previous.hex(),
        "items": [_item_hash(item).hex() for item in inner.items], "hash": digest.hex(),
        "signature": signature.hex(), "signed": signed.hex(),
        "envelope": seal(stored(signed), HANDLE, EPOCH, NONCE).hex(),
    }


def vectors() -> dict[str, Any]:
    """All vectors by kind and name."""
    vector = {PHONE.id: (3, filled(0x41)), LAPTOP.id: (2, _hash(SECOND))}
    return {
        "epoch": {"id": EPOCH.id.hex(), "secret": EPOCH.secret.hex(), "handle": HANDLE.hex(), "nonce": NONCE.hex()},
        "entries": {name: entry_vector(name) for name in INNERS},
        "padded_size": {str(size): padded_size(size) for size in SIZES},
        "vector": {"authors": {author.hex(): [sequence, hash.hex()] for author, (sequence, hash) in vector.items()},
                   "bytes": encode_vector(vector).hex()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
