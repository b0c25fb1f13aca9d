"""A person's card: what others need to share a space with that person, and nothing secret.

    chez-card: base64url of MessagePack [1, person, [statement, ...]]

The statements are those about the person and its devices, each after all that it builds on:
signed, so that a card proves what it says of the person whose id it names. Whether that
is the person one means, only the two can tell each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez.errors import BadEntry, InvalidValue
from chez.spaces.membership import Membership
from chez.spaces.statements import MAX_STATEMENT, PersonBody, Signed
from chez.spaces.texts import from_text, to_text

__all__ = ("Card",)

SCHEME: Final = "chez-card"
ROOM: Final = 128 * 1024
"""Bytes of statements that a card has room for: those about some hundred devices, and read in seconds at worst."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Form(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    person: Id
    statements: Annotated[list[Annotated[bytes, Meta(max_length=MAX_STATEMENT + 128)]], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Card:
    """A person, with the name that it gives itself, and the devices that it has, by name."""

    person: bytes
    name: str
    devices: tuple[str, ...]
    statements: tuple[Signed, ...] = field(repr=False)

    @property
    def text(self) -> str:
        """The card as it is handed over; `Card.read` reads it."""
        return to_text(SCHEME, _Form(1, self.person, [statement.raw for statement in self.statements]))

    def joined(self, other: "Card") -> "Card":
        """What both cards of one person say: each may know of devices, and of removals, that the other does not.

        Raises `InvalidValue` when they are of two persons, or together too large.
        """
        if other.person != self.person:
            raise InvalidValue("these are the cards of two persons")
        membership = Membership(bytes(32))
        membership.add([*self.statements, *other.statements])
        return Card.of(self.person, membership.person_log(self.person))

    @classmethod
    def read(cls, text: str) -> "Card":
        """Check a card, all its signatures included. Raises `InvalidValue`."""
        form = from_text(SCHEME, text, _Form, "a card")
        try:
            statements = [Signed.read(raw) for raw in form.statements]
        except BadEntry as error:
            raise InvalidValue(f"the card is damaged, or forged: {error.message}", "Ask for it again.") from None
        return cls.of(form.person, statements)

    @classmethod
    def of(cls, person: bytes, statements: Sequence[Signed]) -> "Card":
        """The card of a person about whom these are the statements, each after what it builds on.

        Raises `InvalidValue` where they are not, and for a person who has no device any more.
        """
        if sum(len(statement.raw) for statement in statements) > ROOM:
            raise InvalidValue("this person's statements are too many for a card")
        membership = Membership(bytes(32))
        for statement in statements:
            if not isinstance(statement.body, PersonBody) or statement.body.person != person:
                raise InvalidValue("the card says something that is not about its person", "Ask for it again.")
            if membership.add([statement]) != [statement]:
                raise InvalidValue("the card is incomplete, or says something twice", "Ask for it again.")
        state = membership.state
        if person not in state.persons:
            raise InvalidValue("the card does not say how its person began", "Ask for it again.")
        devices = tuple(sorted(device.name for device in state.devices_of(person)))
        if not devices:
            raise InvalidValue("the card's person has no device any more", "Ask for a new card.")
        return cls(person, state.persons[person].name, devices, tuple(statements))
