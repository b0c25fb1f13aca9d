"""Records that come from outside: the same on every device that imports the same thing.

The id is a keyed hash of the collection and the record's identity fields, under a key
that only members of the space have (so that a relay or a provider can confirm no
guess). The first change is made by a reserved actor, without time, and holds the
identity fields only; its bytes are a function of those fields, so devices that import
separately make the very same change, and a receiver checks it by making it again.
"""

import base64
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from chez import crypto
from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.encode import encode_fields, is_flat
from chez.records.values import Value, to_json

__all__ = ("IMPORT_ACTOR", "check_identity_change", "identity_change", "is_earlier_row", "record_id", "told_again")

IMPORT_ACTOR: Final = b"chez/1 import actor"
"""19 bytes, so that it can never be a device's id, which has 32."""

_ROW: Final = re.compile(r"(.*? [0-9a-f]{16} )(?:(.*):)?(\d{1,18})", re.ASCII | re.DOTALL)
_DIGITS: Final = re.compile(r"\d*\Z", re.ASCII)
_sorted = msgspec.json.Encoder(order="sorted")


def record_id(key: bytes, collection: str, identity: dict[str, Value]) -> str:
    """The id of an imported record: 26 characters (128 bits in base32)."""
    plain = msgspec.json.decode(to_json(identity)[0])
    digest = crypto.keyed_hash(key, "chez/1 record id", collection.encode(), _sorted.encode(plain))
    return base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def identity_change(identity: dict[str, Value]) -> RawChange:
    """The one change that makes an imported record: its identity fields, in order of name."""
    if not identity or not is_flat(identity):
        raise BadChange("an imported record's identity is made of one or more plain fields")
    return encode_fields(IMPORT_ACTOR, 1, 1, (), dict(sorted(identity.items())))


def is_earlier_row(source: str, before: object, members: Mapping[str, int]) -> bool:
    """Whether a source, "connector/version file row" or "... member:row", is of a row before another one of that file.

    `members` says which members of an archive were read so far, and in which order: those that are not there come
    later. So of rows that are about one thing the last one stays, and reading the file again changes nothing.
    """
    found, other = _ROW.fullmatch(source), _ROW.fullmatch(before) if isinstance(before, str) else None
    if found is None or other is None or found[1] != other[1]:
        return False
    if found[2] == other[2]:
        return int(found[3]) < int(other[3])
    here = members.get(found[2] or "")
    return here is not None and members.get(other[2] or "", here + 1) > here


def told_again(source: str) -> str:
    """The same source in other letters: with a zero before its row, or without.

    What came with an import is known by its source (`records.by_hand`), which a change has only where it is another.
    """
    row = _DIGITS.search(source)
    assert row is not None
    return source[:row.start()] + (row[0][1:] if row[0].startswith("0") and row[0] != "0" else f"0{row[0]}")


def check_identity_change(change: RawChange, key: bytes, collection: str, id: str) -> None:
    """Raise `BadChange` unless a change by the reserved actor is the only one it can be."""
    if change.sequence != 1 or change.dependencies:
        raise BadChange("the import actor makes first changes only")
    identity = automerge.extract(automerge.load(change.bytes, IMPORT_ACTOR))
    if identity_change(identity).hash != change.hash or record_id(key, collection, identity) != id:
        raise BadChange("an imported record's first change is not the one its identity gives")
