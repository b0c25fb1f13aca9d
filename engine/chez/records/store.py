"""Records in the database: written, edited, imported.

Every method runs inside a transaction of the writer's thread (`store.Database.write`)
and touches nothing else, so that the order of commits is the order of truth.

Three fields are reserved in a document: `_deleted` (true while the record is deleted; an
edit that was concurrent to the deletion does not bring it back), `_source` (where an
imported record came from) and `_version` (of its form; see `records/reserved.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from chez.errors import Damaged, InvalidValue, MigrationFailed, NotFound, RecordPurged
from chez.records import automerge, scribe
from chez.records.anew import settle
from chez.records.automerge import RawChange
from chez.records.by_hand import changed_by_hand
from chez.records.conflicts import resolution
from chez.records.cursors import FieldPath, cursor_at, position_of
from chez.records.derived import derive
from chez.records.diff import first_change, same, shown, write_difference
from chez.records.draft import Draft
from chez.records.imported import identity_change, is_earlier_row, told_again
from chez.records.merge import Incoming, Refusal, follows, merge, set_aside, work_off
from chez.records.past import open_past
from chez.records.purging import erase, purge_change, settle_purges
from chez.records.puts import Over, Put, put_all
from chez.records.reserved import check_reserved
from chez.records.reversals import Reversal, Reversals
from chez.records.rows import ABSENT, DELETED, HERE, OUTBOX, PURGED, WAITING, Held, Row, Rows
from chez.records.stalled import Stalled
from chez.records.trail import begun
from chez.records.typed import Form, Migrated
from chez.records.values import Value, is_settled, to_json
from chez.records.waiting import Budget, owed
from chez.records.writing import Writer
from chez.shown import NO_RECORD
from chez.store.database import Connection
from chez_wire.limits import MAX_BATCH_BYTES, MAX_BATCH_CHANGES, MAX_BATCH_OPERATIONS

__all__ = ("Draft", "Incoming", "Over", "RecordStore", "Refusal", "Shown")

_PAGE: Final = 100
"""Records that one transaction migrates: others' writes wait for it."""

_STAND_IN: Final = b"edit"
"""The actor of an edit that is made once more: it never leaves the device."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a record, of a space by its row, will show: `row` is its row as readers have it (id, json, kinds)."""

    space: int
    collection: str
    row: tuple[str, str, str | None] = field(repr=False)


class RecordStore:
    """The records of one device; `actor` is its device id, `touch` hears collection and id of each one changed.

    `now` gives Unix milliseconds: when a change was made is shown, and nothing is ordered by it. What a
    transaction writes has the time that `moment` gives; without, `now`.
    """

    def __init__(self, actor: bytes, touch: Callable[[str, str], None] | None = None,
                 now: Callable[[], int] = int, moment: Callable[[], int] | None = None) -> None:
        self.actor = actor
        self.now = now
        self.permit: Callable[[int], None] = lambda space: None
        """Raises `NotAllowed` where this device may not write, given the space's row; asked before anything is."""
        self.ahead: Callable[[Shown], bool] = lambda shown: False
        """Hears on the event loop what will be shown, before the store has it; gives whether that was told anybody."""
        self._rows = Rows(actor, touch, moment or now)
        self._stalled = Stalled(self._rows)
        self.writer = Writer(self._rows, self._stalled)
        """What takes changes that are made here into their records."""

    def forget(self) -> None:
        """Drop everything cached (some work was undone)."""
        self._rows.forget()
        self._stalled.forget()

    # --- local writes ---------------------------------------------------------------

    def put(self, db: Connection, space: int, collection: str, id: str, value: dict[str, Value],
            over: Over | None = None) -> RawChange | None:
        """Create a record, or make its value `value` by one change that says the difference.

        `over` tells what an existing record is to hold; without, `value` and what is reserved. Returns
        the change, if it is all that was done. Raises `InvalidValue` for reserved fields that are none.
        """
        self.permit(space)
        check_reserved(value)
        row = self._rows.find(db, space, collection, id)
        _not_purged(row)
        if row is None or (row.state == ABSENT and not self._stalled.has(db, row.n)):
            # An empty record still needs a change that makes it exist elsewhere.
            change = first_change(self.actor, value or {"_deleted": False}, None, 1)
            shown = value if is_settled(value) else automerge.extract(automerge.load(change.bytes, self.actor))
            self.writer.begin(db, space, collection, id, row, shown, [change], None)
            return change if row is None else None
        stored = {key: item for key, item in row.value.items() if key != "_deleted"}
        if over is None or row.state != HERE:  # what was deleted is begun anew
            return self.writer.edit(db, row, {key: stored[key] for key in stored if key.startswith("_")} | value)
        wanted = over(stored)
        if wanted.migrated is not None:
            _, first = derive(self._rows.load(db, row.n), row.value, wanted.migrated)
            self.writer.take(db, space, collection, id, first)
            row = self._rows.find(db, space, collection, id) or row
        return self.writer.edit(db, row, wanted.after)

    def put_all(self, db: Connection, puts: Sequence[Put]) -> list[None]:
        """Do puts in their order, all or nothing (see `records.puts`). Raises as `put` does."""
        put_all(self._rows, db, puts, lambda one: self.put(db, one.space, one.collection, one.id, one.value, one.over))
        return [None] * len(puts)

    def begin_edit(self, db: Connection, space: int, collection: str, id: str) -> Draft:
        """A copy of a record to be edited. Raises `NotFound`."""
        self.permit(space)
        return self._draft(db, self._here(db, space, collection, id))

    def edit_at_hand(self, db: Connection, space: int, collection: str, id: str) -> Draft | None:
        """As `begin_edit`, of a record whose document is in memory: a matter of microseconds. None for another."""
        self.permit(space)
        row = self._rows.at_hand(space, collection, id) or self._here(db, space, collection, id)
        return self._draft(db, row) if self._rows.is_warm(row.n) else None

    def end_edit(self, db: Connection, space: int, draft: Draft, info: RawChange, after: dict[str, Value], *,
                 last: bool = False) -> None:
        """Take in a draft that the change `info` turned into `after`; it merges with what arrived meanwhile.

        `last`: nothing comes after it in its transaction but `log_held`, so it need not be in the log before.
        """
        self.permit(space)
        if draft.follows and draft.trail is not None and draft.trail is self._rows.trail(draft.row.n):
            # Nothing came in between.
            self.writer.follow(db, draft.row, draft.trail, info, after, space=space if last else None)
            return
        if draft.first:
            self.writer.take(db, space, draft.collection, draft.id, draft.first)
        row = self._rows.find(db, space, draft.collection, draft.id)
        _not_purged(row)
        if row is None:
            raise NotFound(f"there is no record {draft.id!r} in {draft.collection!r} any more")
        trail, warm = self._rows.trail(row.n), self._rows.warm(row.n)
        if any((found := self._rows.logged(db, row.n, head)) is None or found[0] >= WAITING for head in draft.heads):
            # What the draft builds on was made anew meanwhile (`records.anew`), or counts no more: field by field.
            changed = {key: item for key, item in after.items()
                       if key not in draft.value or not same(draft.value[key], item)}
            kept = {key: item for key, item in row.value.items() if key in after or key not in draft.value}
            self.writer.edit(db, row, kept | changed)
        elif (warm is not None and not draft.follows and not self._stalled.has(db, row.n)
              and sorted(warm.get_heads()) == sorted(draft.heads)):
            self.writer.log(db, row.n, info, None)
            self._rows.keep(row.n, draft.document, partless=draft.partless)
            self._rows.lead(row.n, begun(info, trail))
            self._rows.project(db, row, shown(draft.document, draft.value, after), row.tail + 1)
        elif self._rows.own_sequence(db, row.n) == info.sequence - 1 and not self._stalled.has(db, row.n):
            self.writer.take(db, space, draft.collection, draft.id, [info])
        else:
            # An import on this very device took the sequence number meanwhile: the same
            # edit, made by a stand-in on what the draft began with, merges with it.
            document = self._rows.load(db, row.n)
            edited = automerge.since(document, draft.heads, _STAND_IN)
            write_difference(edited, draft.value, after, self.actor)
            wanted = automerge.extract(automerge.merged(document, edited), _STAND_IN)
            self.writer.edit(db, row, wanted)

    def renew(self, db: Connection, space: int, collection: str, form: Form[Any], after: str) -> tuple[str, Migrated]:
        """Write a form's version into the records of older ones, a page of them from behind the id `after`.

        Returns the page's last id, empty when there are none left, and what was done.
        """
        ids = [id for (id,) in db.execute(
            "SELECT id FROM record WHERE space = ? AND collection = ? AND id > ? AND deleted = 0 "
            "AND coalesce(json_extract(json, '$._version'), 1) < ? ORDER BY id LIMIT ?",
            (space, collection, after, form.version, _PAGE))]
        failed = []
        for id in ids:
            try:
                self.put(db, space, collection, id, {}, partial(form.renew, id))
            except MigrationFailed as error:
                failed.append(error)
            except Damaged as error:
                failed.append(MigrationFailed(error.message, error.hint))
        return ids[-1] if ids else "", Migrated(len(ids) - len(failed), tuple(failed))

    def cursor(self, db: Connection, space: int, collection: str, id: str, path: FieldPath, position: int) -> str:
        """A cursor in a text. Raises `NotFound`, `InvalidValue` (see `records.cursors`)."""
        return cursor_at(self._rows.load(db, self._here(db, space, collection, id).n), path, position)

    def position(self, db: Connection, space: int, collection: str, id: str, path: FieldPath, cursor: str) -> int:
        """Where a cursor is now. Raises `NotFound`, `InvalidValue` (see `records.cursors`)."""
        return position_of(self._rows.load(db, self._here(db, space, collection, id).n), path, cursor)

    def begin_typing(self, db: Connection, space: int, collection: str, id: str,
                     path: Sequence[str | int]) -> scribe.Known:
        """A text that is about to be typed in (see `records.scribe`). Raises `NotFound`, `RecordPurged`."""
        self.permit(space)
        self._not_stalled(db, space, collection, id, "typing")
        return scribe.begin(self._rows, db, space, collection, id, path)

    def take_down(self, db: Connection, space: int, collection: str, id: str, path: Sequence[str | int],
                  known: scribe.Known, strokes: Sequence[scribe.Stroke]) -> scribe.Taken:
        """Write what was typed in a text (see `records.scribe`). Raises `NotFound`, `RecordPurged`."""
        self.permit(space)
        self._not_stalled(db, space, collection, id, "typing")
        return scribe.take_down(self._rows, db, space, collection, id, path, known, strokes)

    def delete(self, db: Connection, space: int, collection: str, id: str) -> None:
        """Mark a record deleted. Raises `NotFound`."""
        self.permit(space)
        row = self._here(db, space, collection, id)
        self.writer.edit(db, row, row.value | {"_deleted": True})

    def restore(self, db: Connection, space: int, collection: str, id: str) -> None:
        """Take a record out of the trash, as it is now. Raises `NotFound`."""
        self.permit(space)
        row = self._rows.find(db, space, collection, id)
        if row is None or row.state != DELETED:
            raise NotFound(f"there is no record {id!r} in the trash of {collection!r}", NO_RECORD)
        self.writer.edit(db, row, {key: item for key, item in row.value.items() if key != "_deleted"})

    def purge(self, db: Connection, space: int, collection: str, id: str) -> None:
        """Erase a record for good, here and wherever this arrives (see `records.purging`). Raises `NotFound`."""
        self.permit(space)
        row = self._rows.find(db, space, collection, id)
        if row is None or row.state >= ABSENT:
            raise NotFound(f"there is no record {id!r} in {collection!r}, nor in its trash", NO_RECORD)
        erase(self._rows, db, space, row, purge_change(self.actor), OUTBOX)

    def undo(self, db: Connection, space: int, collection: str, id: str, *, redo: bool = False) -> Reversal:
        """Undo this device's last change of a record, or take back the last undo (see `records.reversals`)."""
        self.permit(space)
        row = self._rows.find(db, space, collection, id)
        if row is None or row.state >= ABSENT:
            raise NotFound(f"there is no record {id!r} in {collection!r}", NO_RECORD)
        self._stalled.refuse(db, row.n, "an undo")
        reversals = Reversals(self._rows, db, row)
        change, told = reversals.redo() if redo else reversals.undo()
        self.writer.take(db, space, collection, id, () if change is None else (change,))
        return told

    def resolve(self, db: Connection, space: int, collection: str, id: str, field: str, choice: str) -> None:
        """Leave one version of a field that has several (see `records.conflicts`). Raises `NotFound`."""
        self.permit(space)
        n = self._here(db, space, collection, id).n
        self._stalled.refuse(db, n, "to settle a conflict")
        past = open_past(db, space, collection, id, self.actor)
        self.writer.take(db, space, collection, id, (
            resolution(past, field, choice, self._rows.own_sequence(db, n) + 1, self.actor),))

    def put_imported(self, db: Connection, space: int, collection: str, id: str, identity: dict[str, Value],
                     values: dict[str, Value], source: str, origin: str, *,
                     members: Mapping[str, int] | None = None, overwrite: bool = False) -> str:
        """Bring one outside record home; returns "added", "updated", "unchanged", "edited" or "purged".

        Fields the person added stay; a record the person deleted stays deleted, and one
        that was purged stays purged. Where sources are rows of files, whose `members` were read so far in
        this order, of several rows of one file the last one stays, with what only others say; and what the person
        changed since an import gave it stays as it is ("edited": it says nothing else), unless told to `overwrite` it.
        """
        self.permit(space)
        row = self._rows.find(db, space, collection, id)
        if row is not None and row.state == PURGED:
            return "purged"
        if row is not None and row.state != ABSENT:
            after = row.value | identity | values
            if members is not None and is_earlier_row(source, row.value.get("_source"), members):
                edited = self._edited(db, row, values.keys()) if overwrite else set[str]()
                # This one adds what that one does not say.
                after |= {name: value for name, value in row.value.items() if name not in edited}
                source = after["_source"]
            if row.state != HERE or same(row.value, after):
                return "unchanged"
            if members is not None:
                if not overwrite and same(row.value, after := self._spared(db, row, after)):
                    return "edited"
                if source == row.value.get("_source"):
                    source = told_again(source)
            self.writer.edit(db, row, after | {"_source": source}, origin)
            return "updated"
        first = identity_change(identity)
        rest = values | {"_source": source}
        if row is not None and self._stalled.has(db, row.n):
            self.writer.take(db, space, collection, id, [first], origin)
            self.writer.edit(db, self._rows.find(db, space, collection, id) or row, identity | rest, origin)
            return "added"
        second = first_change(self.actor, rest, first, len(identity) + 1)
        self.writer.begin(db, space, collection, id, row, identity | rest, [first, second], origin)
        return "added"

    def _spared(self, db: Connection, row: Row, after: dict[str, Value]) -> dict[str, Value]:
        """What an import makes of a record, without what a person changed there."""
        differ = {name for name in after if name not in row.value or not same(row.value[name], after[name])}
        edited = self._edited(db, row, differ)
        return {name: row.value[name] if name in edited else value for name, value in after.items()
                if name not in edited or name in row.value}

    def _edited(self, db: Connection, row: Row, fields: Set[str]) -> set[str]:
        return changed_by_hand(self._rows.load(db, row.n), row.value, fields)

    def mark_source(self, db: Connection, space: int, collection: str, id: str, source: str, origin: str) -> None:
        """Say that a record that is here came from another place of its source, which said the same again."""
        self.permit(space)
        row = self._here(db, space, collection, id)
        self.writer.edit(db, row, row.value | {"_source": source}, origin)

    @contextmanager
    def together(self, db: Connection) -> Iterator[None]:
        """What is written inside is sent as one, and becomes visible elsewhere together. Raises `InvalidValue`."""
        first: int = db.execute("SELECT coalesce(max(n), 0) + 1 FROM change").fetchone()[0]
        self._rows.batch = first
        try:
            yield
        finally:
            self._rows.batch = None
        count, size, weight = db.execute(
            "SELECT count(*), coalesce(sum(length(bytes) + 256), 0), coalesce(sum(weight), 0) FROM change "
            "WHERE n >= ? AND batch = ?", (first, first)).fetchone()
        if weight > MAX_BATCH_OPERATIONS:
            raise InvalidValue(f"this transaction makes and replaces {weight:,} fields, items and characters; "
                               f"at most {MAX_BATCH_OPERATIONS:,} become visible together",
                               "Make it in several transactions.")
        if count > MAX_BATCH_CHANGES or size > MAX_BATCH_BYTES:
            raise InvalidValue(
                f"this transaction writes {count:,} changes of {size:,} bytes; at most {MAX_BATCH_CHANGES:,} changes "
                f"and {MAX_BATCH_BYTES:,} bytes become visible together", "Make it in several transactions.")

    # --- changes from elsewhere -------------------------------------------------------

    def merge(self, db: Connection, space: int, incoming: Sequence[Incoming],
              budget: Budget | None = None) -> list[Refusal]:
        """Merge changes of other devices; returns what is refused, and set aside (see `records.merge`).

        What the budget leaves over is `owed`.
        """
        refused = merge(self._rows, db, space, incoming, budget)
        if refused:
            set_aside(db, space, refused)
        return refused

    def foresee(self, db: Connection, space: int, collection: str, id: str, change: RawChange,
                calm: int = 0) -> Shown | None:
        """What a record will show once this change of another device was merged, if that is certain; writes nothing.

        `calm` is the row of a record of which that is known (`Rows.calm`).
        """
        row = self._rows.at_hand(space, collection, id)
        value = None if row is None else follows(self._rows, db, row, change, calm=row.n == calm)
        if row is None or value is None:
            return None
        return Shown(space, collection, (id, *to_json(row.value | value)))

    def owed(self, db: Connection, space: int) -> bool:
        """Whether changes of a space are here whose turn to be merged has not come (`work_off`)."""
        return owed(db, self._rows.damaged, space)

    def work_off(self, db: Connection, space: int, budget: Budget) -> int:
        """Merge changes that are owed, as far as the budget goes; returns how many were refused, and set aside."""
        refused = work_off(self._rows, db, space, budget)
        set_aside(db, space, refused)
        return len(refused)

    @property
    def rows(self) -> Rows:
        """The rows of the records, for what makes records again (`chez.sync.recount`)."""
        return self._rows

    def settle(self, db: Connection, space: int) -> None:
        """What has arrived of work made anew is not said twice (see `records.anew`)."""
        settle(self._rows, db, space)

    @property
    def held(self) -> Held | None:
        """A change that is in no log yet; `log_held` is to come before the transaction is committed."""
        return self._rows.held

    def log_held(self, db: Connection, entry: int | None = None) -> None:
        """Log what is held, if anything is: in an entry, by its row, or in the outbox."""
        self._rows.log_held(db, entry)

    def before_commit(self, db: Connection) -> None:
        """What is done once for all that a transaction did, just before it is committed."""
        settle_purges(self._rows, db)

    # --- helpers ----------------------------------------------------------------------

    def _here(self, db: Connection, space: int, collection: str, id: str) -> Row:
        row = self._rows.find(db, space, collection, id)
        if row is None or row.state != HERE:
            raise NotFound(f"there is no record {id!r} in {collection!r}", NO_RECORD)
        return row

    def _draft(self, db: Connection, row: Row) -> Draft:
        document, pending = self._rows.apart(db, row.n)
        trail = self._rows.trail(row.n)
        if not pending:  # else nobody changes it: it is replaced
            document = document.fork()
            document.set_actor(self.actor)
        heads = [pending[-1].hash] if pending else document.get_heads()
        return Draft(row, heads, row.value, document, pending,
                     trail if trail is not None and trail.actor == self.actor else None,
                     partless=set(self._rows.partless(row.n)))

    def _not_stalled(self, db: Connection, space: int, collection: str, id: str, what: str) -> None:
        row = self._rows.find(db, space, collection, id)
        if row is not None:
            self._stalled.refuse(db, row.n, what)


def _not_purged(row: Row | None) -> None:
    if row is not None and row.state == PURGED:
        raise RecordPurged(f"a record {row.id!r} in {row.collection!r} was purged, and stays so",
                           "Put it under a new id.")
