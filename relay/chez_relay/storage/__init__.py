"""The interface of a relay's storage: requests in, results out, one group at a time.

What an implementation guarantees, and the acceptance suite in tests/relay checks:

- **One group, one durable transaction.** `perform` returns after everything it reports
  as done would survive a power cut; if it raises, nothing of the group happened.
  A store that several relays share promises that for what concerns one space or inbox: the
  results tell what was done, and what it can't tell of (STORAGE) may be repeated.
- **In order.** Requests of a group, and groups, take effect in the order given.
- **Alone.** A request that is refused changes nothing and disturbs no other of its group.
- **No gaps.** Offsets of a space are 1, 2, 3, ...; what was dropped is passed over by its range and its
  head; numbers of an inbox's items rise and are never given twice while the inbox lives.
- **Whole.** A chunk is stored once per space under its id, counts once, and is never altered.
- **Idempotent.** Repeating a request that was done answers the same and stores nothing.
- **Heads.** The head of entry n is `fold_head(head of n-1, entry id of n)`.
- **Rights are looked at when they are used.** A request names the credential that allows it
  (`under`); once that was replaced, the request is refused, however early it was asked.
- **Whole or not at all.** What is read is held against its hash: what the disk damaged is refused
  (DAMAGED), alone, and nothing of it is handed out.
- **Gone is gone.** What a deleted space held is never seen again, also not in a space that is
  later made under the same handle; its bytes are given back a slice at a time (`Expire`).

- **Drops have an order.** Each names the one that it follows, and is done only where that is the space's last one.
- **Dropped is kept for a while.** What `DropEntries` names is handed out as before until its grace is over and
  an `Expire` comes, which removes it a slice at a time and gives its bytes back to the quota.

Time is the storage's own (a clock argument) and decides two things only: when an inbox
or an item in it has expired, and when the grace of what was dropped is over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from chez_relay.errors import Code
from chez_wire.frames import Dropped, Entry, InboxItem, SealedPacket
from chez_wire.limits import MAX_BLOB_BYTES, MAX_INBOX_ITEMS, MAX_SPACE_BYTES, MIB

if TYPE_CHECKING:
    from chez_relay.fanout import Growth

__all__ = (
    "READING", "AddChunk", "AddEntry", "AddInbox", "AddItem", "AddSpace", "ChunkData", "Credentials", "Done",
    "DropEntries", "DropItems", "DropSpace", "Dropped", "Entry", "Expire", "Expired", "FindChunks", "Found",
    "FoundChunks", "Gone", "InboxInfo", "InboxItem", "ItemPage", "Lookup", "PacketData", "Page", "Quotas",
    "ReadChunk", "ReadItems", "ReadPacket", "ReadPage", "Refused", "Request", "Result", "RotateSpace",
    "SealedPacket", "SharedStorage", "SpaceInfo", "SpaceKeys", "Storage", "Stored",
)

DEFAULT_CONTROL_BYTES: Final = 8 * MIB
"""Control entries of one space: some thousands of device statements, far from a way
around the quota for data."""


DEFAULT_GRACE: Final = 7 * 24 * 3600.0
"""A week: whoever reads a log in pages, or hears too late that something is wrong, finds it all the same."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one space or inbox may hold, in bytes and items."""

    space_bytes: int = MAX_SPACE_BYTES
    control_bytes: int = DEFAULT_CONTROL_BYTES
    inbox_items: int = MAX_INBOX_ITEMS
    blob_bytes: int = MAX_BLOB_BYTES
    grace: float = DEFAULT_GRACE
    """Seconds that dropped entries and released chunks stay."""


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


# --- requests ----------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class AddEntry:
    """Append one entry -> `Stored`, or UNKNOWN, ROTATED, QUOTA. `entry` is the hash of `envelope`."""

    handle: bytes
    entry: bytes
    envelope: bytes = field(repr=False)
    control: bool
    under: bytes


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
    """Put an item -> `Done`, or UNKNOWN, FULL. The bytes of an item that waits are not stored again."""

    inbox: bytes
    item: bytes = field(repr=False)


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
class Expire:
    """Delete expired inboxes and items, a slice of what deleted spaces held and of what was dropped -> `Expired`."""


# --- results -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """It is done and durable."""


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A space's credentials, its last offset (0: empty) and cumulative head."""

    keys: SpaceKeys
    offset: int
    head: bytes


@dataclass(frozen=True, slots=True)
class InboxInfo:
    """An inbox's credentials."""

    owner_key: bytes
    write_key: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """A space was deleted, and not made anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """One answer for each handle asked for; None where there never was anything, `Refused` where it is damaged."""

    known: "tuple[SpaceInfo | InboxInfo | Gone | Refused | None, ...]"


@dataclass(frozen=True, slots=True)
class Stored:
    """The entry is durable at `offset`, `head` the cumulative head just after it.

    `fresh` is False when it had been there already.
    """

    offset: int
    head: bytes
    fresh: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in order, and the ranges between them that are dropped; `end` is the last offset stored.

    `head` is the one after the last of them all, or at `after`.
    """

    entries: tuple[Entry, ...]
    head: bytes
    end: int
    dropped: tuple[Dropped, ...] = ()

    @property
    def last(self) -> int:
        """The last offset that it leads to; 0 when it leads nowhere."""
        return max(self.entries[-1].offset if self.entries else 0, self.dropped[-1].last if self.dropped else 0)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items in order; `end` is the last number ever given in this inbox."""

    items: tuple[InboxItem, ...]
    end: int


@dataclass(frozen=True, slots=True)
class ChunkData:
    """The bytes of one chunk."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FoundChunks:
    """For each chunk asked about, in order, whether it is there and stays; `drop` names the space's last drop."""

    held: tuple[bool, ...]
    drop: bytes


@dataclass(frozen=True, slots=True)
class PacketData:
    """The box of one packet."""

    box: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expired:
    """`more`: deleted spaces, or what was dropped, still hold bytes; another `Expire` goes on with them."""

    more: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was refused and changed nothing."""

    code: Code
    message: str
    retry: bool = False


Request = (
    AddSpace | RotateSpace | DropSpace | DropEntries | ReadPacket | Lookup | AddEntry | ReadPage | AddInbox | AddItem
    | ReadItems | DropItems | AddChunk | ReadChunk | FindChunks | Expire
)
READING: Final = (Lookup, ReadPage, ReadItems, ReadChunk, FindChunks, ReadPacket)
"""Requests that change nothing: they are answered also while nothing can be written."""

Result = Done | Found | Stored | Page | ItemPage | ChunkData | FoundChunks | PacketData | Expired | Refused


class Storage(Protocol):
    """A relay's store; see the module's guarantees."""

    @property
    def incarnation(self) -> bytes:
        """32 random bytes made when the store was created."""

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """Perform a group of requests in one durable transaction; results in the same order.

        Raises `StorageFailed` when the store can't: then none of the group happened.
        """

    async def close(self) -> None:
        """Finish and release the store; a second call does nothing."""


@runtime_checkable
class SharedStorage(Storage, Protocol):
    """A store that other relays use at the same time: what they store is told here.

    It keeps the order of what concerns one space or inbox by itself: groups may be performed side by side.
    """

    def follow(self, name: bytes) -> None:
        """From now on tell of a space or inbox."""

    def unfollow(self, name: bytes) -> None:
        """Nobody here follows a space or inbox any more."""

    def pass_on(self, name: bytes, data: bytes) -> bool:
        """Give an ephemeral message, as a frame, to other relays that have who follows its space, and keep nothing.

        They are told by `hear`. False when it is let go, which may happen later as well.
        """

    async def hear(self, grown: "Callable[[Growth], None]") -> None:
        """Tell `grown` what any relay stored in what is followed, in the order of each space, perhaps twice; for ever.

        It may come late, or without its entries, where a node or a connection failed; it comes.
        """

    async def renewed(self) -> None:
        """Wait until the store has another incarnation: it turned out, here or elsewhere, to have lost something.

        Whoever is connected must learn of it as if the store were another one.
        """
