"""Letting a person into a space by a code, as state machines without I/O.

    host -> guest   [1, SPAKE2 message A]
    guest -> host   [2, SPAKE2 message B, confirmation B, sealed [person, statements, device, signature]]
    host -> guest   [3, confirmation A, sealed space link]     or   [4]  when the host says no; instead
                    of the first message too, when the code is over

The code, its inboxes and the key exchange are those of `sync.codes`; the host shows the code.
The guest's card goes one way; the space link, once the host's device let its person in, the
other. The signature, by a device of the card's person, is over the exchange: so a card that
somebody found is no use here either.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, BadPairing, InvalidValue, NotAllowed
from chez.keys.device import DeviceKeys
from chez.spaces.card import Card
from chez.spaces.invitations import shown_card
from chez.spaces.statements import MAX_STATEMENT
from chez.sync.codes import Secrets, not_understood, showing, typing
from chez_wire.limits import MAX_INBOX_ITEM

__all__ = ("Guest", "Host")

_PURPOSE: Final = "invitation"

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Hello(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    share: bytes


class _Reply(msgspec.Struct, array_like=True, frozen=True, tag=2, forbid_unknown_fields=True):
    share: bytes
    confirmation: bytes
    box: bytes


class _Welcome(msgspec.Struct, array_like=True, frozen=True, tag=3, forbid_unknown_fields=True):
    confirmation: bytes
    box: bytes


class _Refused(msgspec.Struct, array_like=True, frozen=True, tag=4, forbid_unknown_fields=True):
    pass


class _Introduction(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    person: Id
    statements: Annotated[list[Annotated[bytes, Meta(max_length=MAX_STATEMENT + 128)]], Meta(min_length=1)]
    device: Id
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


_encode = msgspec.msgpack.encode


class Host:
    """The side that shows the code. `hello` is to be sent; then `receive`, then `welcome` or `refuse`."""

    def __init__(self, code: str, entropy: bytes) -> None:
        self._spake = showing(code, _PURPOSE, entropy)
        self._share: bytes = self._spake.start()
        self.hello: bytes = _encode(_Hello(self._share))
        self._secrets: Secrets | None = None

    def receive(self, message: bytes) -> Card:
        """Take the one guess: the guest's card. Raises `BadPairing` when it is wrong: the code is burnt."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Reply)
            secrets = Secrets(self._spake.finish(reply.share), self._share, reply.share, _PURPOSE)
            if not crypto.equal(secrets.confirm_b, reply.confirmation):
                raise crypto.CryptoFailed
            shown = msgspec.msgpack.decode(secrets.open(False, reply.box), type=_Introduction)
            crypto.verify(shown.device, shown.signature, "chez/1 invitation guest", self._share, reply.share,
                          shown.person)
            card = shown_card(shown.person, shown.statements, shown.device)
        except BadEntry:
            raise _burnt() from None
        except not_understood():
            raise _burnt() from None
        self._secrets = secrets
        return card

    def welcome(self, link: str) -> bytes:
        """The message that tells the guest where the space is."""
        if self._secrets is None:
            raise BadPairing("nobody has proved the code yet")
        return _encode(_Welcome(self._secrets.confirm_a, self._secrets.seal(True, link.encode())))

    def refuse(self) -> bytes:
        """The message that sends the guest away."""
        return _encode(_Refused())


def _burnt() -> BadPairing:
    return BadPairing("somebody answered with a wrong code; this code is burnt",
                      "If it was your guest, make another; if not, somebody tried to get in.")


class Guest:
    """The side where the code is typed: `answer` the hello, then read the `welcome`."""

    def __init__(self, code: str, card: Card, device: DeviceKeys, entropy: bytes) -> None:
        self._spake = typing(code, _PURPOSE, entropy)
        self._card, self._device = card, device
        self._secrets: Secrets | None = None

    def answer(self, message: bytes) -> bytes:
        """The reply to the host's hello.

        Raises `BadPairing`, `NotAllowed` when the code is over, `InvalidValue` for a card that is too long.
        """
        try:
            share: bytes = self._spake.start()
            hello = msgspec.msgpack.decode(message, type=_Hello | _Refused)
            if isinstance(hello, _Refused):
                raise NotAllowed("the code is over", "Ask for a new one.")
            self._secrets = Secrets(self._spake.finish(hello.share), hello.share, share, _PURPOSE)
        except not_understood():
            raise BadPairing("the other side does not speak this", "Ask for a new code.") from None
        word = self._device.signing.sign("chez/1 invitation guest", hello.share, share, self._card.person)
        shown = _Introduction(self._card.person, [one.raw for one in self._card.statements], self._device.id, word)
        reply = _encode(_Reply(share, self._secrets.confirm_b, self._secrets.seal(False, _encode(shown))))
        if len(reply) > MAX_INBOX_ITEM:
            raise InvalidValue("too much was said about your devices for a code",
                               "Give the owner your card instead: `chez card`.")
        return reply

    def welcome(self, message: bytes) -> str:
        """The space link. Raises `BadPairing`, and `NotAllowed` when the host said no."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Welcome | _Refused)
            if isinstance(reply, _Refused):
                raise NotAllowed("the other side said no, or the code was not the right one", "Ask for a new one.")
            if self._secrets is None or not crypto.equal(self._secrets.confirm_a, reply.confirmation):
                raise crypto.CryptoFailed
            return self._secrets.open(True, reply.box).decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, crypto.CryptoFailed):
            raise BadPairing("the other side does not prove the same code", "Check the code and try again.") from None
