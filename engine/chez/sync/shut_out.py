"""Whether a relay let this device into a space no more when it was met last, and nothing here says why.

A device that was removed is told so, as a rule. A home that was restored from a backup of before is another device
by then, of which nobody knows: all that it meets is a relay that lets it in no more. So does one that was set back, or
lies. What is noted is told as that, a doubt, until that relay lets it in again: another one, which was not told of a
removal yet, takes nothing back.
"""

from typing import Final

from chez.errors import RelayRefused
from chez.store.database import Connection
from chez.sync.work import Work

__all__ = ("admitted", "shut_out", "told")

_KEY: Final = "space.shut-out."


def told(space: int, relay: int, refusal: RelayRefused) -> Work:
    """What notes that a relay has no keys of a space for this device, by their rows, and ends with the refusal.

    One on its network may have those of another epoch only, and is no reason for doubt.
    """
    def note(db: Connection) -> None:
        db.execute("INSERT OR REPLACE INTO meta (key, value) SELECT ?, x'' FROM relay "
                   "WHERE n = ? AND url NOT LIKE 'lan:%'", (f"{_KEY}{space}.{relay}", relay))

    def end(_: None) -> list[Work]:
        raise refusal

    return Work(note, end)


def admitted(db: Connection, space: int, relay: int) -> None:
    """A relay let this device in: its word is taken back, and those of relays that the space is kept at no more."""
    told = f"{_KEY}{space}."
    db.execute("DELETE FROM meta WHERE key = ? OR (key GLOB ? AND CAST(substr(key, ?) AS INTEGER) NOT IN ("
               "SELECT n FROM relay WHERE beside = 1 OR url IN (SELECT relay FROM space WHERE relay IS NOT NULL AND ("
               "n = ? OR (SELECT relay FROM space WHERE n = ?) IS NULL))))",
               (f"{told}{relay}", f"{told}*", len(told) + 1, space, space))


def shut_out(db: Connection, space: int) -> bool:
    """Whether that is noted of a space."""
    return db.execute("SELECT 1 FROM meta WHERE key GLOB ?", (f"{_KEY}{space}.*",)).fetchone() is not None
