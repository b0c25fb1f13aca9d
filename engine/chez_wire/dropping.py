"""Ranges of a log that were dropped, or are to be: how they are named, put together and walked along."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez_wire.fields import Frame, Id, Ref, Signature
from chez_wire.limits import ID_BYTES, MAX_DROPPED

__all__ = ("NO_CHECKPOINT", "NO_DROP", "Drop", "Dropped", "drop_hash", "in_rising_order", "uncovered", "united")

NO_DROP: Final = bytes(ID_BYTES)
"""What the first drop of a log follows."""

NO_CHECKPOINT: Final = bytes(ID_BYTES)
"""What a drop rests on that has no ranges: it lets go of no entry."""

_encoder: Final = msgspec.msgpack.Encoder()


class Dropped(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Entries from `first` to `last` that a checkpoint stands for, and the cumulative head after them."""

    first: Annotated[int, Meta(ge=1, le=2**62)]
    last: Annotated[int, Meta(ge=1, le=2**62)]
    head: Id


class Drop(Frame, tag=20, frozen=True):
    """Drop entries that a checkpoint stands for, and release chunks that no longer serve, at this incarnation.

    Only where the last drop was the one that it `follows`, by its `drop_hash`. `checkpoint` is what the space's
    devices call what stands for the entries, zeros where only chunks are released: it is nothing to the relay.
    `voucher`, the space's control key, signed `vouch` over these; `signer`, its admin key, the request.
    """

    ref: Ref
    handle: Id
    signer: Id
    voucher: Id
    incarnation: Id
    follows: Id
    checkpoint: Id
    ranges: Annotated[list[Dropped], Meta(max_length=MAX_DROPPED)]
    chunks: Annotated[list[Id], Meta(max_length=MAX_DROPPED)]
    vouch: Signature
    signature: Signature


def drop_hash(follows: bytes, checkpoint: bytes, ranges: Sequence[Dropped], chunks: Sequence[bytes]) -> bytes:
    """The name of a drop, 32 bytes: BLAKE2b-256 (RFC 7693) of MessagePack [follows, checkpoint, ranges, chunks].

    So it names the one before it, and all before that: a chain. And what it rests on.
    """
    data = _encoder.encode([follows, checkpoint, list(ranges), list(chunks)])
    return hashlib.blake2b(data, digest_size=ID_BYTES, person=b"chez.drop").digest()


def in_rising_order(ranges: Iterable[Dropped]) -> bool:
    """Whether each range has an end and begins behind the one before it."""
    before = 0
    for one in ranges:
        if not before < one.first <= one.last:
            return False
        before = one.last
    return True


def united(ranges: Iterable[Dropped]) -> list[Dropped]:
    """The same offsets in as few ranges as can be, in order; each head is that at its end."""
    out: list[Dropped] = []
    for one in sorted(ranges, key=lambda one: (one.first, one.last)):
        if out and one.first <= out[-1].last + 1:
            last = max(out[-1], one, key=lambda each: each.last)
            out[-1] = Dropped(out[-1].first, last.last, last.head)
        else:
            out.append(one)
    return out


def uncovered(first: int, last: int, by: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts between two offsets, both included, that none of other ranges has, in order."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(by):
        if first < begin and first <= last:
            found.append((first, min(last, begin - 1)))
        first = max(first, end + 1)
    return [*found, (first, last)] if first <= last else found
