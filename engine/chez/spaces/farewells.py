"""The word that a device was taken out of a space: it can read the log no more, and would not know why.

It lies in the device's packet of a new epoch (`spaces.rotation`), signed by who started that: an owner, another device
of the same person, or the root of either. Who was taken out knows nothing of devices that were let in since, so a home
that comes back by the 24 words keeps what the root said, for all epochs that it starts.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from chez import crypto
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.state import State
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez_wire.limits import MAX_PACKETS

__all__ = ("NOTHING_SAID", "Farewell", "farewells", "in_turns", "keep_farewells", "kept_farewells")

T = TypeVar("T")

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Farewell(msgspec.Struct, array_like=True, frozen=True, tag=2, forbid_unknown_fields=True):
    """Inside the packet of a device that was taken out, by an epoch that it has no key of; signed by who started that.
    """

    space: Id
    issuer: Id
    epoch: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    def proves(self, state: State, device: bytes, sealing: bytes) -> bool:
        """Whether somebody says it who might: an owner or another device of the same person, or the root of either."""
        try:
            crypto.verify(self.issuer, self.signature, "chez/1 farewell", *_words(self.space, self.epoch, self.number,
                                                                                 sealing))
        except crypto.CryptoFailed:
            return False
        persons = state.persons_of(device)
        if self.issuer in state.persons:
            return state.role(self.issuer) is Role.OWNER or self.issuer in persons
        kin = bool(state.persons_of(self.issuer) & persons) and self.issuer != device
        return state.right(self.issuer) is Role.OWNER or (kin and state.active(self.issuer))

    def stale(self, membership: Membership, epochs: Container[bytes]) -> bool:
        """Whether it is of an epoch whose keys, or those of one that builds on it, are here (`epochs`, by id).

        Then somebody let the device in again. A number would not tell: epochs that take no effect have theirs too.
        """
        return self.epoch in epochs or (membership.knows((self.epoch,)) and any(
            id in epochs and membership.before(self.epoch, id) for id in membership.epochs))


def _words(space: bytes, epoch: bytes, number: int, sealing: bytes) -> tuple[bytes, ...]:
    """What a farewell's signature is over."""
    return space, epoch, number.to_bytes(8, "big"), sealing


NOTHING_SAID: Final[Mapping[bytes, Farewell]] = MappingProxyType({})


def farewells(space: bytes, state: State, epoch: Epoch, signer: crypto.SigningKey,
              staying: Container[bytes] = ()) -> Iterator[tuple[bytes, Farewell]]:
    """The word of `signer` to each device that was taken out, by an epoch, with the device's sealing key.

    Not to who has one of the keys that are `staying`, or a device's that belongs.
    """
    gone: dict[bytes, dict[bytes, None]] = {}
    for id in state.certificates:
        device, persons = state.device(id), state.persons_of(id) & state.admissions
        if persons and device is not None:
            gone.setdefault(min(persons), {})[device.sealing] = None
    told = {one.sealing for one in state.devices.values()}
    for sealing in in_turns(iter(gone[person]) for person in sorted(gone)):
        if sealing in told or sealing in staying:
            continue  # devices may claim one key, and a tag has one packet
        told.add(sealing)
        word = signer.sign("chez/1 farewell", *_words(space, epoch.id, epoch.number, sealing))
        yield sealing, Farewell(space, signer.public, epoch.id, epoch.number, word)


def keep_farewells(db: Connection, space: bytes, said: Iterable[tuple[bytes, Farewell]]) -> None:
    """Have these said in a space, by its id, whenever an epoch starts here: who is out for good stays so."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
               (_key(space), msgspec.msgpack.encode(list(islice(said, MAX_PACKETS)))))


def kept_farewells(db: Connection, space: bytes) -> Mapping[bytes, Farewell]:
    """What is kept to be said in a space, by the sealing keys of those whom it is about."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_key(space),)).fetchone()
    return NOTHING_SAID if row is None else dict(msgspec.msgpack.decode(row[0], type=list[tuple[bytes, Farewell]]))


def _key(space: bytes) -> str:
    return f"farewells {space.hex()}"


def in_turns(queues: Iterable[Iterator[T]]) -> Iterator[T]:
    """The first of each, then the second of each, until all are empty."""
    left = list(queues)
    while left:
        left, turn = [], left
        for queue in turn:
            for one in islice(queue, 1):
                left.append(queue)
                yield one
