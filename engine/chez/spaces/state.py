"""What a set of membership statements amounts to: devices, members and roles, epochs.

A `State` is never changed: further statements give another one (`folding.Fold`), which shares all
that they did not touch.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from chez.spaces.statements import Certify, Create, Enrol, Invite, NewEpoch, Role

__all__ = ("Device", "Member", "State")

_NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


class Device(msgspec.Struct, frozen=True):
    """A certified device: its ids, who certified it, and the name it goes by."""

    id: bytes
    sealing: bytes
    person: bytes
    issuer: bytes
    name: str


class Member(msgspec.Struct, frozen=True):
    """A person who belongs to a space."""

    person: bytes
    role: Role
    name: str


class State(msgspec.Struct, frozen=True):
    """Who belongs to a person and to a space, as a set of statements says."""

    persons: Mapping[bytes, Enrol] = {}
    certificates: Mapping[bytes, Mapping[bytes, Certify]] = {}
    """By device, the certificates that took effect, by hash: each after those that it builds on."""
    names: Mapping[bytes, str] = {}
    """By device, the name that it was given after its certificate."""
    expelled: frozenset[bytes] = frozenset()
    retired: frozenset[bytes] = frozenset()
    create: Create | None = None
    grants: Mapping[bytes, Mapping[bytes, Role]] = {}
    """By person, what gives it a role, by hash; of several, the lowest counts."""
    admissions: frozenset[bytes] = frozenset()
    """The persons who were ever let in."""
    expulsions: Mapping[bytes, tuple[bytes, ...]] = {}
    """By person, the statements that expelled devices of it."""
    epochs: Mapping[bytes, NewEpoch] = {}
    epoch_heads: frozenset[bytes] = frozenset()
    """The epochs that no other follows: more than one when owners made them at once."""
    uncovered: frozenset[bytes] = frozenset()
    """Removals that no epoch knows of yet: whom they concern can still read what is new."""
    name: str = ""
    archived: bool = False
    admins: tuple[bytes, ...] = ()
    """The first admin keys of the handles that the space had, the current one last."""
    invites: Mapping[bytes, Invite] = {}
    origins: Mapping[bytes, str] = {}
    """By person, the hash of the invitation that it came by, in hexadecimal."""

    # --- questions ----------------------------------------------------------------------

    def role(self, person: bytes) -> Role | None:
        """A person's role here; None for who is no member."""
        grants = self.grants.get(person)
        return min(grants.values()) if grants else None

    def active(self, device: bytes) -> bool:
        """Whether a device is certified and not expelled."""
        return device in self.certificates and device not in self.expelled

    def persons_of(self, device: bytes) -> frozenset[bytes]:
        """Whose device it is: one person's, unless it consented to two."""
        return frozenset(certificate.person for certificate in self.certificates.get(device, _NONE).values())

    def right(self, device: bytes) -> Role | None:
        """What a device may do in the space: its person's role while it takes part, else None."""
        if not self.active(device) or device in self.retired:
            return None
        roles = [role for person in self.persons_of(device) if (role := self.role(person)) is not None]
        return max(roles, default=None)

    def device(self, id: bytes) -> Device | None:
        """A device that was ever certified, whether it still is."""
        found = self.certificates.get(id)
        if not found:
            return None
        body = next(iter(found.values()))  # who certified it later, itself perhaps, did not let it in
        return Device(id, body.sealing, body.person, body.issuer, self.names.get(id, body.name))

    @property
    def devices(self) -> dict[bytes, Device]:
        """The devices that take part in the space."""
        return {id: device for id in self.certificates
                if self.right(id) is not None and (device := self.device(id)) is not None}

    def devices_of(self, person: bytes) -> Iterator[Device]:
        """A person's devices that are not expelled."""
        for id in self.certificates:
            if self.active(id) and person in self.persons_of(id) and (device := self.device(id)) is not None:
                yield device

    @property
    def members(self) -> dict[bytes, Member]:
        """The members with their roles, by person."""
        return {person: Member(person, role, self.persons[person].name)
                for person in self.grants if (role := self.role(person)) is not None}

    @property
    def rotation_owed(self) -> bool:
        """Whether an owner must start a new epoch: somebody who was removed holds the current keys."""
        return len(self.epoch_heads) > 1 or bool(self.uncovered)
