"""What is on its way to a relay, and how far one was read."""

from dataclasses import dataclass, field

from chez.store.database import Connection
from chez.sync.entry import STATEMENTS
from chez_wire.envelope import Header

__all__ = ("Cursor", "Sealed", "lacking", "sealed_for", "unsealed")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An own entry, sealed for a relay and durable here, ready to be sent.

    `row` is its row among what is sealed, `entry` that of the entry.
    """

    row: int
    entry: int
    id: bytes
    envelope: bytes = field(repr=False)
    control: bool

    @property
    def epoch(self) -> bytes:
        """The epoch that it is sealed under."""
        return Header.decode(self.envelope).epoch


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a relay's log was read: the offset of the last entry and the head there."""

    position: int
    head: bytes


def sealed_for(db: Connection, space: int, relay: int) -> list[Sealed]:
    """What is sealed for a relay, which has not acknowledged it, in order."""
    return [Sealed(row, entry, id, envelope, kind == STATEMENTS) for row, entry, id, envelope, kind in db.execute(
        "SELECT sealed.n, entry.n, sealed.id, envelope, kind FROM sealed JOIN entry ON entry.n = sealed.entry "
        "WHERE relay = ? AND space = ? ORDER BY sealed.n", (relay, space))]


def lacking(db: Connection, space: int, relay: int) -> list[tuple[int, bytes, int]]:
    """The entries, whoever's, that a relay is not known to have: row, packed bytes and kind, in order."""
    return list(db.execute("SELECT n, inner, kind FROM entry JOIN lacking ON lacking.entry = entry.n "
                           "WHERE lacking.relay = ? AND space = ? ORDER BY n", (relay, space)))


def unsealed(db: Connection, space: int, relay: int, author: bytes) -> list[tuple[int, bytes, int]]:
    """An author's entries that a relay has not acknowledged and of which nothing is sealed for it: as `lacking`."""
    (there,) = db.execute("SELECT acknowledged FROM cursor WHERE space = ? AND relay = ?", (space, relay)).fetchone()
    return list(db.execute("SELECT n, inner, kind FROM entry WHERE space = ? AND author = ? AND n > ? "
                           "AND n NOT IN (SELECT entry FROM sealed WHERE relay = ?) ORDER BY n",
                           (space, author, there, relay)))
