"""A publisher's key file: one 32-byte seed as hexadecimal text, and the card that its catalogue shows.

A key that succeeds another has the statements by which it came to be (`chez.succession`), which both keys signed.

It is JSON, readable by its owner only; a file that others may read is refused, as ssh does. It never goes into a home:
what the home composes, the command signs.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez.keyfiles import Seed, load_key_file, save_key_file
from chez.opendata.metadata import Card
from chez.succession import MAX_CHAIN, Succession, succeed

__all__ = ("PublisherKey", "key_words", "load_key", "save_key", "succeeding_key")


class PublisherKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    chez_publisher_key: Literal[1] = 1
    card: Card
    seed: Seed
    formerly: tuple[Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{2,1024}\Z")], ...] = ()
    """How this key came to be, the first step first: statements as MessagePack in hexadecimal."""

    def __repr__(self) -> str:
        return f"<publisher's key of {self.card.name!r}>"

    @property
    def signing(self) -> SigningKey:
        """Signs editions."""
        return SigningKey.from_seed(bytes.fromhex(self.seed))

    @property
    def successions(self) -> tuple[Succession, ...]:
        """How this key came to be, by the last statements. Raises `InvalidValue`."""
        try:
            return tuple(msgspec.msgpack.decode(bytes.fromhex(one), type=Succession)
                         for one in self.formerly[-MAX_CHAIN:])
        except (ValueError, msgspec.DecodeError):
            raise InvalidValue("the key file has something else in the place of a succession") from None


def succeeding_key(old: PublisherKey, seed: bytes) -> PublisherKey:
    """The key that goes on as `old` did, from 32 random bytes, with the same card. Raises `InvalidValue`."""
    said = succeed("publisher", old.signing, SigningKey.from_seed(seed), old.successions)
    return PublisherKey(card=old.card, seed=seed.hex(),
                        formerly=(*old.formerly, msgspec.msgpack.encode(said).hex()))


def key_words(public: bytes) -> str:
    """Six words that stand for a publisher's key, to compare aloud (`chez.spaces.safety`)."""
    from chez.spaces.safety import words_of  # the list of words takes its time

    return words_of("chez/1 publisher words", public)


def save_key(path: Path, key: PublisherKey) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`). Raises `StorageFailed`."""
    save_key_file(path, key)


def load_key(path: Path) -> PublisherKey:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`."""
    return load_key_file(path, PublisherKey, whose="a publisher's", made_by="chez publisher new-key")
