"""Pairing two devices over a relay's inboxes, as state machines without I/O.

    old -> new   [1, SPAKE2 message A, commitment to the person]
    new -> old   [2, SPAKE2 message B, confirmation B, sealed introduction]
    old -> new   [3, confirmation A, sealed bundle]     or   [4]  when the person says no

The code is `NAMEPLATE-word-word`: the nameplate finds the two inboxes, the words (22
bits) are the password of SPAKE2 (RFC 9382; the `spake2` library). A wrong guess fails the
confirmation, which the old device checks first and once: then the code is burnt. So one
code allows one guess in four million, however powerful the relay. Everything after the
key exchange is sealed under a key of this exchange alone.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from mnemonic import Mnemonic
from msgspec import Meta

from chez import crypto
from chez.errors import BadPairing, InvalidValue
from chez.spaces.handover import Handover
from chez.spaces.statements import commitment_of, consent
from chez_wire.login import inbox_of

__all__ = ("Bundle", "Introduction", "NewDevice", "OldDevice", "Refused", "mailbox", "new_code")

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
NAMEPLATES: Final = 100_000
_TO_NEW, _TO_OLD = "to new", "to old"


class Introduction(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the new device says of itself; the signature proves it holds the key.

    `consent` is its word that it belongs to the person behind the commitment in the hello.
    """

    device: Id
    sealing: Id
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    consent: Annotated[bytes, Meta(min_length=64, max_length=64)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Bundle(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the new device needs to be a device of the person: its spaces, the private one first."""

    person: Id
    spaces: Annotated[list[Handover], Meta(min_length=1)]
    relay: str

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
    """The person at the old device said no."""


_encode = msgspec.msgpack.encode


def _not_understood() -> tuple[type[Exception], ...]:
    """What is raised for a message that is none, the library's own errors included: half of all bytes are no share."""
    # Imported where it is used: it computes its group when it is loaded, 25 ms that every
    # command would pay, and few pair.
    from spake2.ed25519_basic import NotOnCurve
    from spake2.spake2 import SPAKEError

    return (SPAKEError, NotOnCurve, AssertionError, ValueError, msgspec.DecodeError, RecursionError,
            crypto.CryptoFailed)


def new_code(entropy: bytes) -> str:
    """A fresh code from 8 random bytes, like `48151-orbit-lemon`."""
    words = Mnemonic("english").wordlist
    number = int.from_bytes(entropy[:8], "big")
    number, plate = divmod(number, NAMEPLATES)
    number, first = divmod(number, len(words))
    return f"{plate:05d}-{words[first]}-{words[number % len(words)]}"


def _split(code: str) -> tuple[str, bytes]:
    parts = code.strip().lower().split("-")
    words = Mnemonic("english").wordlist
    if len(parts) != 3 or not parts[0].isdigit() or any(word not in words for word in parts[1:]):
        raise InvalidValue("this is not a pairing code", "It looks like 48151-orbit-lemon; `chez pair` shows one.")
    return parts[0], "-".join(parts).encode()


def mailbox(code: str, to_new: bool) -> tuple[crypto.SigningKey, bytes]:
    """The key and the name of one of the two inboxes. Whoever knows the nameplate has them."""
    plate, _ = _split(code)
    secret = crypto.hash_fields("chez/1 pairing nameplate", plate.encode())
    key = crypto.SigningKey.from_seed(crypto.derive(secret, "chez/1 pairing inbox " + (_TO_NEW if to_new else _TO_OLD)))
    return key, inbox_of(key.public)


class _Secrets:
    """What both sides derive from the exchange; the transcript is bound to the keys."""

    def __init__(self, key: bytes, share_a: bytes, share_b: bytes) -> None:
        root = crypto.keyed_hash(key, "chez/1 pairing", share_a, share_b)
        self.confirm_a = crypto.derive(root, "chez/1 pairing confirm a")
        self.confirm_b = crypto.derive(root, "chez/1 pairing confirm b")
        self._to_old = crypto.derive(root, "chez/1 pairing to old")
        self._to_new = crypto.derive(root, "chez/1 pairing to new")

    def seal(self, to_new: bool, plain: bytes) -> bytes:
        # A zero nonce is safe: each of these keys seals one message, ever.
        return crypto.encrypt(self._to_new if to_new else self._to_old, bytes(24), plain, b"")

    def open(self, to_new: bool, box: bytes) -> bytes:
        return crypto.decrypt(self._to_new if to_new else self._to_old, bytes(24), box, b"")


def _introduce(device: bytes, sealing: bytes, name: str, word: bytes) -> tuple[bytes, ...]:
    return device, sealing, name.encode(), word


class OldDevice:
    """The side that shows the code, of a device of `person`. `hello` is to be sent; then `receive`, then `admit`.

    `salt` opens the commitment that the hello makes to the person.
    """

    def __init__(self, code: str, entropy: bytes, person: bytes) -> None:
        _, password = _split(code)
        import spake2

        self._spake = spake2.SPAKE2_A(password, entropy_f=_fixed(entropy))
        self._share = self._spake.start()
        self.salt = crypto.derive(entropy, "chez/1 pairing salt")
        self._commitment = commitment_of(person, self.salt)
        self.hello: bytes = _encode(_Hello(self._share, self._commitment))
        self._secrets: _Secrets | None = None

    def receive(self, message: bytes) -> Introduction:
        """Take the one guess. Raises `BadPairing` when it is wrong: the code is burnt."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Reply)
            secrets = _Secrets(self._spake.finish(reply.share), self._share, reply.share)
            if not crypto.equal(secrets.confirm_b, reply.confirmation):
                raise crypto.CryptoFailed
            introduction = msgspec.msgpack.decode(secrets.open(False, reply.box), type=Introduction)
            crypto.verify(introduction.device, introduction.signature, "chez/1 introduction",
                          *_introduce(introduction.device, introduction.sealing, introduction.name,
                                      introduction.consent))
            crypto.verify(introduction.device, introduction.consent, "chez/1 consent", self._commitment)
        except _not_understood():
            raise BadPairing("somebody answered with a wrong code; this code is burnt",
                             "If it was you, run `chez pair` again; if not, somebody tried to get in.") from None
        self._secrets = secrets
        return introduction

    def admit(self, bundle: Bundle) -> bytes:
        """The message that lets the new device in."""
        if self._secrets is None:
            raise BadPairing("no device has proved the code yet")
        return _encode(_Welcome(self._secrets.confirm_a, self._secrets.seal(True, _encode(bundle))))

    def refuse(self) -> bytes:
        """The message that sends it away."""
        return _encode(Refused())


class NewDevice:
    """The side that types the code: `answer` the hello, then read the `welcome`."""

    def __init__(self, code: str, signing: crypto.SigningKey, sealing: bytes, name: str, entropy: bytes) -> None:
        _, password = _split(code)
        import spake2

        self._spake = spake2.SPAKE2_B(password, entropy_f=_fixed(entropy))
        self._signing, self._sealing, self._name = signing, sealing, name
        self._secrets: _Secrets | None = None

    def answer(self, message: bytes) -> bytes:
        """The reply to the old device's hello. Raises `BadPairing`."""
        try:
            share = self._spake.start()
            hello = msgspec.msgpack.decode(message, type=_Hello)
            self._secrets = _Secrets(self._spake.finish(hello.share), hello.share, share)
        except _not_understood():
            raise BadPairing("the other side does not speak this pairing", "Ask for a new code.") from None
        introduction = self._introduce(hello.commitment)
        return _encode(_Reply(share, self._secrets.confirm_b, self._secrets.seal(False, _encode(introduction))))

    def _introduce(self, commitment: bytes) -> Introduction:
        word = consent(self._signing, commitment)
        fields = _introduce(self._signing.public, self._sealing, self._name, word)
        return Introduction(self._signing.public, self._sealing, self._name, word,
                            self._signing.sign("chez/1 introduction", *fields))

    def welcome(self, message: bytes) -> Bundle:
        """What the old device gave. Raises `BadPairing`."""
        try:
            reply = msgspec.msgpack.decode(message, type=_Welcome | Refused)
            if isinstance(reply, Refused):
                raise BadPairing("the other device said no")
            if self._secrets is None or not crypto.equal(self._secrets.confirm_a, reply.confirmation):
                raise crypto.CryptoFailed
            return msgspec.msgpack.decode(self._secrets.open(True, reply.box), type=Bundle)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, crypto.CryptoFailed):
            raise BadPairing("the other device does not prove the same code", "Check the code and try again.") from None


def _fixed(entropy: bytes) -> Callable[[int], bytes]:
    """Randomness for the library: a stream from 32 bytes, so that a run can be replayed."""
    counter = iter(range(1 << 30))

    def stream(count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += crypto.derive(entropy, f"chez/1 pairing entropy {next(counter)}")
        return out[:count]

    return stream
