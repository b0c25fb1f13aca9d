"""What a set of membership statements amounts to: devices, members and roles, epochs.

A `State` is never changed: applying a statement gives another one, which shares all that
the statement did not touch. Statements are applied in their canonical order (a statement
after all it builds on; those that know nothing of each other by depth, then hash), and
each rule below gives the same result for concurrent statements in either order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from chez.spaces.statements import (
    Add,
    Archive,
    Certify,
    Create,
    Enrol,
    Expel,
    Invite,
    Move,
    NewEpoch,
    Pick,
    Remove,
    Rename,
    RenameDevice,
    Retire,
    Revoke,
    Role,
    SetRole,
    Signed,
)

__all__ = ("Device", "Member", "Order", "State")

K = TypeVar("K")
V = TypeVar("V")

_NONE: Mapping[Any, Any] = MappingProxyType({})


class Order(Protocol):
    """The causal order that statements form."""

    def before(self, a: bytes, b: bytes) -> bool:
        """Whether statement `b` builds on statement `a`, directly or through others."""


@dataclass(frozen=True, slots=True)
class Device:
    """A certified device: its ids, who certified it, and the name it goes by."""

    id: bytes
    sealing: bytes
    person: bytes
    issuer: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A person who belongs to a space."""

    person: bytes
    role: Role
    name: str


class State(msgspec.Struct, frozen=True):
    """Who belongs to a person and to a space, as a set of statements says."""

    persons: Mapping[bytes, Enrol] = {}
    certificates: Mapping[bytes, Mapping[bytes, Certify]] = {}
    """By device, the certificates that took effect, by hash."""
    names: Mapping[bytes, str] = {}
    """By device, the name that it was given after its certificate."""
    expelled: frozenset[bytes] = frozenset()
    retired: frozenset[bytes] = frozenset()
    create: Create | None = None
    grants: Mapping[bytes, Mapping[bytes, Role]] = {}
    """By person, what gives it a role, by hash; of several, the lowest counts."""
    removals: Mapping[bytes, tuple[bytes, ...]] = {}
    """By person, the statements that removed it."""
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
    picks: Mapping[tuple[bytes, int], bytes] = {}
    """By author and sequence number, the hash of the entry that an owner picked."""
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
        body = found[min(found)]
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

    # --- changes ------------------------------------------------------------------------

    def apply(self, statement: Signed, order: Order, targets: frozenset[bytes] = frozenset(),
              lowers: bool = False) -> "State":
        """The state after a statement that takes effect.

        `targets` are the devices that an `Expel` concerns, `lowers` whether a `SetRole` takes rights away.
        """
        key, body = statement.hash, statement.body
        match body:
            case Enrol():
                return self._enrol(key, body)
            case Certify():
                held = self.certificates.get(body.device, _NONE)
                return replace(self, certificates=_with(self.certificates, body.device, _with(held, key, body)))
            case Expel():
                return self._expel(key, body.person, targets)
            case RenameDevice():
                return replace(self, names=_with(self.names, body.device, body.name))
            case Create():
                # Whoever was expelled by then, and made it not knowing, has its first keys.
                missed = {one for one in self.expulsions.get(body.person, ()) if not order.before(one, key)}
                return replace(self, create=body, name=body.name, admins=(body.admin,),
                               grants=_with(self.grants, body.person, {key: Role.OWNER}),
                               admissions=self.admissions | {body.person}, uncovered=self.uncovered | missed)
            case Add():
                return self._add(key, body, order)
            case SetRole():
                granted = self._grant(key, body.person, body.role, order)
                return replace(granted, uncovered=self.uncovered | {key}) if lowers else granted
            case Remove():
                known = (*self.removals.get(body.person, ()), key)
                grants = {person: held for person, held in self.grants.items() if person != body.person}
                return replace(self, grants=grants, uncovered=self.uncovered | {key},
                               removals=_with(self.removals, body.person, known))
            case Retire():
                return replace(self, retired=self.retired | {body.cut.device}, uncovered=self.uncovered | {key})
            case NewEpoch():
                return self._epoch(key, body, order)
            case _:
                return self._describe(key, body)

    def _describe(self, key: bytes, body: Any) -> "State":
        match body:
            case Rename():
                return replace(self, name=body.name)
            case Archive():
                return replace(self, archived=body.archived)
            case Move():
                return replace(self, admins=(*(admin for admin in self.admins if admin != body.admin), body.admin))
            case Invite():
                return replace(self, invites=_with(self.invites, key, body))
            case Revoke():
                return replace(self, invites={hash: invite for hash, invite in self.invites.items()
                                              if hash != body.invite})
            case Pick():
                return replace(self, picks=_with(self.picks, (body.entry.device, body.entry.sequence),
                                                 body.entry.hash))
        raise AssertionError(f"a statement without a rule: {body}")  # pragma: no cover

    def _enrol(self, key: bytes, body: Enrol) -> "State":
        # A root that enrols itself twice: the lower nonce counts, whichever came first.
        known = self.persons.get(body.person)
        if known is not None and known.nonce <= body.nonce:
            return self
        return replace(self, persons=_with(self.persons, body.person, body))

    def _expel(self, key: bytes, person: bytes, targets: frozenset[bytes]) -> "State":
        # Who was let in by somebody who did not know of it got keys for the expelled device too.
        uncovered = self.uncovered | {key} if person in self.admissions else self.uncovered
        known = (*self.expulsions.get(person, ()), key)
        return replace(self, expelled=self.expelled | targets, uncovered=uncovered,
                       expulsions=_with(self.expulsions, person, known))

    def _add(self, key: bytes, body: Add, order: Order) -> "State":
        missed = {one for one in self.expulsions.get(body.person, ()) if not order.before(one, key)
                  and not all(order.before(one, head) for head in self.epoch_heads)}
        origins = _with(self.origins, body.person, body.invite.hex()) if body.invite else self.origins
        return replace(self._grant(key, body.person, body.role, order), origins=origins,
                       uncovered=self.uncovered | missed, admissions=self.admissions | {body.person})

    def _grant(self, key: bytes, person: bytes, role: Role, order: Order) -> "State":
        if not all(order.before(removal, key) for removal in self.removals.get(person, ())):
            return self  # somebody removed the person at the same time
        held = {hash: other for hash, other in self.grants.get(person, _NONE).items() if not order.before(hash, key)}
        return replace(self, grants=_with(self.grants, person, held | {key: role}))

    def _epoch(self, key: bytes, body: NewEpoch, order: Order) -> "State":
        heads = {head for head in self.epoch_heads if not order.before(head, key)}
        return replace(self, epochs=_with(self.epochs, key, body), epoch_heads=frozenset(heads | {key}),
                       uncovered=frozenset(one for one in self.uncovered if not order.before(one, key)))


def _with(mapping: Mapping[K, V], key: K, value: V) -> dict[K, V]:
    return {**mapping, key: value}
