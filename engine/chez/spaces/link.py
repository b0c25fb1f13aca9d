"""A space link: where a space is kept, for who was let in and does not have it yet.

    chez-space: base64url of MessagePack [1, space, handle, relay, name, pins]

There is no secret in it: the keys lie at the relay, sealed for each member's devices. Who pins that relay's key says so
in it (`chez_wire.pins`, the hashes): whoever comes by the link is told nothing by another one.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez.spaces.texts import from_text, to_text
from chez_wire.limits import MAX_TEXT
from chez_wire.pins import MAX_PINS, PinHash, hashes, pins_from

__all__ = ("SpaceLink",)

SCHEME: Final = "chez-space"

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Form(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    space: Id
    handle: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    pins: Annotated[tuple[PinHash, ...], Meta(max_length=MAX_PINS)] = ()


class SpaceLink(msgspec.Struct, frozen=True):
    """A space, what its relay calls it, the relay, the name that the space had, and the pins of the relay's key."""

    space: bytes
    handle: bytes
    relay: str
    name: str
    pins: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The link as it is handed over; `SpaceLink.read` reads it."""
        return to_text(SCHEME, _Form(1, self.space, self.handle, self.relay, self.name, hashes(self.pins)))

    @classmethod
    def read(cls, text: str) -> "SpaceLink":
        """Raises `InvalidValue`."""
        form = from_text(SCHEME, text, _Form, "a space link")
        return cls(form.space, form.handle, form.relay, form.name, pins_from(form.pins))
