"""The log of a store (WAL), where SQLite leaves it to us to make it durable.

What is *shown first* (`store.database`) is committed with `synchronous=NORMAL`: SQLite syncs
nothing, and writes nothing back into the file by itself. Both are done here, in this order.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlcipher3

from chez.errors import StorageFailed
from chez.store.disk import disk_error
from chez_durable.logs import make_room, make_sure, write_over

__all__ = ("Log",)

CHECKPOINT: Final = 1000
"""Pages in the log from which on it is written back."""

ROOM: Final = 32 + (CHECKPOINT + 64) * (24 + 4096)
"""Bytes of a log of so many pages, and of the transaction with which it gets there (sqlite.org/fileformat2.html, 4.1).
"""


@dataclass(slots=True)
class Log:
    """The log of the store at `path`, for its writer."""

    path: Path
    unsynced: bool = False
    """Whether something that was committed failed to become durable."""
    _lags: bool | None = None
    """Whether the writer's connection commits without a sync now; None when that is not known."""

    def make_sure(self) -> None:
        """Make sure of a log that was found, before SQLite opens it (`chez_durable.logs`). Raises `StorageFailed`."""
        try:
            make_sure(Path(f"{self.path}-wal"))
        except OSError as error:
            raise disk_error(error, "what was written last can't be made durable") from None

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
                    write_over(log)
                os.fdatasync(log)
            finally:
                os.close(log)
        except OSError as error:
            raise StorageFailed(f"the disk refuses: {error.strerror}", "Check that the disk is sound.") from None
        self.unsynced = False

    def make_room(self) -> None:
        """Have the log as long as it grows before it is written back: to be called between two transactions."""
        make_room(Path(f"{self.path}-wal"), ROOM)

    def write_back(self, db: Any) -> None:
        """Write the log back into the file when it is long, as SQLite does by itself after other commits.

        It would sync the log first, and tell nobody if that failed: so not before ours succeeded.
        """
        try:
            if db.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()[1] >= CHECKPOINT:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlcipher3.Error:  # what was committed is durable; the next time tries again
            self.unsynced = True
