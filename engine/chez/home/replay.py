"""Making records again from the log: the entries of all authors, and what was not sent yet.

An entry holds the changes themselves, signed, so whatever a snapshot, a change's row or a
projection has become, the record is what its entries make of it. Work that was not sent
is in no entry; where its bytes are damaged, it is made again from what is shown.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from chez.errors import ChezError
from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.counting import COUNTS, Carried, counted
from chez.records.derived import DEVICE_ID
from chez.records.diff import write_difference
from chez.records.merge import Incoming, merge
from chez.records.numbers import given_once
from chez.records.purging import is_purge, purge_change
from chez.records.rows import ABSENT, DELETED, OUTBOX, PURGED, Rows
from chez.records.stalled import instead, stalled
from chez.records.values import Value, from_json
from chez.store.database import Connection
from chez.sync.entry import CHANGE, read_kept
from chez.sync.recount import SHOWN, settle_asides
from chez_wire.limits import MAX_CHANGE

__all__ = ("replay",)

Key = tuple[str, str]


class _Unsent(msgspec.Struct, frozen=True):
    """What of a record waits to be sent: the changes that can be read, and the value that is shown, if it is.

    `whole` says that all of them could be read, `awaited` that changes of other devices are
    missing that come from the relay again.
    """

    changes: list[tuple[RawChange, str | None, int]]
    shown: dict[str, Value] | None
    whole: bool = True
    awaited: bool = False


def replay(db: Connection, space: int, device: bytes, keys: Iterable[Key] | None, step: Callable[[int, int], Any],
           *, salvaged: bool = False) -> int:
    """Make records again, all of the space where none are named; returns how many. In an open transaction.

    In a `salvaged` store rows of changes may be lost without a trace, but what is shown of a
    record is what it was: where the log gives something else, the difference is written
    again. The table that holds the changes meanwhile is part of the transaction.
    """
    wanted = None if keys is None else set(keys)
    db.execute("CREATE TABLE replay (collection TEXT, id TEXT, entry INTEGER, time INTEGER, bytes BLOB)")
    for entry, time, items in _entries(db, space):
        db.executemany("INSERT INTO replay VALUES (?, ?, ?, ?, ?)", [
            (item.collection, item.id, entry, time, item.data) for item in items
            if item.kind == CHANGE and (wanted is None or (item.collection, item.id) in wanted)])
    db.execute("CREATE INDEX replay_by_record ON replay (collection, id)")
    names = db.execute("SELECT collection, id FROM record WHERE space = ? UNION SELECT collection, id FROM replay",
                       (space,)).fetchall()
    chosen = [key for key in names if wanted is None or key in wanted]
    rows = Rows(device)
    for done, (collection, id) in enumerate(chosen, 1):
        _replay_record(rows, db, space, collection, id, salvaged)
        if done % 64 == 0 or done == len(chosen):
            step(done, len(chosen))
    db.execute("DROP TABLE replay")
    return len(chosen)


def _entries(db: Connection, space: int) -> Iterator[tuple[int, int, list[Any]]]:
    """Row, time and items of each entry that is shown, in the order of their arrival."""
    # A batch whose last part is not there yet is not shown.
    for (n,) in db.execute(f"SELECT n FROM entry WHERE space = ? AND {SHOWN} ORDER BY n", (space,)).fetchall():
        inner = read_kept(db.execute("SELECT inner FROM entry WHERE n = ?", (n,)).fetchone()[0]).inner
        yield n, inner.time, inner.items


def _replay_record(rows: Rows, db: Connection, space: int, collection: str, id: str, salvaged: bool) -> None:
    found = db.execute("SELECT n, json, kinds, deleted FROM record WHERE space = ? AND collection = ? AND id = ?",
                       (space, collection, id)).fetchone()
    origins: dict[bytes, str | None] = {}
    unsent = _Unsent([], None)
    if found is not None:
        n, json, kinds, state = found
        if state == PURGED:
            if not _purge_counts_no_more(db, n):
                _purged_again(rows, db, n)
                return
        else:
            unsent = _unsent(db, rows.actor, n, json, kinds, state)
        origins = dict(db.execute("SELECT hash, origin FROM change WHERE record = ?", (n,)).fetchall())
        with given_once(db):
            db.execute("DELETE FROM change WHERE record = ?", (n,))
        db.execute("DELETE FROM snapshot WHERE record = ?", (n,))
        db.execute("UPDATE record SET json = '{}', kinds = NULL, deleted = ?, tail = 0, editor = NULL WHERE n = ?",
                   (ABSENT, n))
    rows.forget()
    items = [Carried(automerge.read_change(data), entry, author, time, standing)
             for entry, author, time, standing, data in db.execute(
                 "SELECT entry, author, time, standing, bytes FROM replay JOIN entry ON entry.n = replay.entry "
                 "WHERE collection = ? AND id = ? ORDER BY replay.rowid", (collection, id)).fetchall()]
    counts = counted(items)
    merge(rows, db, space, [Incoming(collection, id, item.change, item.entry, origins.get(item.change.hash), item.time)
                            for item, counts_ in zip(items, counts, strict=True) if counts_])
    settle_asides(db, space, (collection, id), items, counts)
    merge(rows, db, space, [Incoming(collection, id, change, None, origin, time)
                            for change, origin, time in unsent.changes])
    row = rows.find(db, space, collection, id)
    if row is not None and unsent.shown is not None and not unsent.awaited and (salvaged or not unsent.whole):
        _show_again(rows, db, row.n, unsent.shown, space, collection, id)


def _purge_counts_no_more(db: Connection, n: int) -> bool:
    """Whether the entry that purged a record is one that does not count."""
    row = db.execute("SELECT standing FROM change JOIN entry ON entry.n = change.entry WHERE record = ? "
                     "AND change.state = 0", (n,)).fetchone()
    return row is not None and row[0] != COUNTS


def _purged_again(rows: Rows, db: Connection, n: int) -> None:
    """A tombstone stays; one that is in no entry any more, or can't be read, is said by this device."""
    kept = db.execute("SELECT bytes FROM change WHERE record = ? AND (state = 1 AND entry IS NULL OR "
                      "state = 0 AND entry IN (SELECT n FROM entry))", (n,)).fetchone()
    try:
        if kept is not None and kept[0] and is_purge(automerge.read_change(kept[0])):
            return
    except BadChange:
        pass
    with given_once(db):
        db.execute("DELETE FROM change WHERE record = ?", (n,))
    rows.log(db, n, purge_change(rows.actor), OUTBOX, counted=False)


def _unsent(db: Connection, device: bytes, n: int, json: str, kinds: str | None, state: int) -> _Unsent:
    changes: list[tuple[RawChange, str | None, int]] = []
    whole, awaited = True, False
    held = _held(db, device, n)
    # Also a change that says it is in an entry which is not there: nothing would send it.
    for hash, data, origin, time in db.execute(
            "SELECT hash, bytes, origin, time FROM change WHERE record = ? AND (state = 1 OR (state = 0 AND "
            "(entry IS NULL OR entry NOT IN (SELECT n FROM entry)))) ORDER BY n", (n,)).fetchall():
        try:
            change = automerge.read_change(data or held.get(hash, b""))
            if change.hash != hash:
                raise BadChange("it is another change")
        except BadChange:
            whole = False
            continue
        if change.actor == device or len(change.actor) != DEVICE_ID:
            changes.append((change, origin, time))
        else:
            awaited = True
    shown = None
    if state != ABSENT:
        with suppress(ValueError, TypeError, LookupError, ChezError):
            shown = from_json(json, kinds) | ({"_deleted": True} if state == DELETED else {})
    # A part of what was not sent is of no use without what it builds on.
    return _Unsent(changes if whole or shown is None else [], shown, whole, awaited)


def _held(db: Connection, device: bytes, n: int) -> dict[bytes, bytes]:
    """The changes inside a record's snapshot, if it can be read."""
    found = db.execute("SELECT doc FROM snapshot WHERE record = ?", (n,)).fetchone()
    if found is None:
        return {}
    try:
        return {automerge.read_change(raw).hash: raw for raw in automerge.changes_of(automerge.load(found[0], device))}
    except BadChange:
        return {}


def _show_again(rows: Rows, db: Connection, n: int, shown: dict[str, Value], space: int, collection: str,
                id: str) -> None:
    """Write what was shown of a record as one change on what its entries make of it."""
    base = rows.base(db, n)
    document = automerge.load(base, rows.actor) if base else automerge.new(rows.actor)
    if stalled(rows, db, n):
        change = instead(document, shown, rows.actor)
    else:
        data = write_difference(document, automerge.extract(document), shown)
        change = None if data is None else automerge.read_change(data)
    if change is not None and len(change.bytes) <= MAX_CHANGE:
        merge(rows, db, space, [Incoming(collection, id, change)])
