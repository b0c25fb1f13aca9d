"""A person's private space, its first device, others let in as pairing does it, and more spaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.keys.person import Person
from chez.records.store import RecordStore
from chez.spaces.copies import say_everywhere
from chez.spaces.enrolment import enrol, own_certificate
from chez.spaces.handover import announce
from chez.spaces.membership import Membership
from chez.spaces.space import SpaceKeys, create_space, load_space, store_space
from chez.spaces.statements import Kind, Signed
from chez.store.database import Connection
from chez.sync.replica import Replica
from chez_wire.login import handle_of
from tests.store.blank import blank

__all__ = ("NOW", "Household", "Member", "certificate", "household", "place_name")

NOW = 1_700_000_000_000
"""Unix milliseconds; time stands still, nothing may depend on it."""


@dataclass(frozen=True)
class Member:
    """One device: its keys, and the statements its store begins with."""

    name: str
    keys: DeviceKeys
    statements: tuple[Signed, ...]
    epochs: tuple[Epoch, ...]

    @property
    def heads(self) -> list[bytes]:
        """The statements it begins with that no other builds on: what its first entry names."""
        built_on = {head for statement in self.statements for head in statement.heads}
        return sorted({statement.hash for statement in self.statements} - built_on)


@dataclass(frozen=True)
class Household:
    """One person's private space, and the device it was made on."""

    person: bytes
    space: bytes
    epoch: Epoch
    handle: bytes
    founder: Member

    def store(self, member: Member, key: bytes, relays: int = 1) -> Connection:
        """A new store of this device, in memory, with the space in it and some relays known."""
        db = blank(key)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        store_space(db, self.space, "private", member.statements, member.epochs, self.handle, sent=False)
        db.executemany("INSERT INTO relay (n, url) VALUES (?, ?)", [(n, f"ws://{place_name(n)}")
                                                                    for n in range(1, relays + 1)])
        db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", [("person", self.person), ("private", 1)])
        db.execute("COMMIT")
        return db

    def replica(self, member: Member, db: Connection, random: Random, records: RecordStore | None = None,
                n: int = 1) -> Replica:
        """The sync core of a device over its store, for the space in row `n`."""
        store = records or RecordStore(member.keys.id)
        return Replica(load_space(db, n), member.keys, store, lambda: NOW, random.randbytes)

    def candidate(self, random: Random) -> DeviceKeys:
        """The keys of a device that is not certified yet."""
        return DeviceKeys.from_seeds(random.randbytes(32), random.randbytes(32))

    def admit(self, db: Connection, spaces: Sequence[SpaceKeys], issuer: Member, who: DeviceKeys, name: str) -> Member:
        """Certify a device in an open transaction of the issuer's store, the private space first (as pairing does)."""
        say_everywhere(db, spaces, certificate(spaces[0].membership, issuer.keys, who, name))
        announce(db)
        known = [Signed.read(row[0]) for row in db.execute("SELECT body FROM statement WHERE space = 1 ORDER BY n")]
        return Member(name, who, tuple(known), tuple(spaces[0].epochs.values()))

    def members(self, random: Random, count: int) -> list[Member]:
        """`count` devices, each certified by the one before it and by nobody's store."""
        made = [self.founder]
        while len(made) < count:
            keys = self.candidate(random)
            membership = Membership(self.space)
            membership.add(made[-1].statements)
            statement = certificate(membership, made[-1].keys, keys, f"device {len(made)}")
            made.append(Member(f"device {len(made)}", keys, (*made[-1].statements, statement),
                               (self.epoch,)))
        return made


def certificate(membership: Membership, issuer: DeviceKeys, who: DeviceKeys, name: str,
                heads: Sequence[bytes] | None = None) -> Signed:
    """A statement that `who` is a device of the space's person."""
    assert membership.create is not None
    person = membership.create.person
    seen = membership.person_heads(person) if heads is None else list(heads)
    return own_certificate(person, seen, issuer.signing, who, name)


def place_name(relay: int) -> str:
    """The name of the relay in a row, as it is dialled."""
    return f"relay{relay if relay > 1 else ''}.test:8787"


def household(random: Random) -> Household:
    """A person with one device."""
    root, recovery, relay, first, second = (random.randbytes(32) for _ in range(5))
    person = Person(crypto.SigningKey.from_seed(root), crypto.SealingKey.from_seed(recovery),
                    crypto.SigningKey.from_seed(relay), crypto.SigningKey.from_seed(random.randbytes(32)),
                    random.randbytes(32))
    keys = DeviceKeys.from_seeds(first, second)
    log = enrol(person, keys, "device 0", random.randbytes(32))
    space, statements, epoch = create_space("private", Kind.PRIVATE, person.root.public, log, keys, person.admin.seed,
                                            person.nonce + random.randbytes(64))
    return Household(person.root.public, space, epoch, handle_of(person.admin.public),
                     Member("device 0", keys, tuple(statements), (epoch,)))
