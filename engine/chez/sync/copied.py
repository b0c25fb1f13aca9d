"""What a store knows of a copy of its home, which writes in the same device's name.

That entries came in this device's name which it did not write (`HomeCopied`) is noted, told by `chez doctor` as long as
the home is that device, and forgotten by a home that becomes a new one. Until then nothing leaves, for any relay: what
one of them was shown already would be another entry under the same number at the next.
"""

from typing import Final

from chez.errors import HomeCopied
from chez.store.database import Connection

__all__ = ("check_own", "forget", "home_copied", "note_copy", "noted_copy")

_COPY: Final = "device.copied"


def note_copy(db: Connection) -> None:
    """Entries came in this device's name that it did not write."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, x'')", (_COPY,))


def noted_copy(db: Connection) -> bool:
    """Whether such entries ever came."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (_COPY,)).fetchone() is not None


def check_own(db: Connection) -> None:
    """Raise `HomeCopied` if such entries ever came."""
    if noted_copy(db):
        raise home_copied()


def home_copied() -> HomeCopied:
    """What is raised when they come."""
    return HomeCopied("this device's own name stands under entries that it did not write",
                      "Two copies of this home are in use, or it was restored from an older copy: "
                      "what is here stays. `chez doctor --as-new-device` makes this one a device of its own.")


def forget(db: Connection) -> None:
    """It says nothing of the device that the home is from now on."""
    db.execute("DELETE FROM meta WHERE key = ?", (_COPY,))
