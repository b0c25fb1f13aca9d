"""A space link: where a space is kept, for who was let in and does not have it yet.

    chez-space: base64url of MessagePack [1, space, handle, relay, name]

There is no secret in it: the keys lie at the relay, sealed for each member's devices.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chez.spaces.texts import from_text, to_text
from chez_wire.limits import MAX_TEXT

__all__ = ("SpaceLink",)

SCHEME: Final = "chez-space"

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Form(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    space: Id
    handle: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    name: Annotated[str, Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class SpaceLink:
    """A space, what its relay calls it, the relay, and the name that the space had."""

    space: bytes
    handle: bytes
    relay: str
    name: str

    @property
    def text(self) -> str:
        """The link as it is handed over; `SpaceLink.read` reads it."""
        return to_text(SCHEME, _Form(1, self.space, self.handle, self.relay, self.name))

    @classmethod
    def read(cls, text: str) -> "SpaceLink":
        """Raises `InvalidValue`."""
        form = from_text(SCHEME, text, _Form, "a space link")
        return cls(form.space, form.handle, form.relay, form.name)
