"""A publisher's key file: one 32-byte seed as hexadecimal text, and the card that its catalogue shows.

It is JSON, readable by its owner only; a file that others may read is refused, as ssh does. It never goes into a home:
what the home composes, the command signs.
"""

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from mnemonic import Mnemonic

from chez.crypto import SigningKey, hash_fields
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.opendata.metadata import Card

__all__ = ("PublisherKey", "key_words", "load_key", "save_key")


class PublisherKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    chez_publisher_key: Literal[1] = 1
    card: Card
    seed: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

    def __repr__(self) -> str:
        return f"<publisher's key of {self.card.name!r}>"

    @property
    def signing(self) -> SigningKey:
        """Signs editions."""
        return SigningKey.from_seed(bytes.fromhex(self.seed))


def key_words(public: bytes) -> str:
    """Six words that stand for a publisher's key (66 bits of its hash), to compare aloud."""
    words = Mnemonic("english").wordlist
    number = int.from_bytes(hash_fields("chez/1 publisher words", public), "big")
    return " ".join(words[(number >> 11 * place) % 2048] for place in range(6))


def save_key(path: Path, key: PublisherKey) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`). Raises `StorageFailed`."""
    text = msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise HomeExists(f"{path} exists", "A key is never overwritten: choose another name.") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}") from None


def load_key(path: Path) -> PublisherKey:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(64 * 1024)
    except FileNotFoundError:
        raise NotFound(f"there is no key file {path}", "`chez publisher new-key` makes one.") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotAllowed(f"{path} can be read by others", f"chmod 600 {path}; if others had it, make a new key.")
    try:
        return msgspec.json.decode(text, type=PublisherKey)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidValue(f"{path} is not a publisher's key file") from None
