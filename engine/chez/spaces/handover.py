"""All that a device needs to open a space: handed to a new device, a member, another device of one's own."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chez.errors import BadEntry
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.rotation import holds
from chez.spaces.statements import MAX_STATEMENT, Signed
from chez_wire.limits import MAX_TEXT

__all__ = ("EpochKeys", "Handover")

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seed = Annotated[bytes, Meta(max_length=32)]
"""A seed of 32 bytes, or none for who may not have it."""


class EpochKeys(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The keys of one epoch, as far as the receiver may have them."""

    id: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    secret: Id
    append: Seed
    admin: Seed

    def __repr__(self) -> str:
        return f"<keys of epoch {self.number}>"

    @classmethod
    def of(cls, epoch: Epoch) -> "EpochKeys":
        """All that is here of an epoch."""
        return cls(epoch.id, epoch.number, epoch.secret, epoch.append_seed or b"", epoch.admin_seed or b"")

    @property
    def epoch(self) -> Epoch:
        """The epoch; whether it is one, its statement says."""
        return Epoch(self.id, self.number, self.secret, self.append or None, self.admin or None)


class Handover(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A space with its statements, the keys of its epochs, and the relay that it is at (or none)."""

    space: Id
    relay: Annotated[str, Meta(max_length=MAX_TEXT)]
    statements: list[Annotated[bytes, Meta(max_length=MAX_STATEMENT + 128)]]
    epochs: list[EpochKeys]

    def __repr__(self) -> str:
        return f"<handover of space {self.space.hex()[:8]}…, {len(self.epochs)} epochs>"

    def check(self) -> tuple[Membership, list[Signed], list[Epoch]]:
        """Its members, statements and epochs, each checked against the others. Raises `BadEntry`.

        Who handed it over is trusted with that, not with what it says.
        """
        statements = [Signed.read(raw) for raw in self.statements]
        membership = Membership(self.space)
        membership.add(statements)
        known = membership.state.epochs
        epochs = [keys.epoch for keys in self.epochs]
        if membership.create is None or not epochs:
            raise BadEntry("a space was handed over without its beginning, or without keys")
        if not all(epoch.id in known and holds(epoch, known[epoch.id]) for epoch in epochs):
            raise BadEntry("keys were handed over that are not those of the space's epochs")
        return membership, statements, epochs
