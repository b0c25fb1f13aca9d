"""What the streams hold: for each space a subject of *blocks*, for each inbox a subject with its state.

A block is one step of one space: the entries it adds, and the whole state after it. It is
published on the condition that the space's last block is the one it was built on, so the
blocks of a space follow one another as the writes to a single file would, however many
relays write: an append can't cross a rotation, and offsets have no gap.

Where a state names a block, 0 is the block that it is in itself.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez_relay.storage import SpaceKeys
from chez_wire.dropping import NO_DROP, Dropped
from chez_wire.envelope import GENESIS_HEAD

__all__ = (
    "FORMAT", "ID_PREFIX", "Block", "Box", "Drops", "Index", "Item", "State", "decode_block", "decode_box", "encode",
    "named",
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

    `removing` are the chunks whose time came, with their sizes and sequences: they are removed next, then it is
    said that they were. None is put again in between, or what was acknowledged could be removed.
    """

    dropping: tuple[tuple[int, int, float], ...] = ()
    dropped: tuple[Dropped, ...] = ()
    releasing: tuple[tuple[bytes, float], ...] = ()
    removing: tuple[tuple[bytes, int, int], ...] = ()

    def covers(self, offset: int) -> Dropped | None:
        """The range of what was dropped that has an offset."""
        return next((one for one in self.dropped if one.first <= offset <= one.last), None)

    def live(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges between two offsets that were not dropped."""
        found: list[tuple[int, int]] = []
        for one in self.dropped:
            if first < one.first and first <= last:
                found.append((first, min(last, one.first - 1)))
            first = max(first, one.last + 1)
        return [*found, (first, last)] if first <= last else found


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
