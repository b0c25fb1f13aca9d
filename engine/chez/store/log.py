"""The log of a store (WAL), where SQLite leaves it to us to make it durable.

What is *shown first* (`store.database`) is committed with `synchronous=NORMAL`: SQLite syncs
nothing, and writes nothing back into the file by itself. Both are done here, in this order.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlcipher3

from chez.errors import StorageFailed
from chez.store.disk import disk_error, sync_folder

__all__ = ("Log",)

CHECKPOINT: Final = 1000
"""Pages in the log from which on it is written back."""

ROOM: Final = 32 + (CHECKPOINT + 64) * (24 + 4096)
"""Bytes of a log of so many pages, and of the transaction with which it gets there (sqlite.org/fileformat2.html, 4.1).
"""

SPARE: Final = 8
"""Of what the disk has left, the room is one in so many at most."""


@dataclass(slots=True)
class Log:
    """The log of the store at `path`, for its writer."""

    path: Path
    unsynced: bool = False
    """Whether something that was committed failed to become durable."""
    _lags: bool | None = None
    """Whether the writer's connection commits without a sync now; None when that is not known."""

    def make_sure(self) -> None:
        """Write a log that was found into its place again, and sync it: what it shows may not be on the disk.

        Whoever wrote it was killed before its sync, or after one that failed (see `sync`): a power cut would take what
        it shows, and all that is written behind it. For who has the store alone, before SQLite opens it. Raises
        `StorageFailed`.
        """
        try:
            log = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # there is none, or SQLite tells why it can't be read
            return
        try:
            if _write_over(log):
                os.fsync(log)
                sync_folder(self.path.parent)
        except OSError as error:
            raise disk_error(error, "what was written last can't be made durable") from None
        finally:
            os.close(log)

    def commits(self, db: Any, *, synced: bool) -> None:
        """The next commits sync the log by themselves, or leave it to `sync` and `write_back`."""
        if self._lags is synced or self._lags is None:
            db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT if synced else 0}")
            self._lags = not synced

    def sync(self) -> None:
        """Make what was committed durable. Raises `StorageFailed`.

        After an fsync that failed the next one says yes to what the kernel gave up (Rebello and
        others, "Can Applications Recover from fsync Failures?", USENIX ATC 2020), so the log is
        written over with what it holds before it is tried again.
        """
        again, self.unsynced = self.unsynced, True
        try:
            log = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
            try:
                if again:
                    _write_over(log)
                os.fdatasync(log)
            finally:
                os.close(log)
        except OSError as error:
            raise StorageFailed(f"the disk refuses: {error.strerror}", "Check that the disk is sound.") from None
        self.unsynced = False

    def make_room(self) -> None:
        """Write zeros behind the log's end, as far as it grows before it is written back, and sync them.

        A commit that lets a file grow makes its sync write the new size as well, into the file system's own journal: a
        quarter more on ext4. To be called between two transactions, by who writes them; SQLite reads up to the first
        frame that is not of this log. Where it can't be done, or the disk has little room, commits only take longer.
        """
        with suppress(OSError):
            log = os.open(f"{self.path}-wal", os.O_WRONLY | os.O_CLOEXEC)
            try:
                end, disk = os.fstat(log).st_size, os.fstatvfs(log)
                if end < ROOM < disk.f_bavail * disk.f_frsize // SPARE:
                    _write_zeros(log, end)
            finally:
                os.close(log)

    def write_back(self, db: Any) -> None:
        """Write the log back into the file when it is long, as SQLite does by itself after other commits.

        It would sync the log first, and tell nobody if that failed: so not before ours succeeded.
        """
        try:
            if db.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()[1] >= CHECKPOINT:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlcipher3.Error:  # what was committed is durable; the next time tries again
            self.unsynced = True


def _write_zeros(file: int, end: int) -> None:
    """Make a log that ends there as long as it comes to be. It is as it was when that fails, with `OSError`."""
    try:
        if os.pwrite(file, bytes(ROOM - end), end) < ROOM - end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, end)
        raise


def _write_over(file: int) -> int:
    """Write a file's bytes into their places again, so that they are to be synced; how many there are."""
    at = 0
    while data := os.pread(file, 1 << 20, at):
        at += os.pwrite(file, data, at)
    return at
