"""What the streams hold: for each space a subject of *blocks*, for each inbox a subject with its state.

A block is one step of one space: the entries it adds, and the whole state after it. It is
published on the condition that the space's last block is the one it was built on, so the
blocks of a space follow one another as the writes to a single file would, however many
relays write: an append can't cross a rotation, and offsets have no gap.

Where a state names a block, 0 is the block that it is in itself.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez_relay.storage import SpaceKeys
from chez_wire.dropping import NO_DROP, Dropped
from chez_wire.envelope import GENESIS_HEAD

__all__ = (
    "FORMAT", "ID_PREFIX", "Block", "Box", "Drops", "Index", "Item", "State", "decode_block", "decode_box",
    "decode_time", "encode", "encode_time", "merged", "named",
)

FORMAT: Final = 1

ID_PREFIX: Final = 8
"""Bytes of an entry's id that an index has: equal ones only cost a look at the entry."""

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0)]


class State(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A space after a block. `birth` tells its logs apart; one that was deleted keeps its recovery key.

    `store` is the mark under which its chunks are: they stay when a damaged log is laid anew.
    """

    birth: bytes
    store: bytes
    alive: bool
    admin: Hash
    recovery: Hash
    read: Hash
    append: Hash
    control: Hash
    packets_hash: Hash
    packets: Count = 0
    since: Count = 0
    """The block that began this life."""
    record: Count = 0
    """The block that has the packets."""
    end: Count = 0
    head: Hash = GENESIS_HEAD
    data_bytes: Count = 0
    control_bytes: Count = 0
    blob_bytes: Count = 0
    indexed: Count = 0
    """The last offset that an index has."""
    index: Count = 0
    """The block with the last index, where there is one."""
    dropping: bool = False
    """Whether anything was dropped, or is to be."""
    drops: Count = 0
    """The block that says what, where there is one."""
    drop: Hash = NO_DROP
    """Names the last drop; the next one must follow it."""

    @property
    def keys(self) -> SpaceKeys:
        """Its keys."""
        return SpaceKeys(self.admin, self.recovery, self.read, self.append, self.control)


class Index(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The beginnings of the ids of entries after offset `start`, in order; `before` is the block of the last one."""

    before: Count
    start: Count
    ids: bytes


class Drops(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is to be dropped and when (first offset, last offset, time), what was, and which chunks are let go when.

    No two ranges of `dropped` touch, and they rise. `removing` are the chunks whose time came, with their sizes and
    sequences: they are removed next, then it is said that they were. None is put again in between, or what was
    acknowledged could be removed.
    """

    dropping: tuple[tuple[int, int, float], ...] = ()
    dropped: tuple[Dropped, ...] = ()
    releasing: tuple[tuple[bytes, float], ...] = ()
    removing: tuple[tuple[bytes, int, int], ...] = ()

    def covers(self, offset: int) -> Dropped | None:
        """The range of what was dropped that has an offset."""
        at = self._from(offset)
        return self.dropped[at] if at < len(self.dropped) and self.dropped[at].first <= offset else None

    def live(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges between two offsets that were not dropped."""
        found: list[tuple[int, int]] = []
        for at in range(self._from(first), len(self.dropped)):
            one = self.dropped[at]
            if one.first > last:
                break
            if first < one.first:
                found.append((first, one.first - 1))
            first = one.last + 1
        return [*found, (first, last)] if first <= last else found

    def unnamed(self, ranges: Iterable[Dropped]) -> list[tuple[int, int]]:
        """What of some ranges neither was dropped nor waits to be, in order."""
        named = merged([*((first, last) for first, last, _ in self.dropping),
                        *((one.first, one.last) for one in self.dropped)])
        known = Drops(dropped=tuple([Dropped(first, last, NO_DROP) for first, last in named]))
        return [part for one in ranges for part in known.live(one.first, one.last)]

    def not_after(self, latest: float) -> "Drops":
        """The same, where nothing waits longer: what was named while a clock was ahead would for as long."""
        if max((*(when for *_, when in self.dropping), *(when for _, when in self.releasing)), default=0.0) <= latest:
            return self
        return msgspec.structs.replace(
            self, dropping=tuple([(first, last, min(when, latest)) for first, last, when in self.dropping]),
            releasing=tuple([(chunk, min(when, latest)) for chunk, when in self.releasing]))

    @property
    def next_due(self) -> float | None:
        """When the next of it is due, None where nothing waits."""
        times = (*(when for *_, when in self.dropping), *(when for _, when in self.releasing))
        return 0.0 if self.removing else min(times, default=None)

    @property
    def rows(self) -> int:
        """How many there are of all kinds."""
        return len(self.dropping) + len(self.dropped) + len(self.releasing) + len(self.removing)

    def _from(self, offset: int) -> int:
        """The place of the first range that ends at an offset or after it."""
        return bisect_left(self.dropped, offset, key=lambda one: one.last)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same offsets in as few ranges as can be, in order."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return out


class Block(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One step of a space: `envelopes` come just before `state.end`, and `before` is the head before them.

    `control` has the places among them of control entries, which count by themselves.
    """

    format: int
    state: State
    before: Hash
    envelopes: tuple[bytes, ...] = ()
    packets: tuple[tuple[bytes, bytes], ...] = ()
    index: Index | None = None
    control: tuple[int, ...] = ()
    drops: Drops | None = None

    @property
    def first(self) -> int:
        """The offset of its first entry, if it has one."""
        return self.state.end - len(self.envelopes) + 1


class Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What waits in an inbox: its number, the hash of its bytes, when it expires and its size."""

    number: Count
    digest: Hash
    expires: float
    size: Count


class Box(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An inbox. `birth` tells its lives apart, in which `last` is the last number given."""

    format: int
    birth: bytes
    owner_key: Hash
    write_key: Hash
    ttl: Count
    expires: float
    last: Count = 0
    items: tuple[Item, ...] = ()


_TIME: Final = struct.Struct(">d")


def encode_time(seconds: float) -> bytes:
    """What a message says that tells when something is due."""
    return _TIME.pack(seconds)


def decode_time(data: bytes) -> float:
    """When something is due; 0, long ago, for bytes that are no time."""
    return float(_TIME.unpack(data)[0]) if len(data) == _TIME.size else 0.0


_blocks = msgspec.msgpack.Decoder(Block)
_boxes = msgspec.msgpack.Decoder(Box)
_encoder = msgspec.msgpack.Encoder()


def encode(one: Block | Box) -> bytes:
    """The bytes of a block or an inbox."""
    return _encoder.encode(one)


def decode_block(data: bytes, seq: int) -> Block | None:
    """The block that was stored at a sequence, its state naming blocks by theirs; None for bytes that are none."""
    try:
        block = _blocks.decode(data)
    except msgspec.DecodeError:
        return None
    return named(block, seq) if block.format == FORMAT else None


def named(block: Block, seq: int) -> Block:
    """A block as it is stored at a sequence: its state names it where that had 0."""
    state = block.state
    return msgspec.structs.replace(block, state=msgspec.structs.replace(
        state, since=state.since or seq, record=state.record or seq,
        index=(state.index or seq) if state.indexed else 0, drops=(state.drops or seq) if state.dropping else 0))


def decode_box(data: bytes) -> Box | None:
    """An inbox; None for bytes that are none."""
    try:
        box = _boxes.decode(data)
    except msgspec.DecodeError:
        return None
    return box if box.format == FORMAT else None
