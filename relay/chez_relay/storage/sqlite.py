"""The relay's store on SQLite: one file, fsync before anything is acknowledged.

WAL with `synchronous=FULL`: a commit returns after its pages are on the disk. A lock
file keeps a second relay away, because spaces are remembered between commits; readers
(`census`, a backup) may open the file beside a running relay.
"""

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import aiosqlite

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage import Quotas, Request, Result
from chez_relay.storage.tables import Tables

__all__ = ("FILE_NAME", "Census", "SpaceSize", "SqliteStorage", "census")

FILE_NAME: Final = "relay.sqlite"
APPLICATION_ID: Final = 0x43484552  # "CHER"
CACHE_KIB: Final = 16 * 1024


class SqliteStorage:
    """`Storage` on one SQLite file; make it with `SqliteStorage.open`."""

    def __init__(self, db: aiosqlite.Connection, tables: Tables, incarnation: bytes, lock: int) -> None:
        self._db = db
        self._tables = tables
        self._incarnation = incarnation
        self._lock = lock
        self._broken = False

    @classmethod
    async def open(
        cls, folder: Path, *, quotas: Quotas | None = None, clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> "SqliteStorage":
        """Open the store in `folder`, making or migrating it.

        Raises `StoreUnusable` when the file belongs to something else, a newer version or
        a running relay, `StorageFailed` when the disk refuses.
        """
        try:
            _make(folder)
            lock = _take_lock(folder / "relay.lock")
        except OSError as error:
            raise StorageFailed(f"the data folder can't be used: {error.strerror}") from error
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
        except sqlite3.Error as error:
            os.close(lock)
            raise _translated(error) from error
        except BaseException:
            os.close(lock)
            raise
        raw, incarnation = opened[0]
        return cls(db, Tables(raw, quotas or Quotas(), clock), incarnation, lock)

    @property
    def incarnation(self) -> bytes:
        """32 random bytes made when the file was created."""
        return self._incarnation

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        if self._broken:
            raise StorageFailed("the disk failed earlier", "restart the relay when it is sound again")
        try:
            # aiosqlite's public calls cost one thread hop for each statement; its own
            # `_execute` runs a whole group on the database's thread in one hop. This is
            # the only place that uses it.
            return await self._db._execute(self._tables.perform, requests)  # type: ignore[no-any-return,no-untyped-call]
        except sqlite3.Error as error:
            # After a failed fsync the kernel may drop the dirty pages and report success
            # the next time (the "fsyncgate" of 2018), so nothing is acknowledged any more.
            self._broken = (error.sqlite_errorname or "").startswith(("SQLITE_IOERR", "SQLITE_CORRUPT"))
            raise _translated(error) from error

    async def close(self) -> None:
        """Close the file and give up the lock."""
        if self._lock >= 0:
            await self._db.close()
            os.close(self._lock)
            self._lock = -1


def _make(folder: Path) -> None:
    """Make the data folder and those above it, durably: with its name all that is acknowledged would be lost."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in missing:
            _sync(path.parent)
    except OSError:
        for path in missing:  # there, they would pass for durable the next time
            with suppress(OSError):
                path.rmdir()
        raise


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreUnusable("another relay uses this data folder", "stop it, or use another --data") from None
    return descriptor


def _connect(path: Path, random: Callable[[int], bytes]) -> tuple[sqlite3.Connection, bytes]:
    db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _migrate(db, path)
        db.execute("INSERT OR IGNORE INTO facts VALUES ('incarnation', ?)", (random(32),))
        (incarnation,) = db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchone()
    except BaseException:
        db.close()
        raise
    return db, incarnation


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date: each file of schema/ is one version, one transaction."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreUnusable("the file in the data folder is no relay's store", "choose another --data folder")
    steps = _schema()
    if version > len(steps):
        raise StoreUnusable("the store was written by a newer chez-relay", "install that version")
    if 0 < version < len(steps):
        db.execute("VACUUM INTO ?", (f"{path}.before-{version + 1:04}",))
    for number, step in enumerate(steps[version:], version + 1):
        db.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA application_id = {APPLICATION_ID};\n"
                         f"PRAGMA user_version = {number};\nCOMMIT;")


def _schema() -> list[str]:
    folder = resources.files("chez_relay.storage").joinpath("schema")
    files = {file.name: file for file in folder.iterdir() if file.name.endswith(".sql")}
    return [files[name].read_text(encoding="utf-8") for name in sorted(files)]


def _translated(error: sqlite3.Error) -> StorageFailed:
    # SQLite's own texts name neither content nor keys.
    return StorageFailed(f"the store failed: {error}", "check the disk's space and health")


# --- looking in from outside --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpaceSize:
    """How much one space holds; nothing says which."""

    entries: int
    bytes: int
    chunks: int
    blob_bytes: int
    packets: int


@dataclass(frozen=True, slots=True)
class Census:
    """What a store holds, in numbers: all that an operator can know."""

    incarnation: str
    spaces: int
    entries: int
    bytes: int
    chunks: int
    blob_bytes: int
    packets: int
    inboxes: int
    items: int
    sizes: tuple[SpaceSize, ...]


def census(folder: Path) -> Census:
    """Count what the store in `folder` holds, read-only, also beside a running relay.

    Raises `StoreUnusable` when there is none.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise StoreUnusable("there is no relay's store in this folder", "give the --data folder of `serve`")
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
            db.execute("BEGIN")
            (incarnation,) = db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchone()
            rows = db.execute(
                "SELECT last, data_bytes + control_bytes,"
                " (SELECT count(*) FROM chunks WHERE chunks.space = spaces.space), blob_bytes, packets"
                " FROM spaces ORDER BY space").fetchall()
            (inboxes,) = db.execute("SELECT count(*) FROM inboxes").fetchone()
            (items,) = db.execute("SELECT count(*) FROM items").fetchone()
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store can't be read: {error}") from error
    sizes = tuple(SpaceSize(*row) for row in rows)
    return Census(incarnation.hex(), len(sizes), sum(s.entries for s in sizes), sum(s.bytes for s in sizes),
                  sum(s.chunks for s in sizes), sum(s.blob_bytes for s in sizes), sum(s.packets for s in sizes),
                  inboxes, items, sizes)
