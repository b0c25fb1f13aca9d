"""What is on its way to a relay, and how far one was read."""

from dataclasses import dataclass, field

import msgspec

from chez.errors import RelayUnreachable
from chez.store.database import Connection
from chez.sync.entry import CHANGES, CHECKPOINTS, STATEMENTS
from chez_wire.envelope import GENESIS_HEAD, Header, entry_id

__all__ = ("Cursor", "Sealed", "acknowledge", "advance", "begin_anew", "keep_sealed", "lacking", "places",
           "sealed_for", "unsealed")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry, an own one or one that the relay lacks, sealed for it and durable here, ready to be sent.

    `row` is its row among what is sealed, `entry` that of the entry. `control`: it is sent as statements are, and
    what `gives_room` (a checkpoint, what is said of one) may be, where the space has no room else.
    """

    row: int
    entry: int
    id: bytes
    envelope: bytes = field(repr=False)
    control: bool
    gives_room: bool = False

    @property
    def said(self) -> bool:
        """Whether it has what is said of the space, which has a quota of its own."""
        return self.control and not self.gives_room

    @property
    def epoch(self) -> bytes:
        """The epoch that it is sealed under."""
        return Header.decode(self.envelope).epoch


class Cursor(msgspec.Struct, frozen=True):
    """How far a relay's log was read: the offset of the last entry and the head there."""

    position: int
    head: bytes


def keep_sealed(db: Connection, relay: int, entry: int, envelope: bytes, kind: int) -> Sealed:
    """Keep an own entry's envelope until a relay has acknowledged it; `kind` is the entry's."""
    id = entry_id(envelope)
    row = db.execute("INSERT INTO sealed (entry, relay, id, envelope) VALUES (?, ?, ?, ?)",
                     (entry, relay, id, envelope)).lastrowid
    return Sealed(row, entry, id, envelope, kind == STATEMENTS, kind == CHECKPOINTS)


def sealed_for(db: Connection, space: int, relay: int) -> list[Sealed]:
    """What is sealed for a relay, which has not acknowledged it, in the order of its chain."""
    return [Sealed(row, entry, id, envelope, kind == STATEMENTS, kind == CHECKPOINTS)
            for row, entry, id, envelope, kind in db.execute(
                "SELECT sealed.n, entry.n, sealed.id, envelope, kind FROM sealed JOIN entry ON entry.n = sealed.entry "
                "WHERE relay = ? AND space = ? ORDER BY entry.n, sealed.n", (relay, space))]


def lacking(db: Connection, space: int, relay: int, *, said: bool = False) -> list[tuple[int, bytes, int]]:
    """The entries, whoever's, that a relay is not known to have: row, packed bytes and kind, in order.

    `said`: of these what is said of the space, and no changes.
    """
    return list(db.execute("SELECT n, inner, kind FROM entry JOIN lacking ON lacking.entry = entry.n "
                           "WHERE lacking.relay = ? AND space = ? AND NOT (? AND kind = ?) ORDER BY n",
                           (relay, space, said, CHANGES)))


def unsealed(db: Connection, space: int, relay: int, author: bytes) -> list[tuple[int, bytes, int]]:
    """An author's entries that a relay has not acknowledged and of which nothing is sealed for it: as `lacking`."""
    (there,) = db.execute("SELECT acknowledged FROM cursor WHERE space = ? AND relay = ?", (space, relay)).fetchone()
    return list(db.execute("SELECT n, inner, kind FROM entry WHERE space = ? AND author = ? AND n > ? "
                           "AND n NOT IN (SELECT entry FROM sealed WHERE relay = ?) ORDER BY n",
                           (space, author, there, relay)))


def acknowledge(db: Connection, space: int, relay: int, sealed: Sealed, author: bytes) -> None:
    """A relay holds an entry durably that this device, `author` of its own ones, gave it."""
    # It may have been forgotten meanwhile (a new epoch), and its row be another's by now.
    db.execute("DELETE FROM sealed WHERE n = ? AND id = ?", (sealed.row, sealed.id))
    db.execute("DELETE FROM lacking WHERE relay = ? AND entry = ?", (relay, sealed.entry))
    # What others wrote, and the relay lacked, says nothing of own entries before it.
    db.execute("UPDATE cursor SET acknowledged = max(acknowledged, ?1) WHERE space = ?2 AND relay = ?3 "
               "AND EXISTS (SELECT 1 FROM entry WHERE n = ?1 AND author = ?4)", (sealed.entry, space, relay, author))


def advance(db: Connection, space: int, relay: int, first: int, to: Cursor) -> None:
    """A relay was read from the offset `first` up to a cursor. Raises `RelayUnreachable` after a gap."""
    moved = db.execute("UPDATE cursor SET position = ?, head = ? WHERE space = ? AND relay = ? AND position = ?",
                       (to.position, to.head, space, relay, first - 1)).rowcount
    if not moved:
        # The page before was not taken in: going on would skip it for ever.
        raise RelayUnreachable("an earlier page of entries was not taken in", "It is read again.")


def places(db: Connection, space: int, relay: int) -> bool:
    """Whether it is known how far a relay was read of a space: of one that was taken to another place, it is not."""
    return db.execute("SELECT 1 FROM cursor WHERE space = ? AND relay = ?", (space, relay)).fetchone() is not None


def begin_anew(db: Connection, space: int, relay: int, author: bytes) -> None:
    """A relay is to be read from its beginning, and each entry may be one that it does not have: own ones of an
    `author`, and others'.
    """
    db.execute("DELETE FROM sealed WHERE relay = ? AND entry IN (SELECT n FROM entry WHERE space = ?)", (relay, space))
    db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT ?, n FROM entry WHERE space = ?", (relay, space))
    db.execute("UPDATE OR REPLACE shown SET relay = 0 WHERE space = ? AND relay = ?", (space, relay))
    db.execute("UPDATE cursor SET position = 0, head = ?, missed = 0, acknowledged = coalesce((SELECT max(n) FROM "
               "entry WHERE entry.space = cursor.space AND author = ?), 0) WHERE space = ? AND relay = ?",
               (GENESIS_HEAD, author, space, relay))
