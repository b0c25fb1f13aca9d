"""A record's rows: its projection and its log of changes.

Every method runs inside a transaction of the writer's thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.records import snapshots
from chez.records.automerge import RawChange
from chez.records.derived import DEVICE_ID
from chez.records.documents import WARM, Documents, Tip
from chez.records.values import Value, from_json, to_json
from chez.store.database import Connection

__all__ = ("ABSENT", "DELETED", "HERE", "IN_ENTRY", "OUTBOX", "PURGED", "REFUSED", "WAITING", "Held", "Row",
           "Rows")

SNAPSHOT_AFTER: Final = 200
"""Changes since the last snapshot before a new one is written (loading grows with them)."""

_BURST: Final = 4
"""And as many times what comes of it at once: in the midst of a row of thousands a snapshot would be out of date in
a moment, and to see that it loads again takes a third of what the changes took."""

IN_ENTRY, OUTBOX, WAITING, REFUSED = 0, 1, 2, 3
"""States of a change; those below WAITING are in the document."""

HERE, DELETED, ABSENT, PURGED = 0, 1, 2, 3
"""States of a record; ABSENT while all that arrived of it waits for something."""

_LOG: Final = ("INSERT INTO change (record, hash, bytes, sequence, last, weight, entry, state, origin, batch, time) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")

_ASKED: Final = 64
"""Changes that are looked for in a log at once."""
_ALL_LOGGED: Final = f"SELECT hash, state, last FROM change WHERE record = ? AND hash IN ({', '.join('?' * _ASKED)})"

_NEXT: Final = "(SELECT coalesce(max(changed), 0) + 1 FROM record)"
"""The next number of a write; none is given twice (`records.numbers`)."""


@dataclass(slots=True)
class Row:
    """A record as its projection has it; `value` with the reserved fields."""

    n: int
    collection: str
    id: str
    value: dict[str, Value]
    tail: int
    state: int


@dataclass(frozen=True, slots=True)
class Held:
    """A change that was made here, and is in no log yet: it is all that its transaction leaves to be sent.

    So whoever puts it into an entry need not ask the store what waits, and the log has it with its entry at once.
    `changes` is the connection's count of changed rows as long as the transaction writes nothing else.
    """

    space: int
    row: Row = field(repr=False)
    change: RawChange = field(repr=False)
    origin: str | None
    time: int
    changes: int


@dataclass(slots=True)
class Rows(Documents):
    """The rows of one device's records; `actor` is its device id, `touch` hears of each record changed.

    `now` gives Unix milliseconds, for history.
    """

    touch: Callable[[str, str], None] | None = None
    now: Callable[[], int] = int
    batch: int | None = None
    """The transaction whose changes are being logged, if they are to be sent as one."""
    purged: bool = True
    """Whether something may have been purged whose words are still in an index; so it may be when a store is opened."""
    damaged: set[int] = field(default_factory=set)
    """Records whose bytes here do not load: what is due of them waits, and is not tried again and again."""
    entangled: int = 0
    """How often others' changes were merged otherwise than one that goes on alone: something may wait since."""
    calm: int = 0
    """The row of the record where others' changes were merged last, if that was one that goes on alone, and the log has
    nothing of the record that waits or was refused."""
    held: Held | None = field(default=None, repr=False)
    """What the log is to have before the transaction is committed."""
    _fields: set[tuple[str, str]] = field(default_factory=set)
    _edited: dict[tuple[int, str, str], int] = field(default_factory=dict, repr=False)
    """The rows of records that were edited last, by space, collection and id."""
    _bursts: dict[int, int] = field(default_factory=dict)
    """The records that were last shown with many changes at once, and with how many."""

    def forget(self) -> None:
        """Drop everything cached (some work was undone)."""
        self.held, self.calm = None, 0
        self._warm.clear()
        self._edited.clear()
        self._fields.clear()
        self._bursts.clear()
        self.damaged.clear()
        self.purged = True

    # --- the projection ---------------------------------------------------------------

    def find(self, db: Connection, space: int, collection: str, id: str) -> Row | None:
        """A record's row, whatever its state."""
        try:
            row = db.execute("SELECT n, json, kinds, tail, deleted FROM record "
                             "WHERE space = ? AND collection = ? AND id = ?", (space, collection, id)).fetchone()
        except UnicodeEncodeError:  # half a surrogate pair: no record has such an id
            return None
        if row is None:
            return None
        value = from_json(row[1], row[2])
        if row[4] == DELETED:
            value["_deleted"] = True
        return Row(row[0], collection, id, value, row[3], row[4])

    def at_hand(self, space: int, collection: str, id: str) -> Row | None:
        """As `find`, of a record that is loaded and was edited lately; None for any other."""
        n = self._edited.get((space, collection, id), 0)
        warm = self._warm.get(n)
        if warm is None or warm.shown is None:
            return None
        json, kinds, tail = warm.shown
        return Row(n, collection, id, from_json(json, kinds), tail, HERE)

    def edited(self, space: int, row: Row) -> None:
        """A record is being edited, here or on another device: it may be `at_hand` the next time."""
        if len(self._edited) >= 2 * WARM:
            self._edited.clear()
        self._edited[space, row.collection, row.id] = row.n

    def insert(self, db: Connection, space: int, collection: str, id: str, value: dict[str, Value] | None,
               tail: int, entry: int | None = None) -> int:
        """A new record; without a value it is ABSENT. `entry` is the row of what brought its last change."""
        if self.touch is not None:
            self.touch(collection, id)
        json, kinds, state = ("{}", None, ABSENT) if value is None else self._columns(db, collection, value)
        n: int = db.execute("INSERT INTO record (space, collection, id, json, kinds, deleted, tail, changed, born, "
                            f"editor) VALUES (?, ?, ?, ?, ?, ?, ?, {_NEXT}, {_NEXT}, ?)",
                            (space, collection, id, json, kinds, state, tail, entry)).lastrowid
        return n

    def project(self, db: Connection, row: Row, value: dict[str, Value], tail: int,
                entry: int | None = None) -> None:
        """Show a record's new value; once in a while, a snapshot takes in what its log has.

        `entry` is the row of what brought its last change, None for one made here.
        """
        n = row.n
        if self.touch is not None:
            self.touch(row.collection, row.id)
        json, kinds, state = self._columns(db, row.collection, value)
        came = self._came(n, tail - row.tail)
        if tail >= max(SNAPSHOT_AFTER, _BURST * came) and snapshots.due(db, n, tail):
            self.log_held(db)  # what is in a snapshot is in the log
            tail = snapshots.take(db, n, self.load(db, n))
        db.execute(f"UPDATE record SET json = ?, kinds = ?, deleted = ?, tail = ?, changed = {_NEXT}, editor = ?, "
                   f"born = CASE WHEN deleted = 0 THEN born ELSE {_NEXT} END WHERE n = ?",
                   (json, kinds, state, tail, entry, n))
        if (warm := self._warm.get(n)) is not None:
            warm.shown = (json, kinds, tail) if state == HERE else None

    def _came(self, n: int, came: int) -> int:
        """How many changes a record is shown with, or was just before: of a row of puts the first stands alone."""
        before = self._bursts.pop(n, 0)
        if _BURST * came >= SNAPSHOT_AFTER:
            if len(self._bursts) >= WARM:
                self._bursts.clear()
            self._bursts[n] = came
        return max(came, before)

    def blank(self, db: Connection, row: Row, state: int, entry: int | None) -> None:
        """Show nothing of a record any more; `entry` is the row of what brought that."""
        if self.touch is not None:
            self.touch(row.collection, row.id)
        self._warm.pop(row.n, None)
        db.execute(f"UPDATE record SET json = '{{}}', kinds = NULL, deleted = ?, tail = 0, changed = {_NEXT}, "
                   "editor = ? WHERE n = ?", (state, entry, row.n))

    def _columns(self, db: Connection, collection: str, value: dict[str, Value]) -> tuple[str, str | None, int]:
        state = DELETED if value.get("_deleted") is True else HERE
        if "_deleted" in value:
            value = {key: item for key, item in value.items() if key != "_deleted"}
        for key in value:
            if (collection, key) not in self._fields:
                db.execute("INSERT OR IGNORE INTO field (collection, name) VALUES (?, ?)", (collection, key))
                self._fields.add((collection, key))
        json, kinds = to_json(value)
        return json, kinds, state

    # --- the log ----------------------------------------------------------------------

    def log(self, db: Connection, n: int, change: RawChange, state: int, origin: str | None = None,
            entry: int | None = None, time: int | None = None, *, counted: bool = True) -> int:
        """Add a change to a record's log; its row there. `entry` is that of the entry that brought it.

        `time` is now, without. One that is not `counted` is kept, and takes none of its author's numbers.
        """
        row: int = db.execute(_LOG, self._line(n, change, state, origin, entry, time, counted)).lastrowid
        if change.actor == self.actor and counted:
            self._count(n, change)
        if state == REFUSED and (warm := self._warm.get(n)) is not None:
            warm.refused = True
        return row

    def log_held(self, db: Connection, entry: int | None = None) -> None:
        """Add what is held, if anything is, to its record's log: in an entry, by its row, or to the outbox."""
        held, self.held = self.held, None
        if held is not None:
            self.log(db, held.row.n, held.change, OUTBOX if entry is None else IN_ENTRY, held.origin, entry, held.time)

    def log_all(self, db: Connection, n: int, lines: Sequence[tuple[RawChange, int, str | None, int | None,
                                                                    int | None]]) -> None:
        """As `log` of each: change, state, origin, entry, time. One statement for all takes a quarter of theirs."""
        db.executemany(_LOG, [self._line(n, *line, True) for line in lines])
        for change, *_ in lines:
            if change.actor == self.actor:
                self._count(n, change)

    def _line(self, n: int, change: RawChange, state: int, origin: str | None, entry: int | None, time: int | None,
              counted: bool) -> tuple[object, ...]:
        sequence = change.sequence if counted and len(change.actor) == DEVICE_ID else 0
        batch = self.batch if state == OUTBOX else None
        return (n, change.hash, change.bytes, sequence, change.last, change.weight, entry, state, origin, batch,
                self.now() if time is None else time)

    def log_made(self, db: Connection, n: int, changes: Sequence[RawChange], times: Sequence[int]) -> None:
        """Add changes that this device made to a record's log: they wait to be sent. `times` is when each was made."""
        db.executemany(_LOG, [(n, change.hash, change.bytes, change.sequence, change.last, change.weight, None,
                               OUTBOX, None, self.batch, time) for change, time in zip(changes, times, strict=True)])
        self._count(n, changes[-1])

    def _count(self, n: int, change: RawChange) -> None:
        warm = self._warm.get(n)
        if warm is not None and warm.own is not None:
            warm.own = max(warm.own, (change.sequence, change.hash))

    def logged(self, db: Connection, n: int | None, hash: bytes) -> tuple[int, int] | None:
        """State and last operation of a change in a record's log, None when it never came."""
        if n is None:
            return None
        row = db.execute("SELECT state, last FROM change WHERE record = ? AND hash = ?", (n, hash)).fetchone()
        return None if row is None else (row[0], row[1])

    def all_logged(self, db: Connection, n: int, hashes: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """As `logged`, of those of some changes that ever came."""
        found: dict[bytes, tuple[int, int]] = {}
        for at in range(0, len(hashes), _ASKED):
            some = hashes[at : at + _ASKED]  # filled up, so that there is one statement to prepare
            found |= {hash: (state, last) for hash, state, last in db.execute(
                _ALL_LOGGED, (n, *some, *[some[0]] * (_ASKED - len(some))))}
        return found

    def unlog(self, db: Connection, row: int) -> None:
        """Take a waiting change, by its row, out of a record's log, to be put in again as what it became."""
        db.execute("DELETE FROM change WHERE n = ? AND state = 2", (row,))

    def delivered(self, db: Connection, n: int, hash: bytes, entry: int) -> None:
        """A change that waits to be sent came in an entry of another device, which made the very same one.

        Others may build on it by now, so it is not this device's any more to make once more.
        """
        db.execute("UPDATE change SET state = ?, entry = ?, batch = NULL WHERE record = ? AND hash = ?",
                   (IN_ENTRY, entry, n, hash))

    def own_sequence(self, db: Connection, n: int) -> int:
        """The number of this device's last change of a record."""
        return self.own_last(db, n)[0]

    def own_last(self, db: Connection, n: int) -> tuple[int, bytes]:
        """The number and hash of this device's last change of a record; 0 when it made none."""
        warm = self._warm.get(n)
        if warm is not None and warm.own is not None:
            return warm.own
        # SQLite takes a bare column from the row that has the maximum.
        number, hash = db.execute(
            "SELECT max(change.sequence), change.hash FROM change LEFT JOIN entry ON entry.n = change.entry "
            "WHERE record = ? AND (entry IS NULL OR author = ?)", (n, self.actor)).fetchone()
        found = (number, hash) if number else (0, b"")
        if warm is not None:
            warm.own = found
        return found

    def tips(self, db: Connection, n: int) -> dict[bytes, Tip]:
        """Of each author, how far its changes of a record came; the caller keeps them current."""
        warm = self._warm.get(n)
        if warm is not None and warm.tips is not None:
            return warm.tips
        refused = dict(db.execute("SELECT author, min(change.sequence) FROM change "
                                  "JOIN entry ON entry.n = change.entry WHERE record = ? AND state = 3 "
                                  "AND change.sequence > 0 GROUP BY author", (n,)))
        # SQLite takes a bare column from the row that has the maximum.
        rows = db.execute("SELECT author, max(change.sequence), change.hash FROM change "
                          "JOIN entry ON entry.n = change.entry WHERE record = ? AND change.sequence > 0 "
                          "GROUP BY author", (n,))
        return {author: Tip(sequence, hash, refused.get(author)) for author, sequence, hash in rows}
