"""Writing the store's log back into its file, beside the commits instead of in one of them.

SQLite itself does it in whichever commit finds the log long: whoever waits for that commit waits until thousands of
pages are in the file and on the disk. Here a thread with a connection of its own does it, which keeps no commit
from the log. But the log begins anew only where all of it is in the file when a commit begins, and while others go
on writing it never is: so when the log is long and nearly all of it is done, the database's own thread does the rest,
between two commits. (`PRAGMA wal_checkpoint(PASSIVE)` both times: it waits for nobody, and nothing is lost where it
ends early, for what is not known to be in the file is in the log.)

Whoever reads the file (`check`, `backup`) holds the log from where it began to read: the log then grows by what
is written meanwhile, and is cut to its size when it begins anew.
"""

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from chez_relay.storage.integrity import SQLITE_ERRORS, said, unsound
from chez_relay.storage.requests import READING, AddChunk, AddEntry, AddItem, Expire, Request
from chez_wire.limits import MIB

__all__ = ("KEPT_BYTES", "LOG_PAGES", "PAGE_BYTES", "ROOM_BYTES", "WriteBack")

PAGE_BYTES: Final = 2048
"""Bytes of one page of a file that is made. A commit writes every page that it touches, and an entry touches one of its
space at least: half of SQLite's own size is half the writing."""

LOG_PAGES: Final = 16_384
"""Pages in the log (32 MiB) from which on it is to begin anew. What a crash leaves to read at the next start, and the
room that a store takes beside its file."""

PART_PAGES: Final = 2048
"""Pages, about, after which they are written back: many of them were written more than once, and are written back
once; but what the disk is given at once is what commits may have to wait for."""

ROUNDS: Final = 4
"""How often the thread goes on at once, so that little is left for the database's: a quarter of a part, no more than
one commit writes. Where more is written meanwhile than it writes back it never does."""

KEPT_BYTES: Final = 2 * LOG_PAGES * PAGE_BYTES
"""What the log's file keeps when it begins anew: making it longer costs more than writing over it."""

ROOM_BYTES: Final = 32 + (PART_PAGES + PART_PAGES // 4) * (24 + PAGE_BYTES)
"""Of a log that comes to as many pages as one that is written back in time (sqlite.org/fileformat2.html, 4.1)."""

HELD_SECONDS: Final = 2.0
"""How often it is tried again while somebody holds the log and nothing is written."""

EXPIRED_PAGES: Final = 8 * MIB // PAGE_BYTES
"""Pages that one `Expire` may touch."""

_log = logging.getLogger("chez_relay")


def _pages(request: Request) -> int:
    """How many pages a request writes, about: SQLite says how many there are in the log whenever it is written back."""
    match request:
        case AddEntry(envelope=data) | AddItem(item=data) | AddChunk(data=data):
            return 1 + len(data) // PAGE_BYTES
        case Expire():
            return EXPIRED_PAGES
        case _:
            return 0 if isinstance(request, READING) else 4


class WriteBack:
    """Keeps the log of the store's file at `path` short, on a thread of its own, until `close`."""

    def __init__(self, path: Path, *, log_pages: int = LOG_PAGES, part_pages: int = PART_PAGES) -> None:
        self.unsound = False
        """Whether the disk failed: what a commit has written beside it may be lost, whatever its fsync says."""
        self._path = path
        self._log_pages = log_pages
        self._part_pages = part_pages
        self._rest_pages = part_pages // 4
        self._changed = threading.Condition()
        self._written = 0  # pages, about, since the thread last began
        self._rest = False  # whether the database's thread is to do the rest
        self._held = False  # whether somebody reads what the log had earlier
        self._kept = 0
        self._failing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="write-back", daemon=True)
        self._thread.start()

    def wrote(self, requests: Sequence[Request]) -> None:
        """A group was committed."""
        with self._changed:
            self._written += sum(map(_pages, requests))
            if self._due:
                self._changed.notify()

    def finish(self, db: sqlite3.Connection) -> None:
        """Do the rest, if it is time: the log begins anew with the commit that is next on `db`."""
        if self._rest:
            self._pass(db)
            with self._changed:
                self._rest = False

    def close(self) -> None:
        """End the thread. What is left in the log is written back by whoever closes the file last, or opens it next."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def _due(self) -> bool:
        return self._written >= self._part_pages and not self._rest

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0)) as db:
                while self._waited():
                    self._write_back(db)
        except SQLITE_ERRORS as error:  # no file could be opened, or none closed: SQLite does it in commits then
            _log.error("the store's log can't be written back beside its commits: %s", said(error))

    def _waited(self) -> bool:
        """Wait until there is something to do; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._due, HELD_SECONDS if self._held else None)
            return not self._closed

    def _write_back(self, db: sqlite3.Connection) -> None:
        for _ in range(ROUNDS):
            with self._changed:
                self._written = 0
            log, done = self._pass(db)
            self._hold(log - done)
            if log < self._log_pages or self._held:
                return
            if self._written <= self._rest_pages:
                break
        with self._changed:
            self._rest = True

    def _pass(self, db: sqlite3.Connection) -> tuple[int, int]:
        """Write back what nobody holds: the pages in the log when it began, and how many of them are in the file.

        Nothing once the disk failed: what passes before had written may be lost, and the log must not begin anew.
        """
        if self.unsound:
            return 0, 0
        try:
            busy, log, done = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except SQLITE_ERRORS as error:  # of what was acknowledged all is in the log, and the next one does it again
            self.unsound = self.unsound or unsound(error)
            if not self._failing:
                _log.error("the store's log can't be written back into its file: %s", said(error))
            self._failing = True
            return 0, 0
        self._failing = False
        return (0, 0) if busy else (log, done)

    def _hold(self, pages: int) -> None:
        """Note whether somebody's reading keeps pages in the log, and say so where they become many."""
        many = 4 * self._log_pages
        if pages >= many > self._kept:
            _log.warning("somebody has been reading the store's file for long: its log grows until that ends",
                         extra={"numbers": {"log_bytes": pages * PAGE_BYTES}})
        self._kept = pages
        self._held = pages > self._rest_pages
