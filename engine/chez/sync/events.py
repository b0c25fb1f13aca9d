"""What a relay said, checked and typed: the events of a `ClientSession`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from chez_wire.frames import Dropped, Entry, InboxItem, OpenedSpace, Used

__all__ = ("AppendDone", "ChunkArrived", "ChunksFound", "Completed", "EarlyArrived", "EntriesArrived",
           "EphemeralArrived", "Event", "InboxArrived", "PacketArrived", "Refused", "ResumedSpace", "RolesEnded",
           "SessionKept", "SpaceResumed", "SpacesOpened", "SpacesResumed", "UsageTold", "Welcomed")


class Welcomed(msgspec.Struct, frozen=True):
    """The connection stands; `incarnation` (32 bytes) names the relay's store.

    `met` are the handles of the spaces that both sides keep, where that was proven; None: all may be opened.
    """

    incarnation: bytes
    version: int
    met: frozenset[bytes] | None = None


class SpacesOpened(msgspec.Struct, frozen=True):
    """Each claim's outcome, in the order asked; `error` is empty where the role is open."""

    ref: int
    spaces: tuple[OpenedSpace, ...]


class SessionKept(msgspec.Struct, frozen=True):
    """The relay keeps what is followed; `alike` says whether that is what was followed as far as is known here."""

    ref: int
    alike: bool


class ResumedSpace(msgspec.Struct, frozen=True):
    """A space that is followed again under a ref, from `after` with its `head` there; `end` is its last offset."""

    handle: bytes
    ref: int
    after: int
    head: bytes
    end: int


class SpacesResumed(msgspec.Struct, frozen=True):
    """What came back of what was kept, and what did not, each with a code of docs/protocol.md.

    Unless `alike`, some space without news has another log than it had: none is followed, and
    each is to be opened by itself.
    """

    ref: int
    back: tuple[ResumedSpace, ...]
    lost: tuple[tuple[bytes, str], ...]
    alike: bool


class SpaceResumed(msgspec.Struct, frozen=True):
    """One space's part of it: it is open and followed again; `end` is its last offset."""

    ref: int
    end: int


class AppendDone(msgspec.Struct, frozen=True):
    """The entry is durable at `offset`; `head` is the cumulative head just after it.

    `passed`: the subscription to the space stands after the entry, which does not come back.
    """

    ref: int
    handle: bytes
    entry: bytes
    offset: int
    head: bytes
    passed: bool


@dataclass(frozen=True, slots=True)
class EntriesArrived:
    """A page or a push: entries in order, and the ranges between them that were dropped, without a gap.

    `head` is the cumulative head after the last of them, refolded by the session wherever
    it knows the head before; `end` is the last offset the relay holds.
    """

    ref: int
    handle: bytes
    entries: tuple[Entry, ...] = field(repr=False)
    head: bytes
    end: int
    dropped: tuple[Dropped, ...] = ()

    @property
    def steps(self) -> "Iterator[Entry | Dropped]":
        """Entries and ranges in the order of their offsets."""
        return self._merged() if self.dropped else iter(self.entries)

    def _merged(self) -> "Iterator[Entry | Dropped]":
        waiting = list(self.dropped)
        for entry in self.entries:
            while waiting and waiting[0].first < entry.offset:
                yield waiting.pop(0)
            yield entry
        yield from waiting


class EarlyArrived(msgspec.Struct, frozen=True):
    """An entry that the relay is just storing; it comes by `EntriesArrived` once it is, with its offset. Here it has 0.
    """

    handle: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class EphemeralArrived:
    """An ephemeral message that somebody sent just now to a space that is open, sealed; `sender` leads back."""

    handle: bytes
    message: bytes = field(repr=False)
    sender: bytes


@dataclass(frozen=True, slots=True)
class InboxArrived:
    """Waiting items of a watched inbox, numbers rising; the first answer may be empty."""

    ref: int
    inbox: bytes
    items: tuple[InboxItem, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChunkArrived:
    """One piece of an attachment; its bytes have the id that was asked for."""

    ref: int
    data: bytes = field(repr=False)


class ChunksFound(msgspec.Struct, frozen=True):
    """For each chunk asked about, in order, whether the relay says that it holds it; `drop` names its last drop."""

    ref: int
    held: tuple[bool, ...]
    drop: bytes


@dataclass(frozen=True, slots=True)
class PacketArrived:
    """One packet of epoch keys, sealed (256 bytes)."""

    ref: int
    box: bytes = field(repr=False)


class RolesEnded(msgspec.Struct, frozen=True):
    """All roles at a space that were open on this connection ended, and with them a subscription to it.

    `code` is "rotated" (open it again with the new credentials, which a packet has) or
    "deleted". Requests under way are refused with the same code; nothing else comes for them.
    """

    handle: bytes
    code: str


class Completed(msgspec.Struct, frozen=True):
    """What `ref` asked for is done and durable."""

    ref: int


class Refused(msgspec.Struct, frozen=True):
    """What `ref` asked for was refused; 0 when it was the connection itself.

    `code` is one of docs/protocol.md; `retry` says that the same request may succeed later.
    """

    ref: int
    code: str
    message: str
    retry: bool


class UsageTold(msgspec.Struct, frozen=True):
    """How much room a space takes at the relay: its entries, its control entries, its chunks."""

    ref: int
    entries: Used
    control: Used
    chunks: Used


Event = (
    Welcomed | SpacesOpened | AppendDone | EntriesArrived | InboxArrived | ChunkArrived | ChunksFound | PacketArrived
    | RolesEnded | Completed | Refused | SessionKept | SpacesResumed | SpaceResumed | EphemeralArrived | EarlyArrived
    | UsageTold
)
