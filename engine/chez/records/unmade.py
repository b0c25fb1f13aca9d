"""Unsent work on a record that is made again: it stays, on whatever remains of the record.

What builds on changes that are still there goes out as it is. Otherwise it would wait for
what may never count again, so it is written anew: what the work changed, field by field,
on the record as it is now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chez.errors import Damaged
from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.counter import Counter
from chez.records.derived import DEVICE_ID
from chez.records.diff import same, write_difference
from chez.records.merge import Incoming, merge
from chez.records.rows import ABSENT, OUTBOX, PURGED, WAITING, Row, Rows
from chez.records.stalled import instead, stalled
from chez.records.values import Value
from chez.store.database import Connection
from chez_wire.limits import MAX_CHANGE

__all__ = ("Unsent", "put_back", "take_out")


@dataclass(frozen=True, slots=True)
class Unsent:
    """The changes of a record that wait to be sent, and the record's value without them and with them."""

    changes: tuple["_Waiting", ...]
    before: dict[str, Value] = field(repr=False)
    after: dict[str, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A change in the outbox: its row, and the transaction it is of."""

    row: int
    change: RawChange = field(repr=False)
    origin: str | None
    time: int
    batch: int | None


def take_out(rows: Rows, db: Connection, row: Row) -> Unsent:
    """What of a record waits to be sent; its rows are the caller's to delete."""
    changes = tuple(_Waiting(n, automerge.read_change(data), origin, time, batch)
                    for n, data, origin, time, batch in db.execute(
                        "SELECT n, bytes, origin, time, batch FROM change WHERE record = ? AND state = ? ORDER BY n",
                        (row.n, OUTBOX)))
    if not changes or row.state == PURGED:
        return Unsent((), {}, {})
    try:
        before = _without(rows, db, row.n, {one.change.hash for one in changes})
    except (BadChange, Damaged):  # damaged here: all that is shown is taken for the work
        before = {}
    return Unsent(changes, before, row.value)


def _without(rows: Rows, db: Connection, n: int, gone: set[bytes]) -> dict[str, Value]:
    """A record's value without some changes and what builds on them."""
    kept: list[RawChange] = []
    for raw in automerge.changes_of(rows.load(db, n)):
        change = automerge.read_change(raw)
        if change.hash in gone or not gone.isdisjoint(change.dependencies):
            gone.add(change.hash)
        else:
            kept.append(change)
    return automerge.extract(automerge.load(_joined(kept), rows.actor)) if kept else {}


def put_back(rows: Rows, db: Connection, space: int, row: Row, unsent: Unsent) -> None:
    """Put unsent work on a record that was made again, of which nothing else is unsent."""
    if not unsent.changes:
        return
    now = rows.find(db, space, row.collection, row.id)
    if now is not None and now.state == PURGED:
        return  # what was not sent goes with the rest
    changes: Sequence[_Waiting] = unsent.changes
    if not _fits(rows, db, row.n, changes):
        db.execute("DELETE FROM reversal WHERE record = ?", (row.n,))  # of changes that are no more
        changes = [replace(changes[-1], change=change) for change in _anew(rows, db, row.n, now, unsent)]
    merge(rows, db, space, [Incoming(row.collection, row.id, one.change, None, one.origin, one.time)
                            for one in changes])
    former: dict[int, int] = {}
    for one in changes:  # what an entry has brought by now is in the outbox no more
        found = db.execute("UPDATE change SET batch = ? WHERE record = ? AND hash = ? AND state = ? RETURNING n",
                           (one.batch, row.n, one.change.hash, OUTBOX)).fetchall()
        former |= {place: one.row for (place,) in found}
    _behind(db, former)


def _behind(db: Connection, former: Mapping[int, int]) -> None:
    """Move the outbox behind all else in the log, for the log is in causal order; `former` are rows put back.

    What waits keeps its order among itself, those by the rows that they had before: what was
    written together is next to each other. What came after it in the log of its record comes
    after it still.
    """
    (last,) = db.execute("SELECT coalesce(max(n), 0) FROM change").fetchone()
    rows = [n for (n,) in db.execute(
        "SELECT change.n FROM change JOIN (SELECT record, min(n) AS first FROM change WHERE state = ? GROUP BY record) "
        "AS own ON own.record = change.record AND change.n >= first ORDER BY change.n", (OUTBOX,))]
    order = sorted(rows, key=lambda n: (former.get(n, n), n not in former))
    db.executemany("UPDATE change SET n = ? WHERE n = ?", [(last + at, n) for at, n in enumerate(order, 1)])


def _fits(rows: Rows, db: Connection, n: int, changes: Sequence[_Waiting]) -> bool:
    """Whether the record still has all that the changes build on, this device's own number before them included."""
    here = {one.change.hash for one in changes}
    number = rows.own_sequence(db, n)
    for one in changes:
        change = one.change
        if len(change.actor) == DEVICE_ID and change.actor == rows.actor:
            number += 1
            if change.sequence != number:
                return False
        for hash in change.dependencies:
            if hash not in here and ((known := rows.logged(db, n, hash)) is None or known[0] >= WAITING):
                return False
    return True


def _anew(rows: Rows, db: Connection, n: int, now: Row | None, unsent: Unsent) -> list[RawChange]:
    """The change by which this device says again what its work changed; none if nothing is left to say."""
    shown = {} if now is None or now.state == ABSENT else now.value
    changed = {key: _over(shown.get(key), unsent.before.get(key), item) for key, item in unsent.after.items()
               if key not in unsent.before or not same(unsent.before[key], item)}
    gone = unsent.before.keys() - unsent.after.keys()
    if not shown and not {key for key in changed if key[0] != "_"}:
        return []  # only a deletion or the like, of what is not there any more
    base = rows.base(db, n)
    document = automerge.load(base, rows.actor) if base else automerge.new(rows.actor)
    wanted = {key: item for key, item in shown.items() if key not in gone} | changed
    if stalled(rows, db, n):  # what this device sent waits, and has its next number
        change = instead(document, wanted, rows.actor)
    else:
        data = write_difference(document, shown, wanted)
        change = None if data is None else automerge.read_change(data)
    if change is None:
        return []
    if len(change.bytes) > MAX_CHANGE:
        # Several changes were one record's unsent work: it stays in quarantine, and in nobody's way.
        db.executemany("INSERT INTO quarantine (space, reason, bytes) SELECT space, ?, ? FROM record WHERE n = ?",
                       [("work that was not sent built on what counts no more, and is too large for one change",
                         one.change.bytes, n) for one in unsent.changes])
        return []
    return [change]


def _over(shown: Value, before: Value, after: Value) -> Value:
    """A field's new value; to a counter goes what the work added."""
    if type(after) is Counter and type(shown) is Counter:
        return Counter(int(shown) + int(after) - (int(before) if type(before) is Counter else 0))
    return after


def _joined(changes: Sequence[RawChange]) -> bytes:
    return b"".join([change.bytes for change in changes])
