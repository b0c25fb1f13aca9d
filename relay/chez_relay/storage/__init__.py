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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from chez_relay.storage.requests import (
    PAGES,
    READING,
    AddChunk,
    AddEntry,
    AddInbox,
    AddItem,
    AddSpace,
    Credentials,
    DropEntries,
    DropItems,
    DropSpace,
    Expire,
    FindChunks,
    Lookup,
    ReadChunk,
    ReadItems,
    ReadPacket,
    ReadPage,
    ReadUsage,
    Request,
    RotateSpace,
    SpaceKeys,
)
from chez_relay.storage.results import (
    ChunkData,
    Done,
    Expired,
    Found,
    FoundChunks,
    Gone,
    InboxInfo,
    ItemPage,
    PacketData,
    Page,
    Refused,
    Result,
    SpaceInfo,
    SpaceUsage,
    Stored,
)
from chez_wire.frames import Dropped, Entry, InboxItem, SealedPacket
from chez_wire.limits import MAX_BLOB_BYTES, MAX_INBOX_ITEMS, MAX_SPACE_BYTES, MIB
from chez_wire.usage import Used

if TYPE_CHECKING:
    from chez_relay.fanout import Growth

__all__ = (
    "PAGES", "READING", "AddChunk", "AddEntry", "AddInbox", "AddItem", "AddSpace", "ChunkData", "Credentials", "Done",
    "DropEntries", "DropItems", "DropSpace", "Dropped", "Entry", "Expire", "Expired", "FindChunks", "Found",
    "FoundChunks", "Gone", "InboxInfo", "InboxItem", "ItemPage", "Lookup", "Outcome", "PacketData", "Page",
    "PromptStorage", "Quotas",
    "ReadChunk", "ReadItems", "ReadPacket", "ReadPage", "ReadUsage", "Refused", "Request", "Result", "RotateSpace",
    "SealedPacket", "SharedStorage", "SpaceInfo", "SpaceKeys", "SpaceUsage", "Storage", "Stored",
)

DEFAULT_CONTROL_BYTES: Final = 8 * MIB
"""Control entries of one space: some thousands of device statements, far from a way
around the quota for data."""

DEFAULT_INBOX_RESERVE: Final = 256 * MIB
DEFAULT_INBOX_BYTES: Final = 16 * 1024 * MIB

DEFAULT_GRACE: Final = 7 * 24 * 3600.0
"""A week: whoever reads a log in pages, or hears too late that something is wrong, finds it all the same."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one space or inbox may hold, in bytes and items."""

    space_bytes: int = MAX_SPACE_BYTES
    control_bytes: int = DEFAULT_CONTROL_BYTES
    inbox_items: int = MAX_INBOX_ITEMS
    inbox_reserve: int = DEFAULT_INBOX_RESERVE
    """Bytes of the store's disk that inboxes leave to spaces; where a store is no file of this machine, none."""
    inbox_bytes: int = DEFAULT_INBOX_BYTES
    """Bytes that all inboxes take on each node of a cluster, whose disks a relay does not see."""
    blob_bytes: int = MAX_BLOB_BYTES
    grace: float = DEFAULT_GRACE
    """Seconds that dropped entries and released chunks stay."""

    def usage(self, entries: int, control: int, chunks: int) -> SpaceUsage:
        """What a space with so many bytes of each takes of them."""
        return SpaceUsage(Used(entries, self.space_bytes), Used(control, self.control_bytes),
                          Used(chunks, self.blob_bytes))


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


Outcome = list[Result] | BaseException
"""What came of a group: its results in the same order, or why none of it happened (mostly `StorageFailed`)."""


@runtime_checkable
class PromptStorage(Storage, Protocol):
    """A store that tells what came of a group with no task in between, nor the turns of the loop that one takes."""

    def begin(self, requests: Sequence[Request], done: "Callable[[Outcome], None]") -> None:
        """As `perform`, of one group at a time; `done` gets what came of it, later, on the loop."""


@runtime_checkable
class SharedStorage(Storage, Protocol):
    """A store that other relays use at the same time: what they store is told here.

    It keeps the order of what concerns one space or inbox by itself: groups may be performed side by side.
    """

    def follow(self, name: bytes) -> None:
        """From now on tell of a space or inbox."""

    def unfollow(self, name: bytes) -> None:
        """Nobody here follows a space or inbox any more."""

    def pass_on(self, name: bytes, data: bytes, to: bytes) -> bool:
        """Give an ephemeral message, as a frame, to other relays that have who follows its space, and keep nothing.

        `to` (16 bytes, or none) is handed on with it. They are told by `hear`. False when it is let go, which may
        happen later as well.
        """

    async def hear(self, grown: "Callable[[Growth], None]") -> None:
        """Tell `grown` what any relay stored in what is followed, in the order of each space, perhaps twice; for ever.

        It may come late, or without its entries, where a node or a connection failed; it comes.
        """

    async def renewed(self) -> None:
        """Wait until the store has another incarnation: it turned out, here or elsewhere, to have lost something.

        Whoever is connected must learn of it as if the store were another one.
        """
