"""Prints the golden vectors of checkpoints: parts and the segments they are sealed as, a manifest, vouches.

    python -m tests.vectors.make_checkpoints > tests/vectors/checkpoints.json

They stand for the four entries of entries.json, the first of which (statements) is not compacted. Built from the
layout in chez/sync/checkpoints/format.py, not by its code; the zstd frame stores its content as it is.
"""

import hashlib
import json
import sys
from typing import Any

import msgspec

from chez import crypto
from chez.sync.entry import Item, pad
from tests.vectors.fixed import CREATE, EPOCH, HANDLE, LAPTOP, filled
from tests.vectors.make_entries import FIRST, FOURTH, INNERS, SECOND, THIRD, entry_vector, short, stored

__all__ = ("CONTROL", "INCARNATION", "NONCES", "PIECE", "large", "vectors")

NONCES = tuple(filled(number, 24) for number in range(0x51, 0x57))
PIECE = 524_288
INCARNATION = filled(0x61)
CONTROL = crypto.SigningKey.from_seed(crypto.derive(EPOCH.secret, "chez/1 relay control"))


def _encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def _hash(data: bytes, name: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, person=name).digest()


def _digest(name: str) -> str:
    return str(entry_vector(name)["hash"])


def _run() -> list[Any]:
    """What the entries say beside their changes, in columns."""
    kept = [[0, bytes.fromhex(_digest("statements"))]]
    ages = [item.age for inner in (SECOND, THIRD, FOURTH) for item in inner.items]
    journal = SECOND.items[2]
    return [
        LAPTOP.id, FIRST.sequence, [0, SECOND.time, 1, 1], [0, 2, 1, 3],
        [age - before for before, age in zip([0, *ages], ages, strict=False)],
        [[1, 2, Item(journal.kind, "", "", journal.data)]], [[1, SECOND.heads]], [[2, THIRD.part]], kept]


def _records() -> list[list[Any]]:
    """Each record's changes, and which change of the author's in the bundle each is (less the one before)."""
    tea, imported, _ = SECOND.items
    soup, salt, hot = (item.data for item in FOURTH.items)
    milk = THIRD.items[0]
    return [
        ["notes", "milk", False, [milk.data], [0], [2], []],
        ["notes", "soup", False, [soup, short(salt, 2), short(hot, 1)], [0, 0, 0], [3, 1, 1], []],
        ["notes", "tea", False, [tea.data], [0], [0], []],
        [imported.collection, imported.id, False, [imported.data], [0], [1], []]]


def _segments(packed: bytes, nonces: tuple[bytes, ...]) -> list[bytes]:
    padded = pad(packed)
    pieces = [padded[at : at + PIECE] for at in range(0, len(padded), PIECE)]
    out = []
    for number, (piece, nonce) in enumerate(zip(pieces, nonces, strict=False)):
        header = b"CZS\1" + EPOCH.id + EPOCH.key_id + nonce
        associated = header + b"chez/1 segment" + CREATE.hash + number.to_bytes(4, "big") + bytes(
            (number == len(pieces) - 1,))
        key = crypto.derive(EPOCH.secret, "chez/1 segment key")
        out.append(header + crypto.encrypt(key, nonce, piece, associated))
    return out


def large() -> bytes:
    """What a compressed part of 700,000 bytes might be: it takes two pieces."""
    return (bytes(range(256)) * 2735)[:700_000]


def _part(plain: bytes, nonce: bytes) -> dict[str, Any]:
    (segment,) = _segments(stored(plain), (nonce,))
    return {"plain": plain.hex(), "segment": segment.hex(), "id": _hash(segment, b"chez.chunk.id").hex()}


def _vouch(manifest: bytes, follows: bytes, ranges: list[Any], release: list[bytes]) -> tuple[bytes, bytes]:
    log = crypto.hash_fields("chez/1 relay log", INCARNATION, HANDLE)
    name = _hash(_encode([follows, manifest, ranges, release]), b"chez.drop")
    fields = (b"chez/1 vouch", HANDLE, INCARNATION, name)
    word = CONTROL.sign_bytes(b"".join(len(field).to_bytes(4, "big") + field for field in fields))
    return name, _encode([1, manifest, log, INCARNATION, follows, ranges, release, CONTROL.public, word])


def vectors() -> dict[str, Any]:
    """All vectors by kind: the space is the one of statements.json, the epoch that of keys.json."""
    parts = [_part(_encode([1, [], [_run()], []]), NONCES[0]),
             _part(_encode([1, [LAPTOP.id], [], _records()]), NONCES[1])]
    last = entry_vector("changes in a row")
    size = sum(len(part["segment"]) // 2 for part in parts)
    manifest = _encode([1, [[
        [[LAPTOP.id, 4, bytes.fromhex(last["hash"]), bytes.fromhex(last["signature"]), None]],
        [[bytes.fromhex(part["id"])] for part in parts], size, 6]]])
    name, vouch = _vouch(filled(0x62), bytes(32), [[2, 4, filled(0x63)]], [])
    released, release = _vouch(bytes(32), name, [], [filled(0x64)])
    return {
        "entries": {label: _digest(label) for label in INNERS}, "parts": parts,
        "pieces": [{"id": _hash(segment, b"chez.chunk.id").hex(), "length": len(segment)}
                   for segment in _segments(large(), NONCES[2:4])],
        "manifest": manifest.hex(),
        "announcement": _encode([
            1, crypto.hash_fields("chez/1 relay log", INCARNATION, HANDLE),
            [[LAPTOP.id, 4, bytes.fromhex(last["hash"])]], [[bytes.fromhex(part["id"])] for part in parts]]).hex(),
        "vouch": {"drop": name.hex(), "bytes": vouch.hex()},
        "release": {"drop": released.hex(), "bytes": release.hex()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
