"""Sealed pieces as files of a home: whole or absent, each named by the hash of its bytes.

    blobs/ab/cdef…     one piece (the id in hexadecimal)
    blobs/new/…        being written; emptied when the home opens
    blobs/damaged/…    what failed its hash: kept aside, never read again

Everything here is ciphertext, names included. The calls block: they run in a thread, and
may run side by side, for a file appears by one rename and two that write the same piece
write the same bytes. That a file is there says nothing: the database does, and only once
`settle` has made names durable too.
"""

import errno
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chez.store.disk import disk_error
from chez_durable.folders import sync_folder
from chez_wire.chunks import chunk_id
from chez_wire.limits import ID_BYTES, MAX_CHUNK

__all__ = ("FOLDER", "DamagedPiece", "PieceFiles", "UnreadablePiece")

FOLDER: Final = "blobs"
_NEW, _DAMAGED = "new", "damaged"

NAMES: Final = 512
"""Ids that `names` gives at a time."""

READINGS: Final = 3
"""Of a file before it is given up: a disk fails now and then, and another thread may just have mended the file."""


class DamagedPiece(Exception):
    """A file's bytes are not those of its name; it was put aside."""


class UnreadablePiece(DamagedPiece):
    """The disk does not give a file's bytes, which may be good: it stays, until a fetched one replaces it."""


@dataclass(slots=True)
class PieceFiles:
    """The pieces in one folder, which is made when it is first written to."""

    folder: Path
    _unsettled: set[Path] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def path(self, id: bytes) -> Path:
        """Where a piece is, or would be."""
        name = id.hex()
        return self.folder / name[:2] / name[2:]

    def write(self, id: bytes, data: bytes) -> None:
        """Store a piece, its bytes durable. Its name is after `settle`. Raises `StorageFailed`."""
        target = self.path(id)
        new = self.folder / _NEW / secrets.token_hex(16)
        try:
            for folder in (self.folder, new.parent, target.parent):
                if not folder.is_dir():
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._unsettle(folder.parent)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            new.replace(target)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise disk_error(error, "an attachment can't be stored") from None
        self._unsettle(target.parent)

    def settle(self) -> None:
        """Make durable what was written by name, and what was removed. Raises `StorageFailed`."""
        # Under the lock to its end: whoever finds nothing to do knows that it is done.
        with self._lock:
            try:
                for folder in self._unsettled:
                    sync_folder(folder)
            except OSError as error:
                raise disk_error(error, "an attachment can't be stored") from None
            self._unsettled.clear()

    def has(self, id: bytes) -> bool:
        """Whether there is a file of this name, whatever is in it."""
        return self.path(id).exists()

    def read(self, id: bytes) -> bytes | None:
        """A piece's bytes, None when it is not there.

        Raises `DamagedPiece` when they are others, `UnreadablePiece` on a bad sector, `StorageFailed` when the disk
        refuses.
        """
        unreadable = False
        for _ in range(READINGS):
            try:
                with self.path(id).open("rb") as file:
                    data = file.read(MAX_CHUNK + 1)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.EIO:
                    raise disk_error(error, "an attachment can't be read") from None
                unreadable = True
                continue
            if chunk_id(data) == id:
                return data
            unreadable = False
        if unreadable:
            raise UnreadablePiece
        self._set_aside(id)
        raise DamagedPiece

    def remove(self, id: bytes) -> None:
        """Remove a piece; it may be gone already. It is for good after `settle`. Raises `StorageFailed`."""
        path = self.path(id)
        try:
            path.unlink()
        except FileNotFoundError:  # a process may have removed it that was killed before it settled
            if not path.parent.is_dir():
                return
        except OSError as error:
            raise disk_error(error, "an attachment can't be removed") from None
        self._unsettle(path.parent)

    def clear_new(self) -> None:
        """Remove what was being written when a process ended; nobody may be writing now.

        It may have made folders, and been killed before it settled: their names are made durable with the next ones.
        """
        if self.folder.is_dir():
            self._unsettle(self.folder.parent)
            self._unsettle(self.folder)
        with suppress(OSError):
            for file in (self.folder / _NEW).iterdir():
                file.unlink(missing_ok=True)

    def names(self) -> Iterator[list[bytes]]:
        """The ids of all pieces there are, some at a time."""
        for prefix in range(256):
            try:
                names = os.listdir(self.folder / f"{prefix:02x}")
            except OSError:
                continue
            ids = [id for name in names if (id := _id(prefix, name)) is not None]
            for at in range(0, len(ids), NAMES):
                yield ids[at : at + NAMES]

    def _unsettle(self, folder: Path) -> None:
        with self._lock:
            self._unsettled.add(folder)

    def _set_aside(self, id: bytes) -> None:
        aside = self.folder / _DAMAGED
        with suppress(OSError):
            aside.mkdir(mode=0o700, exist_ok=True)
            self.path(id).replace(aside / id.hex())


def _id(prefix: int, name: str) -> bytes | None:
    """The id that a file's name is, None when it is no name of ours."""
    try:
        id = bytes((prefix,)) + bytes.fromhex(name)
    except ValueError:
        return None
    return id if len(id) == ID_BYTES and id.hex()[2:] == name else None
