"""Records in the database: written, imported, merged, projected.

Every method runs inside a transaction of the writer's thread (`store.Database.write`)
and touches nothing else, so that the order of commits is the order of truth. A record's
document is loaded from its snapshot and the changes since; the ones used last stay in a
bounded cache, which is dropped whenever some work is undone.

Two fields are reserved in a document: `_deleted` (true while the record is deleted; an
edit that was concurrent to the deletion does not bring it back) and `_source` (where an
imported record came from).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chez.errors import InvalidValue, NotFound
from chez.records import automerge
from chez.records.automerge import BadChange, Document, RawChange
from chez.records.diff import write_difference
from chez.records.encode import encode_fields, is_flat
from chez.records.imported import identity_change
from chez.records.values import Value, from_json, to_json
from chez.store.database import Connection
from chez_wire.limits import MAX_CHANGE

__all__ = ("Draft", "Incoming", "RecordStore", "Refusal")

WARM: Final = 512
"""Documents kept loaded: about 10 KB each."""

SNAPSHOT_AFTER: Final = 200
"""Changes since the last snapshot before a new one is written (loading grows with them)."""

_IN_ENTRY, _OUTBOX, _WAITING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Incoming:
    """A change from another device, for one record."""

    collection: str
    id: str
    change: RawChange


@dataclass(frozen=True, slots=True)
class Refusal:
    """An incoming change that Automerge does not accept, and why."""

    incoming: Incoming
    reason: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A copy of a record as an edit began: its document, that one's heads, and its value."""

    collection: str
    id: str
    document: Document
    heads: list[bytes]
    value: dict[str, Value]


@dataclass(frozen=True, slots=True)
class _Merged:
    document: Document
    value: dict[str, Value]


@dataclass(slots=True)
class _Row:
    n: int
    value: dict[str, Value]  # reserved fields included
    tail: int


class RecordStore:
    """The records of one device; `actor` is its device id."""

    def __init__(self, actor: bytes) -> None:
        self.actor = actor
        self._warm: OrderedDict[int, Document] = OrderedDict()
        self._fields: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Drop everything cached (some work was undone)."""
        self._warm.clear()
        self._fields.clear()

    # --- local writes ---------------------------------------------------------------

    def put(self, db: Connection, space: int, collection: str, id: str, value: dict[str, Value],
            known: frozenset[str] | None = None) -> None:
        """Create a record, or make its value `value` by one change that says the difference.

        `known` are the fields the caller's type has; others (written by a newer app) stay.
        """
        row = self._find(db, space, collection, id)
        if row is None:
            self._create(db, space, collection, id, value)
            return
        kept = {key: item for key, item in row.value.items() if key != "_deleted"
                and (key.startswith("_") or (known is not None and key not in known))}
        self._edit(db, row, collection, kept | value)

    def begin_edit(self, db: Connection, space: int, collection: str, id: str) -> "Draft":
        """A copy of a record to be edited. Raises `NotFound`."""
        row = self._find(db, space, collection, id)
        if row is None or row.value.get("_deleted"):
            raise NotFound(f"there is no record {id!r} in {collection!r}")
        document = self._load(db, row.n).fork()
        document.set_actor(self.actor)
        return Draft(collection, id, document, document.get_heads(), row.value)

    def end_edit(self, db: Connection, space: int, draft: "Draft", change: bytes, after: dict[str, Value]) -> None:
        """Take in a draft that `change` turned into `after`; it merges with what arrived meanwhile."""
        info = automerge.read_change(change)
        collection, id = draft.collection, draft.id
        row = self._find(db, space, collection, id)
        warm = None if row is None else self._warm.get(row.n)
        if row is not None and warm is not None and warm.get_heads() == draft.heads:
            self._log(db, row.n, info, _OUTBOX, None)
            self._keep(row.n, draft.document)
            self._project(db, row.n, collection, after, row.tail + 1)
            return
        refused = self.merge(db, space, [Incoming(collection, id, info)], state=_OUTBOX)
        if refused and row is not None:
            # An import on this very device took the sequence number meanwhile: make the
            # same difference again, on what the record is now.
            changed = {key: item for key, item in after.items() if key not in draft.value or draft.value[key] != item}
            kept = {key: item for key, item in row.value.items() if key in after or key not in draft.value}
            self._edit(db, row, collection, kept | changed)

    def delete(self, db: Connection, space: int, collection: str, id: str) -> None:
        """Mark a record deleted. Raises `NotFound`."""
        row = self._find(db, space, collection, id)
        if row is None or row.value.get("_deleted"):
            raise NotFound(f"there is no record {id!r} in {collection!r}")
        self._edit(db, row, collection, row.value | {"_deleted": True})

    def put_imported(self, db: Connection, space: int, collection: str, id: str, identity: dict[str, Value],
                     values: dict[str, Value], source: str, origin: str) -> str:
        """Bring one outside record home; returns "added", "updated" or "unchanged".

        Fields the person added stay; a record the person deleted stays deleted.
        """
        row = self._find(db, space, collection, id)
        if row is not None:
            after = row.value | identity | values
            if row.value.get("_deleted") or after == row.value:
                return "unchanged"
            self._edit(db, row, collection, after | {"_source": source}, origin)
            return "updated"
        first = identity_change(identity)
        rest = values | {"_source": source}
        second = self._first_change(rest, first, len(identity) + 1)
        n = self._insert(db, space, collection, id, identity | rest, tail=2)
        self._log(db, n, first, _OUTBOX, origin)
        self._log(db, n, second, _OUTBOX, origin)
        return "added"

    def _create(self, db: Connection, space: int, collection: str, id: str, value: dict[str, Value]) -> None:
        # An empty record still needs a change that makes it exist elsewhere.
        change = self._first_change(value or {"_deleted": False}, None, 1)
        self._log(db, self._insert(db, space, collection, id, value, tail=1), change, _OUTBOX, None)

    def _first_change(self, fields: dict[str, Value], after: RawChange | None, start: int) -> RawChange:
        """This device's first change of a record, setting fields that nothing set before."""
        if is_flat(fields):
            return encode_fields(self.actor, 1, start, () if after is None else (after.hash,), fields)
        document = automerge.new(self.actor) if after is None else automerge.load(after.bytes, self.actor)
        change = write_difference(document, {}, fields)
        assert change is not None  # there is at least one field
        return automerge.read_change(change)

    def _edit(self, db: Connection, row: _Row, collection: str, after: dict[str, Value],
              origin: str | None = None) -> None:
        document = self._load(db, row.n)
        change = write_difference(document, row.value, after)
        if change is None:
            return
        self._log(db, row.n, automerge.read_change(change), _OUTBOX, origin)
        self._project(db, row.n, collection, after, row.tail + 1)

    # --- changes from elsewhere -------------------------------------------------------

    def merge(self, db: Connection, space: int, incoming: Sequence[Incoming], state: int = _IN_ENTRY) -> list[Refusal]:
        """Merge changes of other devices, all those of a record in one go.

        A change whose dependencies have not arrived waits in the log. Returns what
        Automerge refused; nothing of it is kept in a document.
        """
        by_record: dict[tuple[str, str], list[Incoming]] = {}
        for item in incoming:
            by_record.setdefault((item.collection, item.id), []).append(item)
        refused: list[Refusal] = []
        for (collection, id), items in by_record.items():
            refused += self._merge_record(db, space, collection, id, items, state)
        return refused

    def _merge_record(self, db: Connection, space: int, collection: str, id: str, items: list[Incoming],
                      state: int) -> list[Refusal]:
        row = self._find(db, space, collection, id)
        n = None if row is None else row.n
        fresh = [item.change for item in items if not self._has(db, n, item.change.hash)]
        if row is not None and not fresh:
            return []
        waiting = self._waiting(db, n)
        ready, blocked = self._order(db, n, waiting + fresh)
        merged, done, bad = self._try(db, n, ready)
        if merged is None:  # nothing could be applied: the record has no value yet
            value = row.value if row is not None else {"_deleted": True}
        else:
            value = {} if merged.value == {"_deleted": False} else merged.value
        if n is None:
            n = self._insert(db, space, collection, id, value, tail=0)
        db.executemany("DELETE FROM change WHERE record = ? AND hash = ? AND state = 2",
                       [(n, change.hash) for change in waiting])
        for change in done:
            self._log(db, n, change, state, None)
        for change in blocked:
            self._log(db, n, change, _WAITING, None)
        if merged is not None:
            self._keep(n, merged.document)  # first: a snapshot is taken of the document that is kept
            self._project(db, n, collection, value, (row.tail if row is not None else 0) + len(done))
        reasons = {change.hash: reason for change, reason in bad}
        return [Refusal(item, reasons[item.change.hash]) for item in items if item.change.hash in reasons]

    def _order(self, db: Connection, n: int | None,
               changes: list[RawChange]) -> tuple[list[RawChange], list[RawChange]]:
        """Split changes into those that can be applied, in causal order, and the rest."""
        ready: list[RawChange] = []
        known: set[bytes] = set()
        blocked, progress = changes, True
        while progress and blocked:
            progress, rest = False, []
            for change in blocked:
                if change.hash in known:
                    continue
                if all(hash in known or self._has(db, n, hash) for hash in change.dependencies):
                    known.add(change.hash)
                    ready.append(change)
                    progress = True
                else:
                    rest.append(change)
            blocked = rest
        return ready, blocked

    def _try(self, db: Connection, n: int | None,
             ready: list[RawChange]) -> "tuple[_Merged | None, list[RawChange], list[tuple[RawChange, str]]]":
        """Apply everything at once; if that fails, find out which changes are to blame."""
        warm = None if n is None else self._warm.get(n)
        base = b"" if n is None or warm is not None else self._base(db, n)
        if not ready:
            return None, [], []
        try:
            return self._apply(base, warm, ready), ready, []
        except BadChange:
            pass
        good: list[RawChange] = []
        bad: list[tuple[RawChange, str]] = []
        merged = None
        for change in ready:
            try:
                merged = self._apply(base, warm, [*good, change])
                good.append(change)
            except BadChange as error:
                bad.append((change, error.message))
        return merged, good, bad

    def _apply(self, base: bytes, warm: Document | None, changes: list[RawChange]) -> "_Merged":
        if warm is not None:
            document = automerge.applied(warm, changes)
        else:
            document = automerge.load(base + b"".join(change.bytes for change in changes), self.actor)
        try:  # what can't be read or projected is refused with the change that brought it
            value = automerge.extract(document)
            to_json(value)
        except (ValueError, OverflowError, RecursionError, TypeError) as error:
            raise BadChange(f"the record would have no value: {error}"[:300]) from None
        return _Merged(document, value)

    # --- rows -----------------------------------------------------------------------

    def _find(self, db: Connection, space: int, collection: str, id: str) -> _Row | None:
        row = db.execute("SELECT n, json, kinds, deleted, tail FROM record "
                         "WHERE space = ? AND collection = ? AND id = ?", (space, collection, id)).fetchone()
        if row is None:
            return None
        value = from_json(row[1], row[2])
        if row[3]:
            value["_deleted"] = True
        return _Row(row[0], value, row[4])

    def _insert(self, db: Connection, space: int, collection: str, id: str, value: dict[str, Value], tail: int) -> int:
        json, kinds, deleted = self._columns(db, collection, value)
        n: int = db.execute("INSERT INTO record (space, collection, id, json, kinds, deleted, tail) "
                            "VALUES (?, ?, ?, ?, ?, ?, ?)",
                            (space, collection, id, json, kinds, deleted, tail)).lastrowid
        return n

    def _project(self, db: Connection, n: int, collection: str, value: dict[str, Value], tail: int) -> None:
        json, kinds, deleted = self._columns(db, collection, value)
        if tail >= SNAPSHOT_AFTER:
            document = self._load(db, n)
            db.execute("INSERT OR REPLACE INTO snapshot (record, doc) VALUES (?, ?)", (n, document.save()))
            db.execute("UPDATE change SET bytes = NULL WHERE record = ? AND state = 0", (n,))
            tail = 0
        db.execute("UPDATE record SET json = ?, kinds = ?, deleted = ?, tail = ? WHERE n = ?",
                   (json, kinds, deleted, tail, n))

    def _columns(self, db: Connection, collection: str, value: dict[str, Value]) -> tuple[str, str | None, bool]:
        deleted = value.get("_deleted") is True
        if "_deleted" in value:
            value = {key: item for key, item in value.items() if key != "_deleted"}
        for key in value:
            if (collection, key) not in self._fields:
                db.execute("INSERT OR IGNORE INTO field (collection, name) VALUES (?, ?)", (collection, key))
                self._fields.add((collection, key))
        json, kinds = to_json(value)
        return json, kinds, deleted

    def _log(self, db: Connection, n: int, change: RawChange, state: int, origin: str | None) -> None:
        if state == _OUTBOX and len(change.bytes) > MAX_CHANGE:
            raise InvalidValue(f"this edit takes {len(change.bytes):,} bytes; one change has at most {MAX_CHANGE:,}",
                               "Make it in several edits, or keep large content outside records.")
        db.execute("INSERT INTO change (record, hash, bytes, state, origin) VALUES (?, ?, ?, ?, ?)",
                   (n, change.hash, change.bytes, state, origin))

    def _has(self, db: Connection, n: int | None, hash: bytes) -> bool:
        """Whether a record's document has a change."""
        return n is not None and db.execute("SELECT 1 FROM change WHERE record = ? AND hash = ? AND state != 2",
                                            (n, hash)).fetchone() is not None

    def _waiting(self, db: Connection, n: int | None) -> list[RawChange]:
        if n is None:
            return []
        rows = db.execute("SELECT bytes FROM change WHERE record = ? AND state = 2 ORDER BY n", (n,)).fetchall()
        return [automerge.read_change(data) for (data,) in rows]

    def _base(self, db: Connection, n: int) -> bytes:
        """A record's loadable bytes: its snapshot and the changes since, in causal order."""
        snapshot = db.execute("SELECT doc FROM snapshot WHERE record = ?", (n,)).fetchone()
        rows = db.execute("SELECT bytes FROM change WHERE record = ? AND state != 2 AND bytes IS NOT NULL "
                          "ORDER BY n", (n,))
        return b"".join([snapshot[0] if snapshot is not None else b"", *[data for (data,) in rows]])

    def _load(self, db: Connection, n: int) -> Document:
        document = self._warm.get(n)
        if document is None:
            document = automerge.load(self._base(db, n), self.actor)
        self._keep(n, document)
        return document

    def _keep(self, n: int, document: Document) -> None:
        self._warm[n] = document
        self._warm.move_to_end(n)
        if len(self._warm) > WARM:
            self._warm.popitem(last=False)
