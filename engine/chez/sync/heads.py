"""What devices tell each other of a relay's log, held against what it showed this one.

Every entry carries the last head of the relay that its author had seen (DESIGN section 5).
A head stands for all entries up to an offset, so two devices that were shown different
entries have different heads there, and the first entry that crosses from one to the other
tells. The heads seen here are kept for each offset: 40 bytes an entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.store.database import Connection
from chez.sync.entry import Inner, log_name
from chez_wire.envelope import entry_id, fold_head
from chez_wire.frames import Entry

__all__ = ("Alarm", "alarms", "check_claim", "forget_heads", "head_after", "hidden", "note_head", "note_heads",
           "note_placed")


MOST_ALARMS: Final = 16
"""Of what one device says against a relay's log of a space so many are kept, the first ones: who lies says more in
each entry, and what is true is told by the first as well."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A relay showed two devices different logs: `author` had seen another head at `offset` than was shown here.

    In the space of the id `space`. With `hidden` the relay does not show so many entries here at
    all. `row` is the relay's; `name` what the author is called, where it was looked up.
    """

    space: bytes = field(repr=False)
    relay: str
    author: bytes = field(repr=False)
    offset: int
    hidden: bool
    row: int = field(repr=False)
    name: str | None = None


def forget_heads(db: Connection, space: int, relay: int) -> None:
    """The relay has another store than before: what was seen of the former one says nothing."""
    db.execute("DELETE FROM relay_head WHERE space = ? AND relay = ?", (space, relay))
    db.execute("DELETE FROM gap WHERE space = ? AND relay = ?", (space, relay))
    db.execute("DELETE FROM claim WHERE space = ? AND relay = ?", (space, relay))
    # What waits for its key has no place in the log that there is now.
    db.execute("UPDATE locked SET position = 0 WHERE space = ? AND relay = ?", (space, relay))


def head_after(before: bytes, entries: Sequence[Entry]) -> bytes:
    """The head of a log after entries that follow the head `before`."""
    for entry in entries:
        before = fold_head(before, entry_id(entry.envelope))
    return before


def note_heads(db: Connection, space: int, relay: int, before: bytes, entries: Sequence[Entry],
               placed: Sequence[tuple[int, int, bytes]]) -> list[Alarm]:
    """Keep the heads after each of these entries, which follow the head `before`; what others had claimed of them.

    `placed` says which entries of changes are where (`note_placed`), these among them.
    """
    here = {offset: hash for at, offset, hash in placed if at == relay}
    rows, head = [], before
    for entry in entries:
        head = fold_head(head, entry_id(entry.envelope))
        rows.append((space, relay, entry.offset, head, here.pop(entry.offset, None)))
    alarms = _note(db, space, relay, rows)
    note_placed(db, space, [one for one in placed if one[0] != relay or one[1] in here])
    return alarms


def note_head(db: Connection, space: int, relay: int, offset: int, head: bytes) -> list[Alarm]:
    """Keep one head: after an own entry that does not come back."""
    return _note(db, space, relay, [(space, relay, offset, head, None)])


def note_placed(db: Connection, space: int, placed: Sequence[tuple[int, int, bytes]]) -> None:
    """Keep which entries of changes are at which offsets of which relays: what a checkpoint may have dropped."""
    db.executemany("UPDATE relay_head SET entry = ? WHERE space = ? AND relay = ? AND position = ?",
                   [(hash, space, relay, offset) for relay, offset, hash in placed])


def _note(db: Connection, space: int, relay: int,
          rows: list[tuple[int, int, int, bytes, bytes | None]]) -> list[Alarm]:
    if not rows:
        return []
    db.executemany("INSERT OR REPLACE INTO relay_head (space, relay, position, head, entry) VALUES (?, ?, ?, ?, ?)",
                   rows)
    told = db.execute(
        "SELECT claim.author, claim.position, claim.head = relay_head.head FROM claim "
        "JOIN relay_head USING (space, relay, position) WHERE claim.space = ? AND claim.relay = ? "
        "AND claim.position BETWEEN ? AND ?", (space, relay, rows[0][2], rows[-1][2])).fetchall()
    if told:
        db.execute("DELETE FROM claim WHERE space = ? AND relay = ? AND position BETWEEN ? AND ?",
                   (space, relay, rows[0][2], rows[-1][2]))
    return [_raise(db, space, relay, author, offset, False) for author, offset, alike in told if not alike]


def check_claim(db: Connection, space: int, handle: bytes, inner: Inner) -> list[Alarm]:
    """What an accepted entry says of a relay's log; kept until this device has read so far, if it has not.

    `handle` is where the space is now: of a log at a former one nothing is known here any more.
    """
    if inner.relay is None or inner.relay.offset == 0:
        return []
    found = []
    seen = db.execute("SELECT cursor.relay, incarnation, relay_head.head FROM cursor LEFT JOIN relay_head "
                      "ON relay_head.space = cursor.space AND relay_head.relay = cursor.relay "
                      "AND relay_head.position = ? WHERE cursor.space = ?", (inner.relay.offset, space)).fetchall()
    for relay, incarnation, head in seen:
        if log_name(incarnation, handle) != inner.relay.log:
            continue
        if head is None:
            db.execute("INSERT OR REPLACE INTO claim (space, relay, author, position, head) VALUES (?, ?, ?, ?, ?)",
                       (space, relay, inner.author, inner.relay.offset, inner.relay.head))
        elif head != inner.relay.head:
            found.append(_raise(db, space, relay, inner.author, inner.relay.offset, False))
    return found


def hidden(db: Connection, space: int, relay: int, end: int, *, believed: Callable[[bytes], bool]) -> list[Alarm]:
    """Entries that others had seen at a relay, whose log ends before them here: to be asked when it was read whole.

    By the word of authors who are `believed`: a lie of who was taken out would stop everybody for ever.
    """
    rows = db.execute("SELECT author, position FROM claim WHERE space = ? AND relay = ? AND position > ?",
                      (space, relay, end)).fetchall()
    return [_raise(db, space, relay, author, offset, True) for author, offset in rows if believed(author)]


def _raise(db: Connection, space: int, relay: int, author: bytes, offset: int, hidden: bool) -> Alarm:
    db.execute("INSERT OR IGNORE INTO alarm (space, relay, author, position, hidden) SELECT ?1, ?2, ?3, ?4, ?5 WHERE "
               "(SELECT count(*) FROM alarm WHERE space = ?1 AND relay = ?2 AND author = ?3) < ?6",
               (space, relay, author, offset, hidden, MOST_ALARMS))
    url, id = db.execute("SELECT url, id FROM relay, space WHERE relay.n = ? AND space.n = ?",
                         (relay, space)).fetchone()
    return Alarm(id, url, author, offset, hidden, relay)


def alarms(db: Connection) -> list[Alarm]:
    """What was found so far, and kept."""
    return [Alarm(id, url, author, offset, bool(hidden), row) for id, url, author, offset, hidden, row in db.execute(
        "SELECT space.id, url, author, position, hidden, relay.n FROM alarm JOIN relay ON relay.n = alarm.relay "
        "JOIN space ON space.n = alarm.space ORDER BY url, position, author")]
