"""Puts that share a transaction: of those of one record, what the first one taught serves the next.

Tasks that put values side by side share a commit (`store.writes`), and some of them put the
same record again and again. Each put is a change of its own. The first is made by the document
library, and so it tells which operation now stands at each field it set: this device's own, and
no other, for an edit replaces all it found there. As long as the next puts set only such fields, or new ones,
to scalars, their bytes are written here (`encode.encode_again`), the document takes them in
together, some commits later (`Rows.go_on`), and the projection is written once. Anything else is left to the
library. What stands where is kept with the document for the next transaction: it holds for as long as each change
builds on the one before alone.
Of a wide value that is laid over the very one that was put before it, what differs is known (`records.lately`).

Should the document refuse what was written here, the transaction in which it takes that in is undone, and done again
one by one; what it took in is byte for byte what the library writes, so that no input is known that it refuses.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from operator import is_not
from typing import Final

import msgspec

from chez.errors import InvalidValue
from chez.records import automerge
from chez.records.automerge import RawChange
from chez.records.diff import same
from chez.records.encode import FLAT, encode_again
from chez.records.rows import HERE, Row, Rows
from chez.records.trail import Trail, begun
from chez.records.typed import Wanted
from chez.records.values import Value, is_plain
from chez.store.database import Connection
from chez_wire.limits import MAX_CHANGE

__all__ = ("Over", "Put", "check_size", "put_all")

Over = Callable[[dict[str, Value]], Wanted]
"""What a record is to hold, given what it holds."""


class Put(msgspec.Struct, frozen=True, gc=False):
    """A record and what it is to hold: `value` when it is new, else what `over` says of what it holds."""

    space: int
    collection: str
    id: str
    value: dict[str, Value]
    over: Over | None = None

    def __repr__(self) -> str:
        return f"<Put of {self.id!r} of {self.collection!r}>"


Alone = Callable[[Put], RawChange | None]
"""Does one put by itself; the change that it made, None if that is not all it did."""

_ABSENT: Final = object()


@dataclass(slots=True)
class _Streak:
    """Puts of one record that follow each other; `stands` has the number of the operation at each field known."""

    row: Row
    value: dict[str, Value]
    stands: dict[str, int]
    last: RawChange
    made: list[RawChange] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


def put_all(rows: Rows, db: Connection, puts: Sequence[Put], alone: Alone) -> None:
    """Do puts in their order, in an open transaction. Raises as `alone` does, and `InvalidValue`, `BadChange`."""
    if len(puts) == 1:
        alone(puts[0])
        return
    streaks: dict[tuple[int, str, str], _Streak | RawChange | None] = {}
    for put in puts:
        key = put.space, put.collection, put.id
        before = streaks.pop(key, None)  # put in again below: what was put last is shown last
        if isinstance(before, RawChange):
            before = _begin(rows, db, put, before)
        if before is not None and _goes_on(rows, put, before):
            streaks[key] = before
            continue
        if before is not None:
            _settle(rows, db, before)
        streaks[key] = alone(put)
    for streak in streaks.values():
        if isinstance(streak, _Streak):
            _settle(rows, db, streak)


def check_size(change: RawChange) -> None:
    """Raise `InvalidValue` for a change that fits no entry."""
    if len(change.bytes) > MAX_CHANGE:
        raise InvalidValue(f"this edit takes {len(change.bytes):,} bytes; one change has at most {MAX_CHANGE:,}",
                           "Make it in several edits, or keep large content outside records.")


def _begin(rows: Rows, db: Connection, put: Put, last: RawChange) -> _Streak | None:
    """What follows this device's last change of a record, which was made just now on all that there was."""
    row = rows.find(db, put.space, put.collection, put.id)
    if row is None or row.state != HERE or not is_plain(row.value):
        return None
    trail = rows.trail(row.n)
    if trail is None or trail.hash != last.hash:
        trail = begun(last, None)
    return None if trail is None else _Streak(row, row.value, dict(trail.stands), last)


def _goes_on(rows: Rows, put: Put, streak: _Streak) -> bool:
    """Write the change of a put here, if that can be."""
    if put.over is None:
        return False
    wanted = put.over(streak.value)
    changed = None if wanted.migrated is not None else _changed(rows, streak, wanted)
    if changed:
        last = streak.last
        change = encode_again(rows.actor, last.sequence + 1, last.last + 1, last.hash, changed,
                              [streak.stands.get(key) for key in changed])
        check_size(change)
        streak.made.append(change)
        streak.times.append(rows.now())
        streak.stands.update(zip(changed, range(change.first, change.last + 1), strict=True))
        streak.last, streak.value = change, wanted.after
    return changed is not None


def _changed(rows: Rows, streak: _Streak, wanted: Wanted) -> dict[str, Value] | None:
    """The fields that differ, in the order of what is wanted; None if one of them is not for us to write."""
    before, after = streak.value, wanted.after
    unlike: Iterable[str]
    if wanted.unlike is not None:
        unlike = wanted.unlike
    elif before.keys() <= after.keys():
        # What is the very same, as most of a large value, is plain: all of `before` is.
        unlike = compress(after, map(is_not, after.values(), map(before.get, after, repeat(_ABSENT))))
    else:
        return None
    changed = {}
    for key in unlike:
        old, item = before.get(key, _ABSENT), after[key]
        if old is not _ABSENT and same(old, item):
            if type(item) not in FLAT and not is_plain(item):
                return None
        elif key[0] != "_" and type(item) in FLAT and (
                _is_new(rows, streak, key) if old is _ABSENT else key in streak.stands and type(old) in FLAT):
            changed[key] = item
        else:
            return None
    return changed


def _is_new(rows: Rows, streak: _Streak, key: str) -> bool:
    """Whether no operation stands at a field that the value does not have, as far as the document is at hand."""
    document = rows.behind(streak.row.n)  # without what it is to take in, and what is made, which the value has
    return document is not None and not automerge.has(document, key)


def _settle(rows: Rows, db: Connection, streak: _Streak) -> None:
    """Let the document take in what was written here, and show it."""
    if not streak.made:
        return
    row, last = streak.row, streak.last
    if rows.is_warm(row.n):
        rows.go_on(row.n, streak.made, Trail(last.actor, last.hash, last.sequence, last.last, streak.stands))
    rows.log_made(db, row.n, streak.made, streak.times)
    rows.project(db, row, streak.value, row.tail + len(streak.made))
