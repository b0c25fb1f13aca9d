"""What a relay keeps of a connection, so that the next one takes it up in one round trip.

A device names a fresh public key (`Keep`); the relay remembers under it which spaces are
followed and which roles are open there. On a later connection the holder of the key signs
both nonces, and says how far it has read each space (`Resume`). Spaces are in the order of
their handles, always, so neither side has to send them: both compare hashes.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from chez_wire.fields import Bytes, Frame, Id, Offset, Place, Ref, Signature, Text
from chez_wire.limits import ID_BYTES, MAX_SPACES_PER_CONNECTION

__all__ = ("Ahead", "Keep", "Kept", "Lost", "Resume", "Resumed", "kept_digest", "resumed_digest")

Spaces = Meta(max_length=MAX_SPACES_PER_CONNECTION)


class Keep(Frame, tag=18, frozen=True):
    """Remember under `key`, a fresh public key, what is followed now and the roles that are open there."""

    ref: Ref
    key: Id


class Resume(Frame, tag=19, frozen=True):
    """Open and follow again, at these offsets, what is kept under `key`, whose holder signs.

    An offset for each space that is kept, in the order of the handles; none for one that is not wanted any
    more. The subscriptions have the refs from `first` on, each its own; each has `credit` bytes.
    """

    ref: Ref
    key: Id
    signature: Signature
    first: Ref
    credit: Bytes
    offsets: Annotated[list[Offset | None], Meta(min_length=1, max_length=MAX_SPACES_PER_CONNECTION)]


class Kept(Frame, tag=44, frozen=True):
    """Answer to `Keep`: how many spaces are kept, and the hash of their handles (`chez_wire.kept`)."""

    ref: Ref
    count: Annotated[int, Meta(ge=1, le=MAX_SPACES_PER_CONNECTION)]
    digest: Id


class Ahead(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A space that was followed again and has new entries; `place` counts the kept spaces from 0."""

    place: Place
    end: Offset


class Lost(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A kept space that did not come back, and why."""

    place: Place
    code: Text


class Resumed(Frame, tag=45, frozen=True):
    """Answer to `Resume`: which spaces have news, which did not come back; all others end at the offset given.

    `digest` is over these others with their heads (`chez_wire.kept`).
    """

    ref: Ref
    ahead: Annotated[list[Ahead], Spaces]
    lost: Annotated[list[Lost], Spaces]
    digest: Id


def kept_digest(handles: Iterable[bytes]) -> bytes:
    """The hash of the handles of the spaces that are kept, in their order."""
    return hashlib.blake2b(b"".join(handles), digest_size=ID_BYTES, person=b"chez.kept").digest()


def resumed_digest(spaces: Iterable[tuple[bytes, int, bytes]]) -> bytes:
    """The hash of where spaces end: handle, offset and head of each, in the order of the handles."""
    told = hashlib.blake2b(digest_size=ID_BYTES, person=b"chez.resumed")
    for handle, offset, head in spaces:
        told.update(handle + offset.to_bytes(8, "big") + head)
    return told.digest()
