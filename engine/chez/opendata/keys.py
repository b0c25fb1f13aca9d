"""A publisher's key file: one 32-byte seed as hexadecimal text, and the card that its catalogue shows.

It is JSON, readable by its owner only; a file that others may read is refused, as ssh does. It never goes into a home:
what the home composes, the command signs.
"""

from pathlib import Path
from typing import Literal

import msgspec

from chez.crypto import SigningKey
from chez.keyfiles import Seed, load_key_file, save_key_file
from chez.opendata.metadata import Card

__all__ = ("PublisherKey", "key_words", "load_key", "save_key")


class PublisherKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    chez_publisher_key: Literal[1] = 1
    card: Card
    seed: Seed

    def __repr__(self) -> str:
        return f"<publisher's key of {self.card.name!r}>"

    @property
    def signing(self) -> SigningKey:
        """Signs editions."""
        return SigningKey.from_seed(bytes.fromhex(self.seed))


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
