"""What a relay keeps of connections that may come again: which spaces, and what was proven there.

In memory alone: a relay that was started anew knows none, and devices log in as they do the
first time. Nothing here is secret. Each is known by the public key that its device chose
(`chez_wire.kept`), and a role comes back only where the very credential still stands that
proved it: of that a hash is kept, 49 bytes for each space.

An address has its share, and all together have theirs. Who needs room gets it from the
oldest of the address, then from the oldest of all: a flood costs others a longer login, and
nobody memory.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chez_relay.roles import credential
from chez_relay.storage import SpaceInfo
from chez_wire.limits import ID_BYTES, MIB
from chez_wire.login import Role

__all__ = ("KeptHere", "KeptSessions", "Place")

_ROLES: Final = (Role.READ, Role.APPEND, Role.CONTROL)
_MARK_BYTES: Final = 16
_PLACE_BYTES: Final = ID_BYTES + 1 + _MARK_BYTES

ENTRY_BYTES: Final = 512
"""What a kept session takes beside its spaces: its key, its tables' entries."""


@dataclass(frozen=True, slots=True)
class Place:
    """A space that was followed, which roles were open there, and a hash of the keys that proved them."""

    handle: bytes
    roles: tuple[Role, ...]
    mark: bytes

    @classmethod
    def of(cls, handle: bytes, proven: Mapping[Role, bytes]) -> "Place":
        """A space with its open roles, each with the public key that proved it."""
        roles = tuple(role for role in _ROLES if role in proven)
        return cls(handle, roles, _mark(proven[role] for role in roles))

    def standing(self, known: SpaceInfo) -> dict[Role, bytes] | None:
        """The keys of the roles, if those that proved them are the space's still."""
        keys = {role: key for role in self.roles if (key := credential(known, role)) is not None}
        return keys if _mark(keys.values()) == self.mark else None


def _mark(keys: Iterable[bytes]) -> bytes:
    # Public keys: what must not be found is another space's or generation's keys with this hash, and
    # nobody chooses one side of it after the other (16 bytes are enough against that).
    return hashlib.blake2b(b"".join(keys), digest_size=_MARK_BYTES, person=b"chez.relay.kept").digest()


@dataclass(slots=True)
class _Kept:
    """One kept session, packed; `held` counts the connections that it is of now."""

    address: str
    packed: bytes
    since: float
    held: int = 0

    @property
    def size(self) -> int:
        return len(self.packed) + ENTRY_BYTES


@dataclass(slots=True)
class KeptSessions:
    """All that one relay process keeps. `clock` gives seconds; it does not go back.

    `bytes_in_all` and `bytes_per_address` bound the memory, `seconds` how long one is kept
    after its last connection ended.
    """

    clock: Callable[[], float]
    bytes_in_all: int = 64 * MIB
    bytes_per_address: int = 8 * MIB
    seconds: float = 24 * 3600.0
    _all: "OrderedDict[bytes, _Kept]" = field(default_factory=OrderedDict)
    _addresses: "dict[str, OrderedDict[bytes, _Kept]]" = field(default_factory=dict)
    _bytes: int = 0
    _of_address: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return self._bytes

    def at(self, address: str) -> "KeptHere":
        """What one connection from an address does with it."""
        return KeptHere(self, address)

    def forget_old(self) -> None:
        """Let go of what no connection holds and was not taken up for too long."""
        before = self.clock() - self.seconds
        for key in [key for key, kept in self._all.items() if not kept.held and kept.since < before]:
            self._drop(key)

    # --- for KeptHere -------------------------------------------------------------------

    def _add(self, key: bytes, kept: _Kept) -> bool:
        if key in self._all:
            return False
        while kept.address in self._addresses and self._of_address[kept.address] + kept.size > self.bytes_per_address:
            self._drop(next(iter(self._addresses[kept.address])))
        while self._all and self._bytes + kept.size > self.bytes_in_all:
            self._drop(next(iter(self._all)))
        self._all[key] = self._addresses.setdefault(kept.address, OrderedDict())[key] = kept
        self._bytes += kept.size
        self._of_address[kept.address] = self._of_address.get(kept.address, 0) + kept.size
        return True

    def _touch(self, key: bytes) -> None:
        kept = self._all[key]
        kept.since = self.clock()
        self._all.move_to_end(key)
        self._addresses[kept.address].move_to_end(key)

    def _drop(self, key: bytes) -> None:
        kept = self._all.pop(key)
        self._bytes -= kept.size
        self._of_address[kept.address] -= kept.size
        own = self._addresses[kept.address]
        del own[key]
        if not own:
            del self._addresses[kept.address], self._of_address[kept.address]


class KeptHere:
    """What one connection keeps, or took up: one session at a time."""

    __slots__ = ("_address", "_all", "_key")

    def __init__(self, all: KeptSessions, address: str) -> None:
        self._all = all
        self._address = address
        self._key: bytes | None = None

    def keep(self, key: bytes, places: Iterable[Place]) -> bool:
        """Keep these spaces under a key instead of what this connection kept so far; False when the key is known."""
        packed = b"".join(
            place.handle + bytes((sum(1 << _ROLES.index(role) for role in place.roles),)) + place.mark
            for place in places)
        before = self._key
        if not self._all._add(key, _Kept(self._address, packed, self._all.clock(), held=1)):
            return False
        if before is not None and self._let_go() == 0:
            self._all._drop(before)
        self._key = key
        return True

    def count(self, key: bytes) -> int:
        """How many spaces are kept under a key, told without looking at them."""
        kept = self._all._all.get(key)
        return 0 if kept is None else len(kept.packed) // _PLACE_BYTES

    def find(self, key: bytes) -> tuple[Place, ...] | None:
        """What is kept under a key; None for nothing."""
        kept = self._all._all.get(key)
        if kept is None:
            return None
        if not kept.held and kept.since < self._all.clock() - self._all.seconds:
            self._all._drop(key)
            return None
        return tuple(_place(kept.packed[at:at + _PLACE_BYTES]) for at in range(0, len(kept.packed), _PLACE_BYTES))

    def take_up(self, key: bytes) -> None:
        """This connection is what is kept under a key from now on."""
        if (kept := self._all._all.get(key)) is not None:
            self._let_go()
            kept.held += 1
            self._key = key
            self._all._touch(key)

    def close(self) -> None:
        """The connection ended: from now on what it kept grows old."""
        self._let_go()
        self._key = None

    def _let_go(self) -> int | None:
        """How many others hold what this connection kept; None when it is not there any more."""
        kept = None if self._key is None else self._all._all.get(self._key)
        if self._key is None or kept is None:
            return None
        kept.held -= 1
        self._all._touch(self._key)
        return kept.held


def _place(packed: bytes) -> Place:
    mask = packed[ID_BYTES]
    roles = tuple(role for bit, role in enumerate(_ROLES) if mask & 1 << bit)
    return Place(packed[:ID_BYTES], roles, packed[ID_BYTES + 1:])
