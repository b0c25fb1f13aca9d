"""What a storage answers; what it refuses it has not done. (Why one is a Struct: `chez_relay.effects`.)"""

from dataclasses import dataclass, field

import msgspec

from chez_relay.errors import Code
from chez_relay.storage.requests import SpaceKeys
from chez_wire.frames import Dropped, Entry, InboxItem
from chez_wire.usage import Used

__all__ = (
    "ChunkData", "Done", "Expired", "Found", "FoundChunks", "Gone", "InboxInfo", "ItemPage", "PacketData", "Page",
    "Refused", "Result", "SpaceInfo", "SpaceUsage", "Stored",
)


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


class Stored(msgspec.Struct, frozen=True, gc=False):
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
class SpaceUsage:
    """What a space takes of each of its quotas; its packets are counted with the entries."""

    entries: Used
    control: Used
    chunks: Used


@dataclass(frozen=True, slots=True)
class PacketData:
    """The box of one packet."""

    box: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expired:
    """`more`: deleted spaces, or what was dropped, still hold bytes; another `Expire` goes on with them.

    Not `able`: writing failed before, and there is no room yet for what may come.
    """

    more: bool
    able: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was refused and changed nothing."""

    code: Code
    message: str
    retry: bool = False


Result = Done | Found | Stored | Page | ItemPage | ChunkData | FoundChunks | SpaceUsage | PacketData | Expired | Refused
