"""What a store knows of copies of its home, both of which would write in one device's name.

Two things are noted, and told by `chez doctor`:

- the folder that the home was made in, by its number on the disk (the inode): a copy is in another one. So is a home
  that was moved to another disk, or brought back by a backup program, which is why this alone does no harm
- that entries came in this device's name which it did not write (`HomeCopied`): then a copy is, or was, in use

Both are forgotten by a home that becomes a new device.
"""

import os
from pathlib import Path
from typing import Final

from chez.store.database import Connection

__all__ = ("forget", "note_copy", "note_folder", "noted_copy", "noted_folder", "number_of")

_COPY: Final = "device.copied"
_FOLDER: Final = "device.folder"


def number_of(folder: Path) -> bytes:
    """A folder's number on its disk, which it keeps where it is renamed. Raises OSError."""
    return os.stat(folder).st_ino.to_bytes(16, "big")


def note_folder(db: Connection, number: bytes) -> None:
    """This is the folder of the home, unless one is noted already."""
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", (_FOLDER, number))


def noted_folder(db: Connection) -> bytes | None:
    """The number of the folder that the home was made in; None where none is noted."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_FOLDER,)).fetchone()
    return None if row is None else bytes(row[0])


def note_copy(db: Connection) -> None:
    """Entries came in this device's name that it did not write."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, x'')", (_COPY,))


def noted_copy(db: Connection) -> bool:
    """Whether such entries ever came."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (_COPY,)).fetchone() is not None


def forget(db: Connection) -> None:
    """Neither says anything of the device that the home is from now on."""
    db.execute("DELETE FROM meta WHERE key IN (?, ?)", (_COPY, _FOLDER))
