"""Entries that arrived before the key of their epoch: a device that was away meets these."""

from collections.abc import Iterator

from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez_wire.envelope import entry_id
from chez_wire.frames import Entry

__all__ = ("lock", "take", "unlocked")


def lock(db: Connection, space: int, epoch: bytes, relay: int, entry: Entry) -> None:
    """Keep an entry that a relay handed out until the key of its epoch is here."""
    db.execute("INSERT INTO locked (space, id, epoch, relay, position, envelope) VALUES (?, ?, ?, ?, ?, ?) "
               "ON CONFLICT (space, id) DO UPDATE SET relay = excluded.relay, position = excluded.position "
               "WHERE position = 0", (space, entry_id(entry.envelope), epoch, relay, entry.offset, entry.envelope))


def unlocked(db: Connection, space: SpaceKeys) -> list[bytes]:
    """The epochs of entries that were locked, whose keys are here by now."""
    return [epoch for (epoch,) in db.execute("SELECT DISTINCT epoch FROM locked WHERE space = ?", (space.n,))
            if epoch in space.epochs]


def take(db: Connection, space: int, epoch: bytes) -> Iterator[tuple[int, Entry]]:
    """Take out, one by one, the entries of an epoch, and the relay that handed each out; 0 where that is no matter."""
    # From a store that is no more nothing follows for the one that there is.
    for id, relay, position in db.execute("SELECT id, iif(position, relay, 0), position FROM locked "
                                          "WHERE space = ? AND epoch = ? ORDER BY position", (space, epoch)).fetchall():
        (envelope,) = db.execute("DELETE FROM locked WHERE space = ? AND id = ? RETURNING envelope",
                                 (space, id)).fetchone()
        yield relay, Entry(position, envelope)
