"""A home that came back by the 24 words, until its relays have heard of it.

Whoever starts an epoch before that has no packet for the new device: the one for the person's
recovery key is all that leads to its keys. So the home keeps that key, and only that of what
the words give, from the moment that it is whole until each of its spaces was told of the device.
"""

from typing import Final

from chez.crypto import SealingKey
from chez.home.held import HeldSpaces
from chez.spaces.permits import role_of
from chez.store.database import Connection, Database

__all__ = ("forget_when_heard", "keep", "kept")

_KEY: Final = "recovery"


def keep(db: Connection, key: SealingKey) -> None:
    """The home is whole, and nobody knows of its device yet."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_KEY, key.seed))


def kept(db: Connection) -> SealingKey | None:
    """The person's recovery key, if the home still needs it."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    return None if row is None else SealingKey.from_seed(row[0])


async def forget_when_heard(database: Database, spaces: HeldSpaces, device: bytes) -> None:
    """Erase the key, once relays have what is said of the device in every space that it has a part in."""
    if spaces.recovery is None:
        return

    def work(db: Connection) -> bool:
        for held in list(spaces.all.values()):
            held.replica.refresh(db)
            if role_of(held.space, device) is not None and _waits(db, held.space.n):
                return False
        db.execute("DELETE FROM meta WHERE key = ?", (_KEY,))
        return True

    if await database.write(work):
        spaces.use(None)


def _waits(db: Connection, space: int) -> bool:
    """Whether something of a space is in no entry yet, or in one that a relay has not acknowledged."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM statement WHERE space = ?1 AND sent = 0) OR EXISTS "
                     "(SELECT 1 FROM entry WHERE space = ?1 AND (n IN (SELECT entry FROM sealed) "
                     "OR n IN (SELECT entry FROM lacking)))", (space,)).fetchone()
    return bool(row[0])
