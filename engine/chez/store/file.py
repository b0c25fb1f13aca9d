"""The file of a store: opened with its key, encrypted under another one, brought to the present schema."""

import os
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import sqlcipher3

from chez.errors import Damaged, StorageFailed
from chez.store.ceilings import STATEMENT, lowered
from chez.store.disk import storage_error

__all__ = ("Connection", "check_schema", "connect", "copy", "migrate", "rekey", "schema_mark")

Connection = Any
"""A `sqlcipher3.Connection`: the standard library's DB-API (PEP 249)."""

SCHEMA_VERSION: Final = 1

AUTHENTICATION: Final = "HMAC_SHA256"
"""What each page is authenticated by. Processors have instructions for SHA-256, and few have them for SHA-512, which is
SQLCipher's own choice (docs/decisions/0072)."""

_AS_THEY_ARE: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = ((bytes, bytes), (type(None), {}.get), (bool, int))
"""Parameters that are bound as they are, each with a built-in call that says so. The binding asks everybody else how
a parameter is to be bound, and raises and drops two errors to find that nobody has a say: of the time that an insert
of eleven values took, that was two thirds. The registry is the whole process's: an app that gave sqlcipher3 (not
sqlite3) adapters of its own for these types loses them when a home is opened, which would be damaged by them."""


def connect(path: Path | str, key: bytes | bytearray, *, read_only: bool = False, bounded: bool = False) -> Connection:
    """Open the database with its raw 32-byte key; `read_only` opens beside whoever writes to it.

    One that is `bounded` is for statements that others wrote (`store.ceilings`). Raises
    `Damaged` if the key does not open it or the file is no database, and `StorageFailed` if
    the disk does not allow it.
    """
    for kind, same in _AS_THEY_ARE:
        sqlcipher3.register_adapter(kind, same)
    try:
        # Statements are cached by text; the engine uses a few dozen.
        name = f"{Path(path).absolute().as_uri()}{_as_it_is(Path(path))}" if read_only else str(path)
        begin = partial(sqlcipher3.connect, name, check_same_thread=False, isolation_level=None,
                        cached_statements=256, uri=read_only)
        db = lowered(begin, STATEMENT) if bounded else begin()
    except sqlcipher3.Error as error:
        raise storage_error(error) from None
    try:
        # What SQLCipher would write to standard error for a damaged page is raised as well.
        db.execute("PRAGMA cipher_log_level = NONE")
        db.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        db.execute(f"PRAGMA cipher_hmac_algorithm = {AUTHENTICATION}")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for pragma in (*(() if read_only else ("journal_mode = WAL",)), "synchronous = FULL", "foreign_keys = ON",
                       "trusted_schema = OFF", "temp_store = MEMORY", "busy_timeout = 5000", "cache_size = -16000"):
            db.execute(f"PRAGMA {pragma}")
    except MemoryError:  # what SQLCipher says of a page that is too damaged to be read
        db.close()
        raise storage_error(sqlcipher3.DatabaseError("out of memory")) from None
    except sqlcipher3.Error as error:
        db.close()
        raise storage_error(error) from None
    return db


def _as_it_is(path: Path) -> str:
    """How a store is opened that is only read.

    Beside whoever writes it, by the files that SQLite keeps beside it, which it makes where there are none. Where it
    can make none and none is there, on a disk that is read-only, nobody writes it, and the file is all there is.
    """
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "?mode=ro&immutable=1" if alone else "?mode=ro"


def copy(db: Connection, path: Path) -> None:
    """Write all of an open store, as it is at one moment, into a new file under the same key; other work goes on.

    Raises `sqlcipher3.Error`. SQLite's `VACUUM INTO` would make a file as is SQLCipher's own choice.
    """
    marks = [(name, db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("user_version", "application_id")]
    db.execute("ATTACH CAST(? AS TEXT) AS copied", (os.fsencode(path),))
    try:
        for pragma in (f"cipher_hmac_algorithm = {AUTHENTICATION}", "journal_mode = OFF", "synchronous = OFF",
                       *(f"{name} = {value}" for name, value in marks)):
            db.execute(f"PRAGMA copied.{pragma}")
        db.execute("BEGIN")
        db.execute("SELECT sqlcipher_export('copied')")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("DETACH copied")


def rekey(path: Path, old: bytes | bytearray, new: bytes) -> None:
    """Encrypt a store that nobody has open under another key. Raises `Damaged`, `StorageFailed`.

    It is worth nothing when this raises.
    """
    db = connect(path, old)
    try:
        # In one file: what a log beside it held would be under the old key.
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"PRAGMA rekey = \"x'{new.hex()}'\"")
    except sqlcipher3.Error as error:
        raise storage_error(error) from None
    finally:
        db.close()
    try:  # the pragma tells of no error of the disk
        connect(path, new, read_only=True).close()
    except Damaged:
        raise StorageFailed("the disk refuses: the store could not be written under its new key",
                            "Check that the disk is sound and has room.") from None


def check_schema(db: Connection) -> None:
    """Raise `Damaged` unless the database has the present schema."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise Damaged(f"a newer Chez wrote this home (schema {version}, here {SCHEMA_VERSION})", "Update Chez.")
    if version < SCHEMA_VERSION:
        raise Damaged(f"an older Chez wrote this home (schema {version}, here {SCHEMA_VERSION})",
                      "Open it once for writing, which brings it up to date.")
    if db.execute("PRAGMA application_id").fetchone()[0] != schema_mark():
        raise Damaged("another development version of Chez wrote this home, and formats may still break",
                      "Write its records out with that version (`chez export`), and import them into a new home.")


def _script(number: int) -> str:
    return resources.files("chez.store").joinpath(f"schema/{number:04d}.sql").read_text()


def schema_mark() -> int:
    """What tells this schema from another of its number: there is no second number before a release."""
    return crc32(_script(SCHEMA_VERSION).encode()) >> 1  # positive in SQLite's 32 bits


def migrate(db: Connection) -> None:
    """Bring an open database to the present schema; a new one gets all of it."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version >= SCHEMA_VERSION:
        check_schema(db)
    for number in range(version + 1, SCHEMA_VERSION + 1):
        mark = f"PRAGMA application_id = {schema_mark()};" if number == SCHEMA_VERSION else ""
        db.executescript(f"BEGIN IMMEDIATE;\n{_script(number)}\nPRAGMA user_version = {number};{mark}\nCOMMIT;")
