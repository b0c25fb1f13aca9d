"""Persons, devices and statements for the tests of membership, all from small numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.spaces.statements import (
    Add,
    Body,
    Certify,
    Create,
    Cut,
    Enrol,
    Expel,
    Kind,
    NewEpoch,
    Previous,
    Remove,
    Rename,
    Retire,
    Role,
    SetRole,
    Signed,
    commitment_of,
    consent,
    sign_statement,
)

ZEROS = bytes(32)


def seed(*parts: object) -> bytes:
    return crypto.hash_fields("test", repr(parts).encode())


@dataclass
class Person:
    """A person with a root key and devices, of which none is certified yet."""

    name: str
    root: crypto.SigningKey = field(init=False)
    devices: list[DeviceKeys] = field(init=False)

    def __post_init__(self) -> None:
        self.root = crypto.SigningKey.from_seed(seed(self.name, "root"))
        self.devices = [DeviceKeys.from_seeds(seed(self.name, n, "sign"), seed(self.name, n, "seal")) for n in range(3)]

    @property
    def id(self) -> bytes:
        return self.root.public

    @property
    def recovery(self) -> crypto.SealingKey:
        return crypto.SealingKey.from_seed(seed(self.name, "recovery"))

    def enrol(self) -> Signed:
        return sign_statement(Enrol(self.id, self.recovery.public, seed(self.name, "relay"), ZEROS, self.name),
                              self.root)

    def certify(self, heads: Sequence[bytes], number: int, by: crypto.SigningKey, sealing: bytes = b"") -> Signed:
        device, salt = self.devices[number], seed(self.name, number, "salt")
        sealing = sealing or device.sealing.public
        word = consent(device.signing, commitment_of(self.id, salt), sealing)
        return sign_statement(Certify(self.id, list(heads), by.public, device.id, sealing, f"{self.name}{number}", salt,
                                      word), by)

    def expel(self, heads: Sequence[bytes], device: bytes, by: crypto.SigningKey, keep: Sequence[bytes] = ()) -> Signed:
        return sign_statement(Expel(self.id, list(heads), by.public, device, list(keep)), by)


@dataclass
class Author:
    """Says things in a space as a device."""

    space: bytes
    key: crypto.SigningKey

    def sign(self, body: Body) -> Signed:
        return sign_statement(body, self.key)

    def add(self, heads: Sequence[bytes], person: bytes, role: Role) -> Signed:
        return self.sign(Add(self.space, list(heads), self.key.public, person, role, b""))

    def remove(self, heads: Sequence[bytes], person: bytes, cuts: Sequence[Cut] = ()) -> Signed:
        return self.sign(Remove(self.space, list(heads), self.key.public, person, list(cuts)))

    def set_role(self, heads: Sequence[bytes], person: bytes, role: Role, cuts: Sequence[Cut] = ()) -> Signed:
        return self.sign(SetRole(self.space, list(heads), self.key.public, person, role, list(cuts)))

    def retire(self, heads: Sequence[bytes], cut: Cut) -> Signed:
        return self.sign(Retire(self.space, list(heads), self.key.public, cut))

    def rename(self, heads: Sequence[bytes], name: str) -> Signed:
        return self.sign(Rename(self.space, list(heads), self.key.public, name))

    def epoch(self, heads: Sequence[bytes], number: int, previous: Sequence[bytes],
              numbers: Mapping[bytes, int] | None = None) -> Signed:
        """Links are to epochs numbered one less, but for those whose `numbers` are given."""
        before = max(1, number - 1)  # no link to an epoch of the number 0 can be said
        links = [Previous(epoch, (numbers or {}).get(epoch, before), seed("sealed", epoch)) for epoch in previous]
        return self.sign(NewEpoch(self.space, list(heads), self.key.public, number, links, seed("secret"),
                                  seed("append"), seed("admin")))


def begin(person: Person, kind: Kind = Kind.SHARED, by: int = 0) -> list[Signed]:
    """A person with one device, and a space that it created: enrol, certify, create. With `by` 1 its second device did.

    The first one had let that in.
    """
    enrol = person.enrol()
    log = [enrol, person.certify([enrol.hash], 0, person.root)]
    if by:
        log.append(person.certify([log[-1].hash], by, person.devices[0].signing))
    device = person.devices[by].signing
    create = sign_statement(Create([log[-1].hash], device.public, person.id, kind, seed("first admin"), ZEROS, "ours"),
                            device)
    return [*log, create]
