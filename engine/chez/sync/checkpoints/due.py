"""At which relays a checkpoint is to be made of a space: kept until each has one, for a relay may be away for long.

Each relay gets a checkpoint of its own, one after the other. Segments that another one holds are not carried over: what
a relay is given was sealed for it, as entries are, and nothing of one relay's checkpoint rests on another one.
"""

from collections.abc import Iterable

from chez.store.database import Connection

__all__ = ("done", "due", "own", "want")


def own(db: Connection, relays: Iterable[int]) -> set[int]:
    """Of some relays, by their rows, those that are no devices met on a network: these come and go."""
    return {relay for relay in relays
            if db.execute("SELECT 1 FROM relay WHERE n = ? AND met = 0", (relay,)).fetchone() is not None}


def want(db: Connection, space: int, relays: Iterable[int]) -> None:
    """A checkpoint is to be made at each of these."""
    db.executemany("INSERT OR IGNORE INTO checkpoint_due (space, relay) VALUES (?, ?)",
                   [(space, relay) for relay in relays])


def due(db: Connection, space: int) -> set[int]:
    """The relays at which one is to be made yet."""
    return {relay for (relay,) in db.execute("SELECT relay FROM checkpoint_due WHERE space = ?", (space,))}


def done(db: Connection, space: int, relay: int) -> None:
    """A relay has one, or there is nothing to make one of."""
    db.execute("DELETE FROM checkpoint_due WHERE space = ? AND relay = ?", (space, relay))
