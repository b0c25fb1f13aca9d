"""Public spaces: whoever has the address reads, and only members write.

    reader key   X25519, derived from the nonce of the space's `Create` ("chez/1 public reader"): each epoch's
                 secret is sealed to it too, so that an address stays good over rotations
    address      chez-public: base64url of MessagePack [1, space, handle, relay, nonce, name], or
                 [2, space, handle, relay, nonce, name, pins] from who pins the relay's key

The nonce is known to who reads the space and to nobody else: a relay that was not given the
address reads nothing. A follower has no credential to post anything, not even of the kind
that each member of other spaces has (`Epoch.public_control`).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import InvalidValue
from chez.spaces.state import State
from chez.spaces.statements import Create, Kind
from chez.spaces.texts import from_text, to_text
from chez_wire.limits import MAX_TEXT
from chez_wire.pins import MAX_PINS, PinHash, hashes, pins_from

__all__ = ("Address", "reader_key", "reader_of")

SCHEME: Final = "chez-public"

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Form(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    space: Id
    handle: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    nonce: Id
    name: Annotated[str, Meta(min_length=1, max_length=128)]


class _Pinned(_Form, array_like=True, frozen=True, tag=2, forbid_unknown_fields=True):
    # A form of its own, so that an address without pins has the bytes it always had, and older programs read it.
    pins: Annotated[tuple[PinHash, ...], Meta(min_length=1, max_length=MAX_PINS)]


class Address(msgspec.Struct, frozen=True):
    """Where a public space is and what opens it, for everybody: `nonce` gives the reader key.

    `name` is what the space was called when the address was made, `pins` are those that who made it had for the relay.
    """

    space: bytes
    handle: bytes
    relay: str
    nonce: bytes
    name: str
    pins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<address of {self.name!r}>"

    @property
    def text(self) -> str:
        """The address as it is handed over; `Address.read` reads it."""
        fields = self.space, self.handle, self.relay, self.nonce, self.name
        return to_text(SCHEME, _Pinned(*fields, hashes(self.pins)) if self.pins else _Form(*fields))

    @classmethod
    def read(cls, text: str) -> "Address":
        """Raises `InvalidValue`."""
        what = "a public space's address"
        try:
            form = from_text(SCHEME, text, _Form, what)
        except InvalidValue:
            pinned = from_text(SCHEME, text, _Pinned, what)
            return cls(pinned.space, pinned.handle, pinned.relay, pinned.nonce, pinned.name, pins_from(pinned.pins))
        return cls(form.space, form.handle, form.relay, form.nonce, form.name)

    @property
    def key(self) -> crypto.SealingKey:
        """What opens the keys of each epoch."""
        return reader_key(self.nonce)

    def check(self, create: Create | None) -> None:
        """That it is the address of a public space that begins so. Raises `InvalidValue`."""
        if create is None or create.kind is not Kind.PUBLIC or create.nonce != self.nonce:
            raise InvalidValue("this is not the address of a public space", "Ask who publishes it for another one.")


def reader_key(nonce: bytes) -> crypto.SealingKey:
    """The key to which the secret of each epoch of a public space is sealed, from the nonce of its `Create`."""
    return crypto.SealingKey.from_seed(crypto.derive(nonce, "chez/1 public reader"))


def reader_of(state: State) -> crypto.SealingKey | None:
    """The reader key of a space, None if it is not public."""
    create = state.create
    return reader_key(create.nonce) if create is not None and create.kind is Kind.PUBLIC else None
