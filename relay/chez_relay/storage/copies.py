"""A store's file from outside, also beside a running relay: looking in, and making copies.

A copy is whole or not there: it is made under another name, synced, then renamed.
"""

import glob
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from chez_durable.folders import sync_folder
from chez_relay.errors import StoreUnusable
from chez_relay.storage.integrity import SQLITE_ERRORS, advice, said

__all__ = ("FILE_NAME", "copied", "looking", "made_another", "taken_up", "with_log", "without_anothers_log")

FILE_NAME: Final = "relay.sqlite"
"""The store's file in a relay's data folder."""

LEFT_SECONDS: Final = 24 * 3600.0
"""How long nobody has written to a copy that is not whole before it is taken for one that was cut off."""

_WRITTEN_BY: Final = slice(18, 20)
_NO_LOG: Final = b"\x01\x01"
_LOG: Final = b"\x02\x02"
"""What a file says there that SQLite writes without a log, or with one (sqlite.org/fileformat.html, 1.3.3)."""


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a store's file as it is at this moment, in one transaction.

    Raises `StoreUnusable` when there is none or it can't be read, whatever the block meets.
    """
    if not path.is_file():
        raise StoreUnusable("there is no relay's store in this folder", "give the --data folder of `serve`")
    without_anothers_log(path)
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
            db.text_factory = _text
            db.execute("BEGIN")
            yield db
    except SQLITE_ERRORS as error:
        raise StoreUnusable(f"the store can't be read: {said(error)}", advice(error)) from error


def without_anothers_log(path: Path) -> None:
    """Raise `StoreUnusable` where a copy was put beside the log of the store that it replaces.

    SQLite would take that for the copy's, and show, and write into it, the other store's pages among its own. A copy
    has no log before it is served, and says so from then on.
    """
    try:
        with path.open("rb") as file:
            mixed = file.read(20)[_WRITTEN_BY] == _NO_LOG and path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:  # there is none, or SQLite tells why it can't be read
        return
    if mixed:
        raise StoreUnusable(f"{path.name} is a copy, and {path.name}-wal beside it is of the store that was there",
                            f"move {path.name}-wal and {path.name}-shm away, and start the relay again")


def with_log(file: int) -> bool:
    """Whether an open file is still one that is written with a log, as each is that a relay serves, and no copy is."""
    try:
        return os.pread(file, 20, 0)[_WRITTEN_BY] == _LOG
    except OSError:
        return False


def _text(data: bytes) -> str | bytes:
    """Text, as which damage can show bytes that are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


@contextmanager
def copied(db: sqlite3.Connection, target: Path, *, alone: bool = False) -> Iterator[Path]:
    """Copy what `db` holds now, also beside a writer; the block may work on the copy before it gets its name.

    The copy replaces what is called `target`, is compact, and is the owner's alone to read. Another one may be made
    for the same name meanwhile, but where it is `alone`: each has its own until it is whole. Raises `sqlite3.Error` and
    `OSError`; then no copy is left.
    """
    _remove_left(target, 0.0 if alone else LEFT_SECONDS)
    made = target.with_name(f"{target.name}.partial-{secrets.token_hex(4)}")
    try:
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db.execute("VACUUM INTO ?", (str(made),))
        yield made
        _sync(made)
        made.replace(target)
    except BaseException:
        with suppress(OSError):
            made.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _remove_left(target: Path, seconds: float) -> None:
    """Remove copies for a name that were cut off: nobody has written to them for so long."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.partial*"):
        with suppress(OSError):
            if not seconds or left.stat().st_mtime < time.time() - seconds:
                left.unlink()


def made_another(path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
    """Make a copy a store of its own, by its incarnation: what comes after it is lacking there.

    And so is each store that begins with it (`taken_up`), for a copy may be put in place more than once.
    """
    with closing(sqlite3.connect(path)) as db:
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'facts'").fetchone() is not None:
            db.execute("UPDATE facts SET value = ? WHERE name = 'incarnation'", (random(32),))
            db.execute("INSERT OR REPLACE INTO facts VALUES ('copied', ?)", (b"",))
            db.commit()


def taken_up(db: sqlite3.Connection, random: Callable[[int], bytes]) -> None:
    """A store begins with this file (`db` in autocommit mode): where it is a copy it is another store from now on."""
    if db.execute("SELECT 1 FROM facts WHERE name = 'copied'").fetchone() is not None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE facts SET value = ? WHERE name = 'incarnation'", (random(32),))
        db.execute("DELETE FROM facts WHERE name = 'copied'")
        db.execute("COMMIT")


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
