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

from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed

__all__ = ("Seed", "load_key_file", "save_key_file")

Seed = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""32 bytes as hexadecimal text."""

_MOST: Final = 64 * 1024

T = TypeVar("T", bound=msgspec.Struct)


def save_key_file(path: Path, keys: msgspec.Struct) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`). Raises `StorageFailed`."""
    text = json.dumps(msgspec.to_builtins(keys), indent=1) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise HomeExists(f"{path} exists", "a key is never overwritten: choose another name") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}") from None


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
        raise StorageFailed(f"{path} can't be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotAllowed(f"{path} can be read by others", f"chmod 600 {path}; if others had it, make a new key")
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidValue(f"{path} is not {whose} key file") from None
