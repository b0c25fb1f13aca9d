"""Short codes that two devices agree on a key by: SPAKE2 over two inboxes at a relay.

The code is `NAMEPLATE-word-word`: the nameplate finds the two inboxes, the words (22
bits) are the password of SPAKE2 (RFC 9382; the `spake2` library). A wrong guess fails the
confirmation, which the side that shows the code checks first and once: then the code is
burnt. So one code allows one guess in four million, however powerful the relay.

Each purpose ("pairing", "invitation") has labels of its own, so its inboxes and keys too:
a code for one is worth nothing for the other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from mnemonic import Mnemonic

from chez import crypto
from chez.errors import InvalidValue
from chez_wire.login import inbox_of

if TYPE_CHECKING:
    import spake2

__all__ = ("Purpose", "Secrets", "mailbox", "new_code", "not_understood", "showing", "typing")

Purpose = Literal["pairing", "invitation"]
NAMEPLATES: Final = 100_000
_TO_TYPING, _TO_SHOWING = "to new", "to old"


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
        raise InvalidValue("this is no code", "One looks like 48151-orbit-lemon: `chez pair` shows one for a device of "
                           "yours, `chez space invite --code` one for a guest.")
    return parts[0], "-".join(parts).encode()


def mailbox(code: str, to_typing: bool, purpose: Purpose = "pairing") -> tuple[crypto.SigningKey, bytes]:
    """The key and the name of one of the two inboxes, to who types the code or to who shows it.

    Whoever knows the nameplate has them. Raises `InvalidValue` for what is no code.
    """
    plate, _ = _split(code)
    secret = crypto.hash_fields(f"chez/1 {purpose} nameplate", plate.encode())
    direction = _TO_TYPING if to_typing else _TO_SHOWING
    key = crypto.SigningKey.from_seed(crypto.derive(secret, f"chez/1 {purpose} inbox {direction}"))
    return key, inbox_of(key.public)


def showing(code: str, purpose: Purpose, entropy: bytes) -> "spake2.SPAKE2_A":
    """SPAKE2 on the side that shows a code; `entropy` is 32 random bytes."""
    import spake2

    return spake2.SPAKE2_A(_split(code)[1], entropy_f=_fixed(entropy, purpose))


def typing(code: str, purpose: Purpose, entropy: bytes) -> "spake2.SPAKE2_B":
    """SPAKE2 on the side where a code is typed; `entropy` is 32 random bytes."""
    import spake2

    return spake2.SPAKE2_B(_split(code)[1], entropy_f=_fixed(entropy, purpose))


def not_understood() -> tuple[type[Exception], ...]:
    """What is raised for a message that is none, the library's own errors included: half of all bytes are no share."""
    # Imported where it is used: it computes its group when it is loaded, 25 ms that every
    # command would pay, and few pair.
    from spake2.ed25519_basic import NotOnCurve
    from spake2.spake2 import SPAKEError

    return (SPAKEError, NotOnCurve, AssertionError, ValueError, msgspec.DecodeError, RecursionError,
            crypto.CryptoFailed)


class Secrets:
    """What both sides derive from the exchange; the transcript is bound to the keys."""

    def __init__(self, key: bytes, share_a: bytes, share_b: bytes, purpose: Purpose = "pairing") -> None:
        root = crypto.keyed_hash(key, f"chez/1 {purpose}", share_a, share_b)
        self.confirm_a = crypto.derive(root, f"chez/1 {purpose} confirm a")
        self.confirm_b = crypto.derive(root, f"chez/1 {purpose} confirm b")
        self._to_showing = crypto.derive(root, f"chez/1 {purpose} {_TO_SHOWING}")
        self._to_typing = crypto.derive(root, f"chez/1 {purpose} {_TO_TYPING}")

    def seal(self, to_typing: bool, plain: bytes) -> bytes:
        """Seal the one message of a direction."""
        # A zero nonce is safe: each of these keys seals one message, ever.
        return crypto.encrypt(self._to_typing if to_typing else self._to_showing, bytes(24), plain, b"")

    def open(self, to_typing: bool, box: bytes) -> bytes:
        """Undo `seal`. Raises `CryptoFailed`."""
        return crypto.decrypt(self._to_typing if to_typing else self._to_showing, bytes(24), box, b"")


def _fixed(entropy: bytes, purpose: Purpose) -> Callable[[int], bytes]:
    """Randomness for the library: a stream from 32 bytes, so that a run can be replayed."""
    counter = iter(range(1 << 30))

    def stream(count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += crypto.derive(entropy, f"chez/1 {purpose} entropy {next(counter)}")
        return out[:count]

    return stream
