"""What a storage is asked for; each says what answers it. (Why one is a Struct: `chez_relay.effects`.)"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez_wire.frames import Dropped, SealedPacket

__all__ = (
    "PAGES", "READING", "AddChunk", "AddEntry", "AddInbox", "AddItem", "AddSpace", "Credentials", "DropEntries",
    "DropItems", "DropSpace", "Expire", "FindChunks", "Lookup", "ReadChunk", "ReadItems", "ReadPacket", "ReadPage",
    "ReadUsage", "Request", "RotateSpace", "SpaceKeys",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The public keys that prove a space's roles, 32 bytes each."""

    read: bytes
    append: bytes
    control: bytes


@dataclass(frozen=True, slots=True)
class SpaceKeys:
    """The public keys of a space, 32 bytes each: who may change it, and its credentials."""

    admin: bytes
    recovery: bytes
    read: bytes
    append: bytes
    control: bytes

    @property
    def credentials(self) -> Credentials:
        """The keys that prove its roles."""
        return Credentials(self.read, self.append, self.control)


@dataclass(frozen=True, slots=True)
class AddSpace:
    """Create a space -> `Done` (also when it exists with the same keys and packets), or EXISTS, QUOTA.

    A handle that was deleted may be used again with the recovery key that it had: else an
    owner could free himself from that key. Packets are in the order of their tags, here and in `RotateSpace`.
    """

    handle: bytes
    keys: SpaceKeys
    packets: tuple[SealedPacket, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class RotateSpace:
    """Replace admin key, credentials and packets of a space -> `Done`, or UNKNOWN, DENIED, STALE, QUOTA.

    `signer` must be the space's admin or relay recovery key, and `previous_read` its read
    key; with the recovery key it may be `ANY_KEY`. What is as requested already is `Done`,
    whoever signed: so a request whose answer was lost may be repeated.
    """

    handle: bytes
    signer: bytes
    previous_read: bytes
    admin: bytes
    credentials: Credentials
    packets: tuple[SealedPacket, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class DropSpace:
    """Delete a space signed for by its admin or relay recovery key -> `Done` (also when it is not there), or DENIED."""

    handle: bytes
    signer: bytes


@dataclass(frozen=True, slots=True)
class DropEntries:
    """Drop entries, and release chunks -> `Done`, or UNKNOWN, DENIED, AHEAD, STALE.

    `signer` must be the space's admin key and `voucher` its control key; the head of each range
    the one that the log has there. `drop` is its own name and `follows` that of the space's last one: of two
    that follow the same one, one is done. The last one again is `Done`.
    """

    handle: bytes
    signer: bytes
    voucher: bytes
    follows: bytes
    drop: bytes
    ranges: tuple[Dropped, ...]
    chunks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadPacket:
    """The packet under a tag of a space -> `PacketData`, or UNKNOWN alike without the space and without the tag."""

    handle: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of these handles -> `Found`."""

    handles: tuple[bytes, ...]


class AddEntry(msgspec.Struct, frozen=True, gc=False):
    """Append one entry -> `Stored`, or UNKNOWN, ROTATED, QUOTA. `entry` is the hash of `envelope`."""

    handle: bytes
    entry: bytes
    envelope: bytes
    control: bool
    under: bytes

    def __repr__(self) -> str:
        return f"AddEntry({self.handle!r}, {self.entry!r}, {len(self.envelope)} bytes)"


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Entries after an offset -> `Page`, or UNKNOWN, ROTATED, AHEAD.

    At most `limit` bytes of envelopes, but at least one entry where there is one.
    """

    handle: bytes
    after: int
    limit: int
    under: bytes


@dataclass(frozen=True, slots=True)
class AddInbox:
    """Create an inbox, or renew one with the same keys, for `ttl` seconds -> `Done` or EXISTS."""

    inbox: bytes
    owner_key: bytes
    write_key: bytes
    ttl: int


@dataclass(frozen=True, slots=True)
class AddItem:
    """Put an item -> `Done`, or UNKNOWN, ROTATED, FULL. The bytes of an item that waits are not stored again.

    `under` is the write key that it rests on: an inbox that expired may have been made anew with another.
    """

    inbox: bytes
    item: bytes = field(repr=False)
    under: bytes


@dataclass(frozen=True, slots=True)
class ReadItems:
    """Items numbered above `after` -> `ItemPage`, or UNKNOWN, AHEAD; `limit` as in `ReadPage`."""

    inbox: bytes
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class DropItems:
    """Delete the items numbered up to `upto` -> `Done`, or UNKNOWN."""

    inbox: bytes
    upto: int


@dataclass(frozen=True, slots=True)
class AddChunk:
    """Store one chunk of an attachment -> `Done`, or UNKNOWN, ROTATED, QUOTA. `chunk` is the hash of `data`."""

    handle: bytes
    chunk: bytes
    data: bytes = field(repr=False)
    under: bytes


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """One chunk of a space -> `ChunkData`, or UNKNOWN, ROTATED, MISSING."""

    handle: bytes
    chunk: bytes
    under: bytes


@dataclass(frozen=True, slots=True)
class FindChunks:
    """Which of these chunks a space has -> `FoundChunks`, or UNKNOWN, ROTATED."""

    handle: bytes
    chunks: tuple[bytes, ...]
    under: bytes


@dataclass(frozen=True, slots=True)
class ReadUsage:
    """How much of its quotas a space takes -> `SpaceUsage`, or UNKNOWN, ROTATED."""

    handle: bytes
    under: bytes


@dataclass(frozen=True, slots=True)
class Expire:
    """Delete expired inboxes and items, a slice of what deleted spaces held and of what was dropped -> `Expired`."""


Request = (
    AddSpace | RotateSpace | DropSpace | DropEntries | ReadPacket | Lookup | AddEntry | ReadPage | AddInbox | AddItem
    | ReadItems | DropItems | AddChunk | ReadChunk | FindChunks | ReadUsage | Expire
)
PAGES: Final = (ReadPage, ReadItems, ReadChunk)
"""Those whose answer is a page: up to a frame in size, and how much is known once it is read."""

READING: Final = (Lookup, ReadPage, ReadItems, ReadChunk, FindChunks, ReadPacket, ReadUsage)
"""Requests that change nothing: they are answered also while nothing can be written."""
