"""Key files of those who are no home: a provider's, an organisation's, a publisher's.

Each is a Struct of its own, whose seeds are hexadecimal text, written as JSON. It is readable by its owner only; a file
that others may read is refused, as ssh does.
"""

import json
import os
import stat
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from chez.crypto import SealingKey, SigningKey
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.shown import UNREADABLE, UNWRITABLE
from chez_wire.login import inbox_of

__all__ = ("Seed", "Seeds", "load_key_file", "save_key_file")

Seed = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""32 bytes as hexadecimal text."""

_MOST: Final = 64 * 1024

T = TypeVar("T", bound=msgspec.Struct)


class Seeds:
    """What the four seeds of a key file make, for a Struct that has them: who signs, and is written to in an inbox."""

    __slots__ = ()

    name: str
    signing_seed: Seed
    sealing_seed: Seed
    inbox_owner_seed: Seed
    inbox_writer_seed: Seed

    def __repr__(self) -> str:
        return f"<the keys of {self.name!r}>"

    @property
    def signing(self) -> SigningKey:
        """By which people know whose file it is."""
        return SigningKey.from_seed(bytes.fromhex(self.signing_seed))

    @property
    def sealing(self) -> SealingKey:
        """Opens what comes."""
        return SealingKey.from_seed(bytes.fromhex(self.sealing_seed))

    @property
    def inbox_owner(self) -> SigningKey:
        """Takes what comes from the relay."""
        return SigningKey.from_seed(bytes.fromhex(self.inbox_owner_seed))

    @property
    def inbox_writer(self) -> SigningKey:
        """Puts into the inbox; public by nature."""
        return SigningKey.from_seed(bytes.fromhex(self.inbox_writer_seed))

    @property
    def inbox(self) -> bytes:
        """The relay's name of the inbox (32 bytes)."""
        return inbox_of(self.inbox_owner.public)


def save_key_file(path: Path, keys: msgspec.Struct) -> None:
    """Write a new key file, readable by its owner only; whole or not at all. Never overwrites one (`HomeExists`).

    Raises `StorageFailed`.
    """
    text = json.dumps(msgspec.to_builtins(keys), indent=1) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # half a key keeps the next one from its place
            raise
    except FileExistsError:
        raise HomeExists(f"{path} exists", "a key is never overwritten: choose another name") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}", UNWRITABLE) from None


def load_key_file(path: Path, type: type[T], *, whose: str, made_by: str) -> T:
    """Read a key file of `whose` ("a provider's"), which the command `made_by` makes.

    Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MOST)
    except FileNotFoundError:
        raise NotFound(f"there is no key file {path}", f"{made_by} makes one") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotAllowed(f"{path} can be read by others", f"chmod 600 {path}; if others had it, make a new key")
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidValue(f"{path} is not {whose} key file",
                           "is it the right file? a key file is what the command that made the key wrote") from None
