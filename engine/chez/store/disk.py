"""What goes wrong with files, as typed errors, whoever reports it; files that get a name, and that are erased."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from chez.errors import Damaged, StorageFailed
from chez_durable.folders import sync_folder

__all__ = ("disk_error", "erase", "is_of_the_file", "name_file", "storage_error")

_OF_THE_FILE: Final = frozenset((8, 10, 11, 13, 14, 26))
"""SQLITE_READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB (sqlite.org/rescode.html)."""


def disk_error(error: OSError, what: str) -> StorageFailed:
    """The typed error for what the disk reports; `what` could not be done."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFailed(f"{what}: the disk is full", "Free some space and try again.")
    return StorageFailed(f"{what}: {error.strerror or error}", "Check that the disk is sound and may be written.")


def storage_error(error: BaseException) -> Damaged | StorageFailed:
    """The typed error for what SQLite reports."""
    if isinstance(error, MemoryError):
        return StorageFailed("there is not enough memory for this", "It was not written. Try again.")
    text = str(error)
    if any(sign in text for sign in ("not a database", "malformed", "hmac check", "out of memory")):
        return Damaged(f"the store of this home does not open or is damaged ({text})",
                       "Restore a backup, or join again from another device: the relay still holds the entries.")
    if "full" in text:
        return StorageFailed("the disk is full", "This was not written. Free some space and try again.")
    return StorageFailed(f"the disk refuses: {text}", "Check that the home's folder is writable and its disk sound.")


def is_of_the_file(error: BaseException) -> bool:
    """Whether what SQLite reports is about the file or its disk, and not about a statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_FILE


def name_file(file: Path, path: Path) -> None:
    """Rename a file, but never over what is there, or came there meanwhile. Raises FileExistsError, OSError."""
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: an empty file holds the name meanwhile
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            file.replace(path)
        except OSError:
            path.unlink()
            raise
        return
    with suppress(OSError):  # it has its name
        file.unlink()


def erase(path: Path) -> None:
    """Overwrite a file that holds a key and remove it, durably; nothing where there is none. Raises OSError.

    That the disk keeps no older copy of its blocks is more than a program can see to.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.pwrite(handle, os.urandom(os.fstat(handle).st_size), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    path.unlink()
    sync_folder(path.parent)
