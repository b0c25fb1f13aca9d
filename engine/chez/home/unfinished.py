"""Exports that were cut off: what they wrote is plaintext, so it is found and removed.

The store names the folder that an export is written in before it is made, and until it has
its place. A process that is killed in between leaves the name, and whoever opens the home
next removes the folder; the journal says so, or, where nothing was left but the name, that the
export failed, which a full disk may have kept from being said then. A home that was restored or copied knows
nothing of its former self's folders (`home.renewal` forgets them): a name in a store is
believed only by the device that wrote it.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Final

from chez.journal import Journal
from chez.store.database import Connection, Database

__all__ = ("begin", "end", "forget", "remove")

_KEY: Final = "export in "
_SCRATCH: Final = re.compile(r"\..{1,200}\.[0-9a-f]{8}", re.DOTALL)
"""How such a folder is called (`home.building`): nothing else is ever removed."""


def begin(db: Connection, folder: Path, place: Path) -> None:
    """An export is about to be written in `folder`, which is to become `place`."""
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", (f"{_KEY}{folder}", str(place)))


def end(db: Connection, folder: Path) -> None:
    """That folder is at its place by now, or gone."""
    db.execute("DELETE FROM meta WHERE key = ?", (f"{_KEY}{folder}",))


def forget(db: Connection) -> None:
    """Whatever is noted here is of another device's exports."""
    db.execute(f"DELETE FROM meta WHERE key GLOB '{_KEY}*'")


async def remove(database: Database, journal: Journal) -> None:
    """Remove what exports left that were cut off, with a receipt each; no export may be under way.

    One that left nothing and is not at its place has failed: its receipt says that.

    What can't be removed now (its disk is not here, or refuses) is tried again when the
    home is next opened. Raises `StorageFailed` when the store can't be written.
    """
    for key, place in await database.read(lambda db: db.execute(
            f"SELECT key, value FROM meta WHERE key GLOB '{_KEY}*'").fetchall()):
        folder = Path(key.removeprefix(_KEY))
        was_there = await asyncio.to_thread(_removed, folder)
        if was_there is None:
            continue

        def work(db: Connection, folder: Path = folder, was_there: bool = was_there, place: str = place) -> None:
            end(db, folder)
            if was_there:
                journal.record(db, "export-removed", {"folder": str(folder)})
            elif place and not os.path.lexists(folder.parent / Path(place).name):
                journal.record(db, "export-failed", {"to": place})

        await database.write(work)


def _removed(folder: Path) -> bool | None:
    """Remove a folder; whether it was there, or None if nobody can tell."""
    try:
        if not _SCRATCH.fullmatch(folder.name) or folder.is_symlink() or not folder.exists():
            return False if folder.parent.is_dir() else None
        shutil.rmtree(folder)
    except OSError:
        return None
    return True
