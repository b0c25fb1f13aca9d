"""The relay's store on SQLite: one file, fsync before anything is acknowledged.

WAL with `synchronous=FULL`: a commit returns after its pages are on the disk. A lock
(of a file and of its folder) keeps a second relay away, because spaces are remembered between commits; readers
(`census.py`, `copies.py`, `checking.py`) may open the file beside a running relay.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite

from chez_durable.folders import make_folders
from chez_durable.logs import make_room, make_sure
from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage import READING, Expire, Expired, Outcome, Quotas, Request, Result
from chez_relay.storage.copies import FILE_NAME, taken_up, with_log, without_anothers_log
from chez_relay.storage.integrity import INCARNATION_BYTES, SQLITE_ERRORS, advice, said
from chez_relay.storage.migrations import migrate, steps
from chez_relay.storage.tables import Tables
from chez_relay.storage.writeback import KEPT_BYTES, LOG_PAGES, PAGE_BYTES, ROOM_BYTES, WriteBack
from chez_wire.limits import MAX_FRAME

__all__ = ("SqliteStorage",)

CACHE_KIB: Final = 16 * 1024

_BEYOND: Final = 1 << 62
"""The byte of the store's file that a relay locks: no store is so large, and SQLite locks some at a gibibyte."""

_AS_THEY_ARE: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = ((bytes, bytes), (type(None), {}.get), (bool, int))
"""Parameters that are bound as they are, each with a built-in call that says so: of each other one the module asks how
it is to be bound, and raises and drops two errors to find that nobody has a say."""


class SqliteStorage:
    """`Storage` on one SQLite file; make it with `SqliteStorage.open`."""

    def __init__(
        self, db: aiosqlite.Connection, raw: sqlite3.Connection, tables: Tables, incarnation: bytes,
        lock: Sequence[int], writing_back: WriteBack, folder: Path,
    ) -> None:
        self._db = db
        self._raw = raw
        self._tables = tables
        self._writing_back = writing_back
        self._incarnation = incarnation
        self._lock = lock
        self._folder = folder
        self._names = (str(folder / FILE_NAME), str(folder / f"{FILE_NAME}-wal"))
        self._files = _there(self._names)
        # Closed last: with any that is closed the system takes SQLite's locks of the file away.
        self._file = os.open(self._names[0], os.O_RDONLY | os.O_CLOEXEC)
        self._away = False
        self._failed = False
        self._changed = False  # whether the last group wrote anything

    @classmethod
    async def open(
        cls, folder: Path, *, quotas: Quotas | None = None, clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
        writing_back: Callable[[Path], WriteBack] = WriteBack,
    ) -> "SqliteStorage":
        """Open the store in `folder`, making or migrating it.

        Raises `StoreUnusable` when the file belongs to something else, a newer version or
        a running relay, `StorageFailed` when the disk refuses.
        """
        try:
            # With its name all that is acknowledged would be lost.
            make_folders(folder, 0o700)
            lock = _take_lock(folder)
        except OSError as error:
            named = Path(error.filename or folder)
            within = f"{named.name} in " if named.parent == folder else ""
            raise StorageFailed(f"{within}the data folder {folder} can't be used: {error.strerror}",
                                "name another with --data, or let this user write there") from error
        opened: list[tuple[sqlite3.Connection, bytes] | Exception] = []

        def connector() -> sqlite3.Connection:
            try:
                made = _connect(folder / FILE_NAME, random)
                opened.append(made)
                return made[0]
            except Exception as error:
                # Raised here, it would leave aiosqlite's thread unjoined, to fail later on
                # a loop that may be closed: open something that can be closed in order.
                opened.append(error)
                return sqlite3.connect(":memory:")

        try:
            db = await aiosqlite.Connection(connector, iter_chunk_size=64)
            if isinstance(opened[0], Exception):
                await db.close()
                raise opened[0]
        except SQLITE_ERRORS as error:
            _give_up(lock)
            raise _translated(error) from error
        except BaseException:
            _give_up(lock)
            raise
        raw, incarnation = opened[0]
        tables = Tables(raw, quotas or Quotas(), clock, partial(_room, folder))
        return cls(db, raw, tables, incarnation, lock, writing_back(folder / FILE_NAME), folder)

    @property
    def incarnation(self) -> bytes:
        """32 random bytes made when the file was created, or taken up from a copy."""
        return self._incarnation

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin(requests, lambda found: None if outcome.done() else outcome.set_result(found))
        found = await outcome
        if isinstance(found, BaseException):
            raise found
        return found

    def begin(self, requests: Sequence[Request], done: Callable[[Outcome], None]) -> None:
        """As `PromptStorage.begin`."""
        loop, reads = asyncio.get_running_loop(), all(isinstance(request, READING) for request in requests)
        if not self._lock:
            loop.call_soon(done, StorageFailed("the store is closed", "start the relay again"))
        elif self._unsound and not reads:
            loop.call_soon(done, _failed_earlier())
        else:
            # aiosqlite's public calls cost one thread hop for each statement, and a future: what its thread is given
            # here runs a whole group in one hop. This is the only place that uses it.
            self._db._tx.put_nowait((None, partial(self._run, loop, requests, partial(self._told, reads, done))))

    def _run(self, loop: asyncio.AbstractEventLoop, requests: Sequence[Request],
             told: Callable[[Sequence[Request], Outcome], None]) -> None:
        """In the database's thread: perform a group, and have that told on the loop."""
        try:
            results = self._group(requests)
        except BaseException as error:
            loop.call_soon_threadsafe(told, requests, error)
            return
        loop.call_soon_threadsafe(told, requests, results)
        self._writing_back.wrote(requests)  # whoever waits is told before

    def _told(self, reads: bool, done: Callable[[Outcome], None], requests: Sequence[Request], found: Outcome) -> None:
        try:
            found = self._outcome(requests, found, reads=reads)
        except Exception as error:  # somebody waits for it
            found = error
        done(found)

    def _outcome(self, requests: Sequence[Request], found: Outcome, *, reads: bool) -> Outcome:
        if isinstance(found, BaseException):
            if not isinstance(found, SQLITE_ERRORS):
                return found
            self._failed = self._failed or not reads
            failed = _translated(found)
            failed.__cause__ = found
            return failed
        if self._writing_back.unsound and not reads:
            return _failed_earlier()
        return self._weighed(requests, found) if self._failed and not reads else found

    def _weighed(self, requests: Sequence[Request], results: list[Result]) -> list[Result]:
        """After writing failed: what was written by somebody's wish is proof that it works again.

        An `Expire` is not, nor what is there already; where nothing else comes, there has to be room.
        """
        wished = self._changed and not all(isinstance(request, (Expire, *READING)) for request in requests)
        if not wished and not _takes(self._folder, MAX_FRAME):
            return [replace(one, able=False) if isinstance(one, Expired) else one for one in results]
        self._failed = False
        return results

    @property
    def _unsound(self) -> bool:
        return self._failing or self._away

    @property
    def _failing(self) -> bool:
        return self._tables.unsound or self._writing_back.unsound

    def _group(self, requests: Sequence[Request]) -> list[Result]:
        self._writing_back.finish(self._raw)
        before = self._raw.total_changes
        results = self._tables.perform(requests)
        self._changed = self._raw.total_changes > before
        # What is written now is gone with this process, and where a copy was written over the file the two are mixed.
        if self._changed and (_there(self._names) != self._files or not with_log(self._file)):
            self._away = True
            raise StorageFailed("the store's file was removed, or replaced, while the relay serves it",
                                "end the relay, put what it is to have in place, and start it again")
        return results

    async def close(self) -> None:
        """Close the file and give up the lock."""
        lock, self._lock = self._lock, ()  # what is asked for from now on comes too late
        if lock:
            if not self._unsound:
                with suppress(*SQLITE_ERRORS):  # nothing is lost where it can't be written
                    await self._db._execute(self._tables.settle)  # type: ignore[no-untyped-call]
            # On the database's thread: to begin another needs modules, which who is out of files can't read.
            await self._db._execute(self._writing_back.close)  # type: ignore[no-untyped-call]
            reader = _reader(self._folder / FILE_NAME) if self._failing else None
            await self._db.close()
            if reader is not None:
                reader.close()
            os.close(self._file)
            _give_up(lock)


def _reader(path: Path) -> sqlite3.Connection | None:
    """Whoever closes a store before this is closed leaves its log, of which the next start has all written back.

    Whoever closes it last writes the log back from where the last pass ended, and removes it: what a pass before that
    had written may be lost with a sync that failed. Who only reads does not. None where it can't be opened.
    """
    try:
        reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return None
    with suppress(*SQLITE_ERRORS):
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return reader


def _room(folder: Path) -> int:
    """Bytes that can still be written there; none where the system does not tell."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _takes(folder: Path, size: int) -> bool:
    """Whether so many bytes can be written there. A quota tells nobody how much is left of it: it is tried."""
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(size))
            trial.flush()
    except OSError:
        return False
    return True


def _there(names: Sequence[str]) -> list[tuple[int, int] | None]:
    """Which files names lead to."""
    found: list[tuple[int, int] | None] = []
    for name in names:
        try:
            told = os.stat(name)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((told.st_dev, told.st_ino))
    return found


def _take_lock(folder: Path) -> Sequence[int]:
    """Take a data folder: by a file in it, and by itself, for who removes the file makes room for another of its name.

    Raises `StoreUnusable`, `OSError`.
    """
    file = os.open(folder / "relay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    taken = [file, os.open(folder, os.O_RDONLY | os.O_CLOEXEC)]
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _lock_folder(taken[1])
    except OSError:
        _give_up(taken)
        raise StoreUnusable("another relay uses this data folder", "stop it, or use another --data") from None
    try:
        taken += _lock_store(folder / FILE_NAME)
    except BlockingIOError:
        _give_up(taken)
        raise StoreUnusable(f"another relay uses this {FILE_NAME}, from another folder that has a link to it",
                            "stop it, or put a copy there that `chez-relay backup` makes") from None
    return taken


def _lock_store(path: Path) -> Sequence[int]:
    """Take the store's file too: two folders can have one file by a link, and each of them a log of its own for it.

    By a byte that no store reaches and SQLite does not lock, and for as long as the descriptor is open: SQLite's own
    locks are the process's, and go with any descriptor of the file that is closed. Raises `BlockingIOError`.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # SQLite tells why
        return ()
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _BEYOND, 1, 0))
    except BlockingIOError:
        os.close(file)
        raise
    except OSError:  # a file system without such locks
        pass
    return (file,)


def _lock_folder(folder: int) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a network's file system locks no folders: there the file is all there is
        pass


def _give_up(lock: Sequence[int]) -> None:
    for descriptor in lock:
        os.close(descriptor)


def _connect(path: Path, random: Callable[[int], bytes]) -> tuple[sqlite3.Connection, bytes]:
    for kind, same in _AS_THEY_ARE:
        sqlite3.register_adapter(kind, same)
    without_anothers_log(path)
    # The owner's alone to read, also in a folder that others may enter; SQLite's other files have the mode of this one.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageFailed(f"the store {path} can't be written: {error.strerror}", "let this user write it") from error
    log = path.with_name(f"{path.name}-wal")
    try:
        make_sure(log)
    except OSError as error:
        raise StorageFailed(f"{log} can't be written anew: {error.strerror}",
                            "check the disk's space and health, then start the relay again") from error
    db = sqlite3.connect(path, isolation_level=None, cached_statements=128)
    try:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        # `writeback` sees to the log; SQLite does where that can't keep up.
        db.execute(f"PRAGMA wal_autocheckpoint = {4 * LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {KEPT_BYTES}")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        migrate(db, path, steps())
        # Of another length it is damaged, and no device would go on with a relay that names it: this is another store.
        db.execute("DELETE FROM facts WHERE name = 'incarnation' AND (typeof(value) <> 'blob' OR length(value) <> ?)",
                   (INCARNATION_BYTES,))
        db.execute("INSERT OR IGNORE INTO facts VALUES ('incarnation', ?)", (random(INCARNATION_BYTES),))
        taken_up(db, random)
        (incarnation,) = db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchone()
        make_room(log, ROOM_BYTES)
    except BaseException:
        db.close()
        raise
    return db, incarnation


def _failed_earlier() -> StorageFailed:
    return StorageFailed("the disk or the store's file failed earlier: nothing is written any more",
                         "run `chez-relay check`, and restart the relay when both are sound again")


def _translated(error: Exception) -> StorageFailed:
    return StorageFailed(f"the store failed: {said(error)}", advice(error))
