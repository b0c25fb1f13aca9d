"""Whether what is read from the file is what was written there.

SQLite notices a page whose structure is broken and nothing else, so each row says itself what
it must hold: an entry, a chunk and an item by their hash, entries by the heads that fold,
the other rows by a seal over their fields. A seal is a checksum against failing disks; whoever can
write the file can make one.
"""

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Final

__all__ = (
    "INCARNATION_BYTES", "SQLITE_ERRORS", "Damaged", "advice", "blob", "intact", "item_digest", "said", "seal",
    "unsound",
)

SEAL_BYTES: Final = 16
INCARNATION_BYTES: Final = 32

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's calls raise. The second: its message quotes a damaged schema, which is no text any more."""

_NOT_WRITTEN: Final = ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
"""What SQLite calls a write that the system refused for anything but a full disk, as a used up quota is or a file that
may get no longer, and a file beside the store that can't grow, whatever the reason."""


class Damaged(Exception):
    """A row does not hold what was written there: nothing of it may be handed out."""


def blob(value: object) -> bytes:
    """A column that must hold bytes: damage turns one kind of value into another. Raises `Damaged`."""
    if type(value) is not bytes:
        raise Damaged
    return value


def seal(*fields: bytes | float) -> bytes:
    """16 bytes that fit these fields alone (BLAKE2b, RFC 7693)."""
    return hashlib.blake2b(repr(fields).encode(), digest_size=SEAL_BYTES, person=b"chez.relay.row").digest()


def item_digest(item: bytes) -> bytes:
    """What an item of an inbox is known by, and held against when it is read (BLAKE2b-256)."""
    return hashlib.blake2b(item, digest_size=32).digest()


def intact(given: bytes, fields: Iterable[bytes | float]) -> None:
    """Raise `Damaged` unless this is the fields' seal."""
    if seal(*fields) != given:
        raise Damaged


def unsound(error: BaseException) -> bool:
    """Whether the disk or the file is failing: then nothing may be written any more.

    After a failed fsync the kernel may drop the dirty pages and report success the next time (the
    "fsyncgate" of 2018), and a change to a tree whose pages are damaged can destroy more of it. A write that the system
    refuses loses nothing: what it was part of is undone, and written whole once there is room again.
    """
    name = getattr(error, "sqlite_errorname", None) or ""
    return isinstance(error, UnicodeDecodeError) or (name not in _NOT_WRITTEN and name.startswith(
        ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")))


def said(error: BaseException) -> str:
    """An error of SQLite's in its own words, which name neither content nor keys; those about text quote it."""
    return str(error) if isinstance(error, sqlite3.Error) else "its schema is damaged"


def advice(error: BaseException) -> str:
    """What to do about an error of SQLite's."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_BUSY"):
        return "another program has the store open for itself: end that, then try again"
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return "run this as the relay's user, where it may write: SQLite has a file beside the store while it reads it"
    if isinstance(error, UnicodeDecodeError) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "it is damaged, or no store: look at the disk, and put a backup in its place (docs/operations.md)"
    if name in _NOT_WRITTEN:
        return "check the disk's space, the quota that the relay's user has of it, and its health"
    return "check the disk's space and health"
