"""Unsent work of the device that a home was, made anew by the device that it became.

A change carries its author, so what was written and not sent before a home was restored
or copied can't leave in the new device's name. It is taken out of its record and written
again: the new device makes the difference between the record without it and with it. That
difference is named after what it holds (`records.derived`), so that when one backup is
restored twice both devices make the very same change, and nothing counts or shows twice.

It may have arrived all the same: the acknowledgement was lost, or the device that this
home is a copy of sent it later. So what was taken out is kept (`unsent`) until a relay was
read to its end, and nothing is sent before. As it arrives it is not said twice: the
difference is made once more, from the record with what arrived to the record as the person
left it (`settle`).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec

from chez.records import automerge
from chez.records.automerge import BadChange, Document, RawChange
from chez.records.derived import DEVICE_ID, made_anew
from chez.records.diff import write_difference
from chez.records.numbers import given_once
from chez.records.purging import purge_change
from chez.records.reserved import REMADE
from chez.records.rows import IN_ENTRY, OUTBOX, PURGED, Row, Rows
from chez.records.values import Value
from chez.store.database import Connection
from chez_wire.limits import MAX_BATCH_BYTES, MAX_BATCH_CHANGES, MAX_BATCH_OPERATIONS, MAX_CHANGE

__all__ = ("remake", "settle", "settled", "together", "unsettled")

_Made = tuple[RawChange, str | None, int | None]
"""A change, its origin, and when it was made (None: now)."""

_changes: Final = msgspec.msgpack.Decoder(list[bytes])


def remake(rows: Rows, db: Connection, n: int, unsent: Mapping[bytes, str | None], *, keep: bool) -> None:
    """Make a record's unsent changes (hash -> origin) anew; `rows.actor` is the new device.

    Changes that no device answers for (the first one of an imported record, a migration's)
    go out as they are, unless they build on one that does not. `keep` says that some of it
    may have arrived somewhere (`settle`). Raises `BadChange` when the record's document does
    not load.
    """
    work: list[RawChange] = []
    base: list[RawChange] = []
    gone: set[bytes] = set()
    if _row(rows, db, n).state == PURGED:
        _purge_again(rows, db, n)
        return
    for change in _all(rows.base(db, n), rows.actor):
        mine = change.hash in unsent and len(change.actor) == DEVICE_ID
        if mine or not gone.isdisjoint(change.dependencies):
            work.append(change)
            gone.add(change.hash)
        else:
            base.append(change)
    times: dict[bytes, int] = dict(db.execute("SELECT hash, time FROM change WHERE record = ?", (n,)).fetchall())
    _unroll(db, n, base, work)
    db.executemany("UPDATE change SET entry = NULL, state = ? WHERE record = ? AND hash = ?",
                   [(OUTBOX, n, change.hash) for change in base if change.hash in unsent])
    if keep and work:
        _keep(db, n, base, work, unsent)
    document, made = _again(rows.actor, _joined(base), [
        (change, unsent.get(change.hash), times.get(change.hash)) for change in work])
    _take(rows, db, n, document, made, len(base))


def _keep(db: Connection, n: int, base: Sequence[RawChange], work: Sequence[RawChange],
          unsent: Mapping[bytes, str | None]) -> None:
    """Remember what may have arrived of a record, and what it was made on.

    A row that is there is of an earlier time, and what it tells of may come still. What was made anew of that waits,
    and is made once more, so that nothing builds on it.
    """
    found = db.execute("SELECT first, changes FROM unsent WHERE record = ?", (n,)).fetchone()
    first, earlier = (work[0].hash, []) if found is None else (found[0], _changes.decode(found[1]))
    firm = [change for change in base if len(change.actor) != REMADE or change.hash not in unsent]
    db.execute("INSERT OR REPLACE INTO unsent (record, first, base, changes) VALUES (?, ?, ?, ?)",
               (n, first, _joined(firm), msgspec.msgpack.encode([*earlier, *(change.bytes for change in work)])))


def _purge_again(rows: Rows, db: Connection, n: int) -> None:
    """A purge says the same, whoever's it is."""
    with given_once(db):
        db.execute("DELETE FROM change WHERE record = ?", (n,))
    rows.log(db, n, purge_change(rows.actor), OUTBOX, counted=False)


def unsettled(db: Connection, space: int) -> bool:
    """Whether some work was made anew and it is not known yet what of it had arrived."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM unsent JOIN record ON record.n = unsent.record WHERE space = ?)",
                     (space,)).fetchone()
    return bool(row[0])


def settle(rows: Rows, db: Connection, space: int) -> None:
    """Entries came in: what had arrived of the work made anew is not said twice; the rest may still come.

    In the transaction that took them in, before anything of this device is in an entry.
    """
    found = db.execute("SELECT record FROM unsent JOIN record ON record.n = unsent.record WHERE space = ?",
                       (space,)).fetchall()
    again = False
    for (n,) in found:
        first, base, packed = db.execute("SELECT first, base, changes FROM unsent WHERE record = ?", (n,)).fetchone()
        arrived: list[RawChange] = []
        rest: list[bytes] = []
        for data in _changes.decode(packed):
            change = automerge.read_change(data)
            state = rows.logged(db, n, change.hash)
            if state is not None and state[0] == IN_ENTRY:
                arrived.append(change)
            else:
                rest.append(data)
        if arrived:
            others = _merge_again(rows, db, n, base, arrived, first)
            db.execute("UPDATE unsent SET base = ?, changes = ? WHERE record = ?",
                       (_joined(others), msgspec.msgpack.encode(rest), n))
            again = True
    if again:
        together(db, space)


def together(db: Connection, space: int) -> None:
    """Let the person's work that waits be seen elsewhere together, as far as a batch holds it.

    What was written together must not come apart, and what is made anew of several
    transactions is one change in a record. What connectors brought goes out behind it in
    entries of its own, and so do the person's edits of it, which build on it.
    """
    waits = ("SELECT change.n FROM change INDEXED BY outbox CROSS JOIN record ON record.n = change.record "
             "WHERE state = 1 AND record.space = ?")
    brought = f"{waits} AND origin IS NOT NULL"
    db.execute(f"UPDATE change SET origin = (SELECT min(other.origin) FROM change AS other "
               f"WHERE other.record = change.record AND other.state = 1) WHERE n IN ({waits}) AND origin IS NULL "
               f"AND record IN (SELECT record FROM change WHERE n IN ({brought}))", (space, space))
    (last,) = db.execute("SELECT coalesce(max(n), 0) FROM change").fetchone()
    # All of these records' rows: a record's log is in causal order.
    db.execute(f"UPDATE change SET n = n + ? WHERE record IN (SELECT record FROM change WHERE n IN ({brought}))",
               (last, space))
    mine = f"{waits} AND origin IS NULL"
    first, count, size, weight = db.execute(
        "SELECT min(n), count(*), coalesce(sum(length(bytes) + 256), 0), coalesce(sum(weight), 0) FROM change "
        f"WHERE n IN ({mine})", (space,)).fetchone()
    if count <= MAX_BATCH_CHANGES and size <= MAX_BATCH_BYTES and weight <= MAX_BATCH_OPERATIONS:
        db.execute(f"UPDATE change SET batch = ? WHERE n IN ({mine})", (first, space))


def settled(db: Connection, space: int) -> None:
    """A relay was read to its end: what has not come of that work will not, as far as can be known."""
    db.execute("DELETE FROM unsent WHERE record IN (SELECT n FROM record WHERE space = ?)", (space,))


def _merge_again(rows: Rows, db: Connection, n: int, base: bytes, arrived: Sequence[RawChange],
                 first: bytes) -> list[RawChange]:
    """Make what waits of a record once more, on what arrived; returns all other changes of it.

    First what was made anew, under its own names, then what this device wrote since.
    """
    everything = _all(rows.base(db, n), rows.actor)
    remade, edits = _waiting(rows, db, n, everything)
    gone = [change for change, *_ in (*remade, *edits)]
    hashes = {change.hash for change in gone}
    others = [change for change in everything if change.hash not in hashes]
    made: list[_Made] = []
    # What came in before this device's edits is in the record that they leave, and is no part of them.
    built, known = _joined(_built_on([change for change, *_ in edits], others)), {change.hash for change in others}
    # What was made anew before, and came in from another device that was the same one, is below what was made since.
    came = {change.hash for change in arrived}
    below = _built_on([*arrived, *(change for change, *_ in remade)], others)
    left = base + _joined([change for change in below if change.hash not in came])
    there = left + _joined(arrived)
    try:
        for part in (remade, edits):
            if part is edits:
                there, left = there + built, left + built
            left += _joined([change for change, *_ in part])
            # Work that came to nothing was not made anew; what arrived of it is to come to nothing as well.
            if part or (part is remade and not _made_elsewhere(others, base, rows.actor)):
                document, wanted = automerge.load(there, rows.actor), automerge.extract(_document(left, rows.actor))
                change = _once_more(document, wanted, first if part is remade else None)
                if change is not None:
                    there += change.bytes
                    if change.hash not in known:  # else another device that was the same one made it, and it came in
                        made.append((change, _origin(part), _last(part)))
    except BadChange:
        # What is here does not build on what is known to have been here: it stays beside
        # what arrived. Devices agree all the same; an item added to a list is there twice.
        return others
    fresh = [change for change, *_ in made]
    if any(len(change.bytes) > MAX_CHANGE for change in fresh):
        return others
    _unroll(db, n, others, gone)
    db.execute("DELETE FROM reversal WHERE record = ?", (n,))  # of changes that are no more
    _take(rows, db, n, automerge.load(_joined([*others, *fresh]), rows.actor), made, len(others))
    return others


def _waiting(rows: Rows, db: Connection, n: int, everything: Sequence[RawChange]) -> tuple[list[_Made], list[_Made]]:
    """What waits to be sent of a record and nobody else builds on: made anew, and written since."""
    own: list[_Made] = [(automerge.read_change(data), origin, time) for data, origin, time in db.execute(
        "SELECT bytes, origin, time FROM change WHERE record = ? AND state = ? ORDER BY n", (n, OUTBOX))]
    free = {change.hash for change, *_ in own if len(change.actor) == REMADE or change.actor == rows.actor}
    for change in reversed(everything):
        if change.hash not in free:  # another device made the same one, and what builds on it came before it
            free.difference_update(change.dependencies)
    edits = [made for made in own if made[0].hash in free and made[0].actor == rows.actor]
    return [made for made in own if made[0].hash in free and made[0].actor != rows.actor], edits


def _built_on(some: Sequence[RawChange], others: Sequence[RawChange]) -> list[RawChange]:
    """What of the other changes of a record, in causal order, some changes build on."""
    needed = {hash for change in some for hash in change.dependencies}
    found: list[RawChange] = []
    for change in reversed(others):
        if change.hash in needed:
            needed.update(change.dependencies)
            found.append(change)
    return found[::-1]


def _made_elsewhere(others: Sequence[RawChange], base: bytes, actor: bytes) -> bool:
    """Whether work that was made anew came in since: it may be this very work, which another device made as well."""
    before = {change.hash for change in _all(base, actor)}
    return any(len(change.actor) == REMADE and change.hash not in before for change in others)


def _once_more(document: Document, wanted: dict[str, Value], first: bytes | None) -> RawChange | None:
    """The change from a document's value to another: named after what it holds, or this device's own."""
    if first is not None:
        return made_anew(document, wanted, first)
    draft = document.fork()
    draft.set_actor(document.get_actor())
    data = write_difference(draft, automerge.extract(draft), wanted)
    return None if data is None else automerge.read_change(data)


def _again(actor: bytes, base: bytes, work: Sequence[_Made]) -> tuple[Document, list[_Made]]:
    """The document with the work made anew, and the changes that make it.

    One change for what came from one origin; several where one would be too large, as the
    work itself was.
    """
    document = _document(base, actor)
    made: list[_Made] = []
    parts = deque((origin, list(part)) for origin, part in groupby(work, key=lambda item: item[1]))
    while parts:
        origin, part = parts.popleft()
        after = base + _joined([change for change, *_ in part])
        change = made_anew(document, automerge.extract(automerge.load(after, actor)), part[0][0].hash)
        if change is not None and len(change.bytes) > MAX_CHANGE and len(part) > 1:
            half = len(part) // 2
            parts.extendleft([(origin, part[half:]), (origin, part[:half])])
            continue
        base = after
        if change is not None:
            document = automerge.applied(document, [change])
            made.append((change, origin, _last(part)))
    return document, made


def _origin(part: Sequence[_Made]) -> str | None:
    return min((origin for _, origin, _ in part if origin is not None), default=None)


def _last(part: Sequence[_Made]) -> int | None:
    return max((time for *_, time in part if time is not None), default=None)


def _unroll(db: Connection, n: int, kept: Sequence[RawChange], gone: Sequence[RawChange]) -> None:
    """Take changes out of a record's log, and the others out of its snapshot into the log."""
    with given_once(db):
        db.executemany("DELETE FROM change WHERE record = ? AND hash = ?", [(n, change.hash) for change in gone])
    db.execute("DELETE FROM snapshot WHERE record = ?", (n,))
    db.executemany("UPDATE change SET bytes = ? WHERE record = ? AND hash = ?",
                   [(change.bytes, n, change.hash) for change in kept])


def _take(rows: Rows, db: Connection, n: int, document: Document, made: Sequence[_Made], before: int) -> None:
    for change, origin, time in made:
        rows.log(db, n, change, OUTBOX, origin, time=time)
    rows.drop(n)  # with what was known of the changes that are no more
    rows.keep(n, document)
    rows.project(db, _row(rows, db, n), automerge.extract(document), before + len(made))


def _row(rows: Rows, db: Connection, n: int) -> Row:
    row = rows.find(db, *db.execute("SELECT space, collection, id FROM record WHERE n = ?", (n,)).fetchone())
    assert row is not None  # it was just read
    return row


def _all(data: bytes, actor: bytes) -> list[RawChange]:
    """The changes of a document, in causal order."""
    return [automerge.read_change(raw) for raw in automerge.changes_of(automerge.load(data, actor))] if data else []


def _document(data: bytes, actor: bytes) -> Document:
    return automerge.load(data, actor) if data else automerge.new(actor)


def _joined(changes: Sequence[RawChange]) -> bytes:
    return b"".join([change.bytes for change in changes])
