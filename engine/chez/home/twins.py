"""Whether the folder of a home is a copy of one on this machine that is there still.

Where a home was opened last is noted in its store, which a copy of the folder brings along. A copy goes on naming the
other one as long as that is there: two of them write in one device's name, and what they write apart may count for
nothing. What was moved, or put back where nothing was left, is no copy. One on another machine is known
only by what it sends (`sync.copied`).
"""

import os
from pathlib import Path
from typing import Final

from chez.home.backup import STORE_FILE
from chez.store.database import Connection, Database

__all__ = ("forget", "note_place", "original")

_PLACE: Final = "device.place"

_SALT: Final = 16
"""Bytes that SQLCipher draws for each new file, and begins it with: a copy has the same."""


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
    there, (*_, here) = Path(os.fsdecode(noted)), db.execute("PRAGMA database_list").fetchone()
    try:
        if os.path.samefile(there, here) or _salt(there) != _salt(Path(here)):
            return None
    except OSError:  # it is gone, or nothing is to be known of it
        return None
    return there.parent


def forget(db: Connection) -> None:
    """The home becomes a device of its own."""
    db.execute("DELETE FROM meta WHERE key = ?", (_PLACE,))


def _noted(db: Connection) -> bytes | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_PLACE,)).fetchone()
    return None if row is None else bytes(row[0])


def _salt(store: Path) -> bytes:
    with store.open("rb") as file:
        return file.read(_SALT)
