"""Pairing two devices over a relay's inboxes, as state machines without I/O.

    old -> new   [1, SPAKE2 message A, commitment to the person]
    new -> old   [2, SPAKE2 message B, confirmation B, sealed introduction]
    old -> new   [3, confirmation A, sealed bundle]     or   [4]  when the person says no

A bundle grows with what was said of the person and its devices. If its message is longer than an item of an inbox
may be, it comes in pieces: [5, how many, a part of its bytes] each, in their order.

The code, its inboxes and the key exchange are those of `sync.codes`; the old device shows the
code. Everything after the key exchange is sealed under a key of this exchange alone.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadPairing, NotAllowed
from chez.spaces.handover import Handover
from chez.spaces.statements import commitment_of, consent
from chez.sync.codes import Secrets, not_understood, showing, typing
from chez_wire.limits import MAX_INBOX_ITEM, MAX_INBOX_ITEMS, MAX_TEXT

__all__ = ("Bundle", "Introduction", "NewDevice", "OldDevice", "Refused", "RelayTold")

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Introduction(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the new device says of itself; the signature proves it holds the key.

    `consent` is its word that it belongs to the person behind the commitment in the hello, and reads by this sealing
    key.
    """

    device: Id
    sealing: Id
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    consent: Annotated[bytes, Meta(min_length=64, max_length=64)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class RelayTold(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A relay of the person's: whether everything is kept there too, the pins of its key, its operator's token."""

    url: Annotated[str, Meta(max_length=MAX_TEXT)]
    beside: bool
    pins: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    token: Annotated[str, Meta(max_length=MAX_TEXT)] = ""

    def __repr__(self) -> str:
        return f"<relay {self.url}>"


class Bundle(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the new device needs to be a device of the person: its spaces, the private one first, and its relays."""

    person: Id
    spaces: Annotated[list[Handover], Meta(min_length=1)]
    relay: str
    relays: Annotated[list[RelayTold], Meta(max_length=64)] = []

    def __repr__(self) -> str:
        return f"<Bundle for person {self.person.hex()[:8]}…, {len(self.spaces)} spaces>"


class _Hello(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    share: bytes
    commitment: Id


class _Reply(msgspec.Struct, array_like=True, frozen=True, tag=2, forbid_unknown_fields=True):
    share: bytes
    confirmation: bytes
    box: bytes


class _Welcome(msgspec.Struct, array_like=True, frozen=True, tag=3, forbid_unknown_fields=True):
    confirmation: bytes
    box: bytes


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=4, forbid_unknown_fields=True):
    """The person at the old device said no, or it waits for nobody any more."""


class _Piece(msgspec.Struct, array_like=True, frozen=True, tag=5, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=2, le=MAX_INBOX_ITEMS)]
    data: bytes


_PIECE: Final = MAX_INBOX_ITEM - 64
"""Bytes of a message in one piece of it: room for what is around them."""

_encode = msgspec.msgpack.encode


def _items(message: bytes) -> list[bytes]:
    """A message as items of an inbox: whole, or in pieces."""
    if len(message) <= MAX_INBOX_ITEM:
        return [message]
    pieces = [message[at : at + _PIECE] for at in range(0, len(message), _PIECE)]
    return [_encode(_Piece(len(pieces), piece)) for piece in pieces]


def _introduce(device: bytes, sealing: bytes, name: str, word: bytes) -> tuple[bytes, ...]:
    return device, sealing, name.encode(), word


class OldDevice:
    """The side that shows the code, of a device of `person`. `hello` is to be sent; then `receive`, then `admit`.

    `salt` opens the commitment that the hello makes to the person.
    """

    def __init__(self, code: str, entropy: bytes, person: bytes) -> None:
        self._spake = showing(code, "pairing", entropy)
        self._share = self._spake.start()
        self.salt = crypto.derive(entropy, "chez/1 pairing salt")
        self._commitment = commitment_of(person, self.salt)
        self.hello: bytes = _encode(_Hello(self._share, self._commitment))
        self._secrets: Secrets | None = None

    def receive(self, message: bytes) -> Introduction:
        """Take the one guess. Raises `BadPairing` when it is wrong: the code is burnt."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Reply)
            secrets = Secrets(self._spake.finish(reply.share), self._share, reply.share)
            if not crypto.equal(secrets.confirm_b, reply.confirmation):
                raise crypto.CryptoFailed
            introduction = msgspec.msgpack.decode(secrets.open(False, reply.box), type=Introduction)
            crypto.verify(introduction.device, introduction.signature, "chez/1 introduction",
                          *_introduce(introduction.device, introduction.sealing, introduction.name,
                                      introduction.consent))
            crypto.verify(introduction.device, introduction.consent, "chez/1 consent", self._commitment,
                          introduction.sealing)
        except not_understood():
            raise BadPairing("somebody answered with a wrong code; this code is burnt",
                             "If it was you, run `chez pair` again; if not, somebody tried to get in.") from None
        self._secrets = secrets
        return introduction

    def admit(self, bundle: Bundle) -> list[bytes]:
        """The items that let the new device in, in their order."""
        if self._secrets is None:
            raise BadPairing("no device has proved the code yet")
        return _items(_encode(_Welcome(self._secrets.confirm_a, self._secrets.seal(True, _encode(bundle)))))

    def refuse(self) -> bytes:
        """The message that sends it away."""
        return _encode(Refused())


class NewDevice:
    """The side that types the code: `answer` the hello, then read the `welcome`."""

    def __init__(self, code: str, signing: crypto.SigningKey, sealing: bytes, name: str, entropy: bytes) -> None:
        self._spake = typing(code, "pairing", entropy)
        self._signing, self._sealing, self._name = signing, sealing, name
        self._secrets: Secrets | None = None
        self._pieces: list[bytes] = []

    def answer(self, message: bytes) -> bytes:
        """The reply to the old device's hello. Raises `BadPairing`, `NotAllowed` when the code is over."""
        try:
            share = self._spake.start()
            hello = msgspec.msgpack.decode(message, type=_Hello | Refused)
            if isinstance(hello, Refused):
                raise NotAllowed("the code is over", "Ask for a new one.")
            self._secrets = Secrets(self._spake.finish(hello.share), hello.share, share)
        except not_understood():
            raise BadPairing("the other side does not speak this pairing", "Ask for a new code.") from None
        introduction = self._introduce(hello.commitment)
        return _encode(_Reply(share, self._secrets.confirm_b, self._secrets.seal(False, _encode(introduction))))

    def _introduce(self, commitment: bytes) -> Introduction:
        word = consent(self._signing, commitment, self._sealing)
        fields = _introduce(self._signing.public, self._sealing, self._name, word)
        return Introduction(self._signing.public, self._sealing, self._name, word,
                            self._signing.sign("chez/1 introduction", *fields))

    def welcome(self, message: bytes) -> Bundle | None:
        """What the old device gave, None while pieces of it are still to come. Raises `BadPairing`."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Welcome | Refused | _Piece)
            if isinstance(reply, _Piece):
                self._pieces.append(reply.data)
                if len(self._pieces) < reply.count:
                    return None
                reply = msgspec.msgpack.decode(b"".join(self._pieces), type=_Welcome | Refused)
            if isinstance(reply, Refused):
                raise BadPairing("the other device said no, or the code was not the right one", "Ask for a new one.")
            if self._secrets is None or not crypto.equal(self._secrets.confirm_a, reply.confirmation):
                raise crypto.CryptoFailed
            return msgspec.msgpack.decode(self._secrets.open(True, reply.box), type=Bundle)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, crypto.CryptoFailed):
            raise BadPairing("the other device does not prove the same code", "Check the code and try again.") from None
