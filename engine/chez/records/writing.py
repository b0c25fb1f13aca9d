"""Changes that are made on this device, taken into their records.

Each goes on from what its record has, by the shortest way there is: along the trail that this device's own last change
left (`records.trail`), without the document; else as what the document lacks; and in a record in which this device's
own changes wait, in the name of what it writes (`records.stalled`). What others sent, and waited for it, is merged.
"""

from collections.abc import Sequence
from typing import Final

from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.diff import shown, write_difference
from chez.records.merge import Incoming, merge, set_aside
from chez.records.puts import check_size
from chez.records.rows import OUTBOX, Held, Row, Rows
from chez.records.stalled import Stalled, instead
from chez.records.trail import Trail, begun
from chez.records.values import Value
from chez.records.waiting import Budget, owed
from chez.store.database import Connection

__all__ = ("Writer",)

_RELEASED: Final = 32_768
"""Operations of others' changes that a write made here merges, if they waited for it."""


class Writer:
    """Writes into the rows of one device's records, inside the caller's transaction."""

    def __init__(self, rows: Rows, stalled: Stalled) -> None:
        self.left = False
        """Whether a transaction left more to be merged than it took on: for `sync.backlog` to go on with."""
        self._rows = rows
        self._stalled = stalled

    def begin(self, db: Connection, space: int, collection: str, id: str, row: Row | None, value: dict[str, Value],
              changes: list[RawChange], origin: str | None) -> None:
        """A record's first changes; on one that is ABSENT, what waited for them is merged too."""
        if row is None:
            n = self._rows.insert(db, space, collection, id, value, len(changes))
            for change in changes:
                self.log(db, n, change, origin)
            return
        self.take(db, space, collection, id, changes, origin)

    def take(self, db: Connection, space: int, collection: str, id: str, changes: Sequence[RawChange],
             origin: str | None = None) -> None:
        """Merge changes made here with what the record has; those it has already are nothing new."""
        for change in changes:
            check_size(change)
        refused = merge(self._rows, db, space, [Incoming(collection, id, change, None, origin) for change in changes],
                        Budget(_RELEASED))
        for refusal in refused:
            if refusal.incoming.entry is None:  # nothing made here may be lost without a word
                raise BadChange(refusal.reason)
        set_aside(db, space, refused)
        self.left = self.left or owed(db, self._rows.damaged, space)

    def edit(self, db: Connection, row: Row, after: dict[str, Value], origin: str | None = None) -> RawChange | None:
        """Make a record's value `after`; returns the change, if it is all that was done and anything was."""
        if version := row.value.get("_version"):
            after = after | {"_version": max(version, after.get("_version", 1))}  # no edit lowers it
        lately, trail = self._rows.is_warm(row.n), self._rows.trail(row.n)
        if trail is not None and trail.actor == self._rows.actor and (
                change := trail.written(row.value, after)) is not None:
            self.follow(db, row, trail, change, after, origin)
            return change
        if self._stalled.has(db, row.n):
            self._instead(db, row, after, origin)
            return None
        document = self._rows.load(db, row.n)
        if (written := write_difference(document, row.value, after, partless=self._rows.partless(row.n))) is None:
            return None
        self.log(db, row.n, change := automerge.read_change(written), origin)
        if lately:
            self._rows.lead(row.n, begun(change, trail))
        self._rows.project(db, row, shown(document, row.value, after), row.tail + 1)
        return change

    def log(self, db: Connection, n: int, change: RawChange, origin: str | None) -> None:
        """Have a change that the record shows already sent. Raises `InvalidValue` for one that fits no entry."""
        check_size(change)
        self._rows.log(db, n, change, OUTBOX, origin)

    def follow(self, db: Connection, row: Row, trail: Trail, change: RawChange, after: dict[str, Value],
               origin: str | None = None, *, space: int | None = None) -> None:
        """Take in what was written on a record's trail; with its space, its change may be held."""
        check_size(change)
        alone = db.total_changes + 1  # the record's row, and nothing else
        if space is None:
            self._rows.log(db, row.n, change, OUTBOX, origin)
        else:
            self._rows.held = Held(space, row, change, origin, self._rows.now(), alone)
            self._rows.edited(space, row)
        self._rows.follow(row.n, change, trail.after(change, trail.changed(row.value, after)))
        self._rows.project(db, row, after, row.tail + 1)
        if db.total_changes != alone:  # a field that was never seen, an attachment, a snapshot
            self._rows.log_held(db)

    def _instead(self, db: Connection, row: Row, after: dict[str, Value], origin: str | None) -> None:
        """Write in a record in which this device's own changes wait (`records.stalled`)."""
        base = self._rows.base(db, row.n)
        document = automerge.load(base, self._rows.actor) if base else automerge.new(self._rows.actor)
        if (change := instead(document, after or {"_deleted": False}, self._rows.actor)) is not None:
            (space,) = db.execute("SELECT space FROM record WHERE n = ?", (row.n,)).fetchone()
            self.take(db, space, row.collection, row.id, [change], origin)
