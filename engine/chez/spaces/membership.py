"""Who belongs to a space: a function of the set of statements, not of their order.

Statements are held until what they build on is there; whoever holds the same set
computes the same devices and epochs. This version knows creation, certificates and
epochs; removals and roles extend the same fold.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chez.spaces.statements import Certify, Create, NewEpoch, Signed

__all__ = ("Device", "Membership")


@dataclass(frozen=True, slots=True)
class Device:
    """A certified device: its ids, who certified it, and the name it goes by."""

    id: bytes
    sealing: bytes
    person: bytes
    issuer: bytes
    name: str


@dataclass(slots=True)
class Membership:
    """The members of the space with this id; `add` statements in any order."""

    space: bytes
    create: Create | None = None
    devices: dict[bytes, Device] = field(default_factory=dict)
    epochs: dict[bytes, NewEpoch] = field(default_factory=dict)
    heads: set[bytes] = field(default_factory=set)
    _known: set[bytes] = field(default_factory=set)
    _held: dict[bytes, Signed] = field(default_factory=dict)
    _certificates: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, statements: Iterable[Signed]) -> list[Signed]:
        """Take statements in; returns those (of now and before) that took effect."""
        for statement in statements:
            if statement.hash not in self._known:
                self._held[statement.hash] = statement
        effective: list[Signed] = []
        progress = True
        while progress:
            progress = False
            # Sorted by hash: concurrent statements take effect in one order everywhere.
            for key in sorted(self._held):
                if self._accept(self._held[key]):
                    effective.append(self._held.pop(key))
                    progress = True
        return effective

    def _accept(self, statement: Signed) -> bool:
        body = statement.body
        if isinstance(body, Create):
            if statement.hash != self.space:
                return False
            self.create = body
            self._settle(statement, [])
            return True
        if self.create is None or body.space != self.space or not self._known.issuperset(body.heads):
            return False
        if body.issuer not in self.devices and not (isinstance(body, Certify) and body.issuer == self.create.person):
            return False
        if isinstance(body, Certify):
            if body.person != self.create.person:
                return False
            # A device certified twice keeps the certificate of the lower hash, whichever came first.
            if statement.hash < self._certificates.get(body.device, b"\xff" * 33):
                self._certificates[body.device] = statement.hash
                self.devices[body.device] = Device(body.device, body.sealing, body.person, body.issuer, body.name)
        elif isinstance(body, NewEpoch):
            self.epochs[statement.hash] = body
        self._settle(statement, body.heads)
        return True

    def _settle(self, statement: Signed, heads: list[bytes]) -> None:
        self._known.add(statement.hash)
        self.heads.difference_update(heads)
        self.heads.add(statement.hash)
