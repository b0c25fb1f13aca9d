"""Whether the folder of a home is a copy of one on this machine that is there still.

Where a home was opened last is noted in its store, which a copy of the folder brings along. A copy goes on naming the
other one as long as that is there: two of them write in one device's name, and what they write apart may count for
nothing. What was moved, or put back where nothing was left, is no copy. One on another machine is known
only by what it sends (`sync.copied`). What tells a copy is the salt that SQLCipher draws for each new file.
"""

import os
from pathlib import Path
from typing import Final

import sqlcipher3

from chez.crypto import KEY_BYTES
from chez.home.backup import STORE_FILE
from chez.store.checks import file_of
from chez.store.database import Connection, Database

__all__ = ("forget", "note_place", "original")

_PLACE: Final = "device.place"


async def note_place(database: Database, folder: Path) -> None:
    """Note where this home is, unless it is a copy of one that is there still. Called when it opens for writing."""
    here = os.fsencode((folder / STORE_FILE).resolve())
    if not await database.read(lambda db: _noted(db) == here or original(db) is not None):
        await database.write(lambda db: db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                                                   (_PLACE, here)))


def original(db: Connection) -> Path | None:
    """The folder of the home that the one of this store is a copy of; None where there is none any more, or never was.
    """
    noted = _noted(db)
    if noted is None:
        return None
    there, here = Path(os.fsdecode(noted)), file_of(db)
    try:
        if os.path.samefile(there, here) or _salt(there) != _salt(Path(here)):
            return None
    except (OSError, sqlcipher3.Error):  # it is gone, or nothing is to be known of it
        return None
    return there.parent


def forget(db: Connection) -> None:
    """The home becomes a device of its own."""
    db.execute("DELETE FROM meta WHERE key = ?", (_PLACE,))


def _noted(db: Connection) -> bytes | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_PLACE,)).fetchone()
    return None if row is None else bytes(row[0])


def _salt(store: Path) -> str:
    """What SQLCipher drew for a store, in hexadecimal digits. Raises `sqlcipher3.Error`.

    Asked of SQLite, which may have that store open in this process: closing a file that was opened beside it would end
    its locks (sqlite.org/howtocorrupt.html, 2.2), by which other processes know that it is open.
    """
    db = sqlcipher3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)
    try:
        db.execute(f"PRAGMA key = \"x'{bytes(KEY_BYTES).hex()}'\"")  # any one: the salt is in the open
        return str(db.execute("PRAGMA cipher_salt").fetchone()[0])
    finally:
        db.close()
