"""Changes of an entry, written without what the change before them tells.

What is typed is a long row of small changes, each of which builds on the one before: of its
110 bytes, two thirds are the header, and the hash in it compresses to nothing. Such a change
is written as

    0 ‖ number of its first operation, less that of the change before (ULEB128) ‖ all that
    follows this number in the change chunk (time, message, actors, columns)

and made whole from the change before it in the entry: of the same actor (a device: 32 bytes), with the
next sequence number, and depending on that change alone. A whole one begins with 0x85.
Hashes and signatures are those of the whole changes. One grows by at most 100 bytes.

Source: the Automerge binary format specification, "Change chunk".
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

import msgspec

from chez.records.automerge import BadChange, RawChange, read_change
from chez.records.columns import BadColumns, check_columns, read_uleb
from chez.records.derived import DEVICE_ID
from chez.records.encode import uleb

__all__ = ("expanded", "read_written", "shortened")

_MAGIC: Final = b"\x85\x6f\x4a\x83"
_SHORT: Final = b"\0"
_DEVICE: Final = uleb(DEVICE_ID)


class _Head(msgspec.Struct, frozen=True, gc=False):
    """What a change's header says; `end` is where it ends."""

    hash: bytes
    actor: bytes
    sequence: int
    start: int
    builds_on: bytes | None
    end: int


def shortened(changes: Iterable[bytes], hashes: Sequence[bytes] = ()) -> list[bytes]:
    """The changes of an entry, in order, as they are written; `hashes` has the hash of each, where they are known."""
    out = []
    before: _Head | None = None
    for data, hash in zip(changes, hashes or repeat(None), strict=False):
        head = _read(data, hash)
        short = None
        if (head is not None and before is not None and head.builds_on == before.hash and head.actor == before.actor
                and head.start > before.start):
            # What is read again must be these very bytes: numbers may have been written longer than they need be.
            rest = data[head.end :]
            begins = _begins(before.hash, before.actor, before.sequence + 1, head.start, len(rest))
            if data[4:8] == head.hash[:4] and data[8 : head.end] == begins:
                short = _SHORT + uleb(head.start - before.start) + rest
        out.append(data if short is None else short)
        before = head
    return out


def read_written(written: Iterable[bytes]) -> list[RawChange]:
    """The changes of an entry, each whole and read (`automerge.read_change`). Raises `ValueError`, `BadChange`."""
    out: list[RawChange] = []
    for data in written:
        if data[:1] != _SHORT:
            out.append(read_change(data))
        elif not out or len(out[-1].actor) != DEVICE_ID:
            raise ValueError("a change is written short, and what it goes on from is not there")
        else:
            out.append(_read_on(data, out[-1]))
    return out


def expanded(written: Iterable[bytes]) -> list[bytes]:
    """The changes of an entry, each whole. Raises `ValueError` for a short one without one to go on from."""
    out: list[bytes] = []
    before: _Head | None = None
    for data in written:
        if data[:1] == _SHORT:
            if before is None and out:
                before = _read(out[-1])
            if before is None:
                raise ValueError("a change is written short, and what it goes on from is not there")
            data, before = _whole(data, before)
        else:
            before = None  # read once it is needed
        out.append(data)
    return out


def _read(data: bytes, hash: bytes | None = None) -> _Head | None:
    """The header of a change that another may go on from; None for one of no device, or that is none."""
    try:
        count, at = read_uleb(data, read_uleb(data, 9)[1])
        size, end = read_uleb(data, at + 32 * count)
        actor = data[end : end + size]
        sequence, last = read_uleb(data, end + size)
        start, last = read_uleb(data, last)
    except (IndexError, BadColumns):
        return None
    if size != DEVICE_ID or len(actor) != size or data[:4] != _MAGIC:
        return None
    builds_on = data[at : at + 32] if count == 1 else None
    return _Head(hashlib.sha256(data[8:]).digest() if hash is None else hash, actor, sequence, start, builds_on, last)


def _whole(short: bytes, before: _Head) -> tuple[bytes, _Head]:
    """A short change made whole, and its header. Raises `ValueError`."""
    try:
        step, at = read_uleb(short, 1)
    except IndexError:
        raise ValueError("a change is cut short") from None
    sequence, start = before.sequence + 1, before.start + step
    tail, end = _tail(before.hash, before.actor, sequence, start, short[at:])
    digest = hashlib.sha256(tail).digest()
    return _MAGIC + digest[:4] + tail, _Head(digest, before.actor, sequence, start, before.hash, 8 + end)


def _read_on(short: bytes, before: RawChange) -> RawChange:
    """A short change made whole and read. Raises `ValueError`, `BadChange`."""
    data, head = _whole(short, _Head(before.hash, before.actor, before.sequence, before.first, None, 0))
    try:
        first, last, weight, found = check_columns(data, head.end - len(uleb(head.start)))
    except IndexError:
        raise BadChange("a change is cut short") from None
    except BadColumns as error:
        raise BadChange(f"a change has {error}") from None
    return RawChange(head.hash, head.actor, head.sequence, (before.hash,), first, last, weight, data, found)


def _tail(hash: bytes, actor: bytes, sequence: int, start: int, rest: bytes) -> tuple[bytes, int]:
    """A change from its type on, that builds on one of its actor's, and where in it the rest begins."""
    begins = _begins(hash, actor, sequence, start, len(rest))
    return begins + rest, len(begins)


def _begins(hash: bytes, actor: bytes, sequence: int, start: int, rest: int) -> bytes:
    """How such a change begins, from its type on, after which so many bytes come."""
    head = b"".join((b"\1", hash, _DEVICE, actor, uleb(sequence), uleb(start)))
    return b"".join((b"\1", uleb(len(head) + rest), head))
