"""A change's operations as runs: what its columns tell by one word is checked by one look.

A change's columns are run-length encoded. Deleting a text of a hundred thousand characters
is a hundred thousand operations in a hundred bytes; they differ in their numbers alone,
which go up by one from each to the next. So a change is cut where any of its columns
changes what it says; how many runs that makes is bounded by the change's bytes.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chez.records import operations as ops
from chez.records.automerge import BadChange, RawChange
from chez.records.columns import MAX_OPERATIONS, BadColumns, read_uleb
from chez.records.fields import sets_again
from chez.records.operations import HEAD, MARK, Operation, OpId, signed

__all__ = ("Run", "Runs", "unpack")

_TEXT, _BYTES = 6, 7


@dataclass(frozen=True, slots=True)
class Run:
    """Operations that follow each other and differ in their numbers alone.

    From each to the next the number of an element that is their key goes up by `step`, and
    that of the one they replace by `back`. `size` is that of a value, `raw` has all of them.
    """

    id: OpId
    count: int
    obj: OpId | None
    key: str | OpId = field(repr=False)
    step: int
    insert: bool
    action: int
    kind: int
    size: int
    raw: bytes = field(repr=False)
    before: tuple[OpId, ...]
    back: int

    def at(self, n: int) -> Operation:
        """One of them, counted from 0."""
        key = (self.key[0] + n * self.step, self.key[1]) if isinstance(self.key, tuple) and n else self.key
        before = ((self.before[0][0] + n * self.back, self.before[0][1]),) if self.before and n else self.before
        return Operation((self.id[0] + n, self.id[1]), self.obj, key, self.insert, self.action, self.kind,
                         self.raw[n * self.size : (n + 1) * self.size], before)


class Runs:
    """All operations of a change."""

    __slots__ = ("_firsts", "all")

    def __init__(self, found: Sequence[Run]) -> None:
        self.all = found
        self._firsts = [run.id[0] for run in found]

    def __len__(self) -> int:
        return len(self.all)

    def find(self, number: int) -> Operation:
        """The operation of this number, which is one of the change's."""
        run = self.all[bisect_right(self._firsts, number) - 1]
        return run.at(number - run.id[0])

    def between(self, first: int, last: int) -> Sequence[Run]:
        """The runs that hold the operations from `first` to `last`."""
        return self.all[bisect_right(self._firsts, first) - 1 : bisect_right(self._firsts, last)]


def unpack(change: RawChange) -> Runs:
    """A change's operations; it was read before (`automerge.read_change`), so its counts are bounded.

    The very operations that `operations.decode` tells one by one. Raises `BadChange` for
    columns that do not fit together.
    """
    if (fields := sets_again(change)) is not None:
        actor, first = change.actor, change.first
        return Runs([Run((n, actor), 1, None, name, 0, False, ops.SET, kind, size, raw, ((before, actor),), 0)
                     for n, (name, kind, size, raw, before) in enumerate(fields, first)])
    try:
        return Runs(_unpacked(change))
    except (IndexError, TypeError, ValueError) as error:
        raise BadChange(f"a change's operations can't be read: {error}"[:300]) from None


class _Column:
    """A place in a column: its value there, how that goes on, and for how long."""

    __slots__ = ("_at", "_runs", "left", "step", "value")

    def __init__(self, runs: list[tuple[int, Any, int]], wanted: int, *, needed: bool = False) -> None:
        if sum([run[0] for run in runs]) != wanted or (needed and any(run[1] is None for run in runs)):
            raise BadColumns("columns of different lengths")
        self._runs, self._at = runs, -1
        self.left, self.step = 0, 0
        self.value: Any = None
        self._next()

    def _next(self) -> None:
        self._at += 1
        if self._at < len(self._runs):
            self.left, self.value, self.step = self._runs[self._at]

    def skip(self, count: int) -> None:
        """Go on by at most what is left of this run."""
        self.left -= count
        if not self.left:
            self._next()
        elif self.step:
            self.value += count * self.step


_ABSENT = _Column([], 0)
"""A column that a change does not have: it says nothing of all operations. Never moved."""


def _unpacked(change: RawChange) -> list[Run]:
    actors, columns = ops.header(change.bytes)
    if actors != sorted(set(actors) - {change.actor}):
        raise BadColumns("actors that are out of order")
    names = [change.actor, *actors]
    count = change.last - change.first + 1

    def column(kind: int, read: Callable[[bytes], list[tuple[int, Any, int]]], wanted: int = count, *,
               needed: bool = False) -> _Column:
        data = columns.get(kind)
        if data is None and not needed:
            return _ABSENT  # most changes have a few of the columns
        return _Column([(wanted, None, 0)] * bool(wanted) if data is None else read(data), wanted, needed=needed)

    groups = _plain(columns.get(ops.GROUP, b""))
    total = sum([run[0] * (run[1] or 0) for run in groups])
    if total > MAX_OPERATIONS:
        raise BadColumns("more predecessors than operations")
    obj_actor, obj = column(ops.OBJECT_ACTOR, _plain), column(ops.OBJECT, _plain)
    key_actor, key_number = column(ops.KEY_ACTOR, _plain), column(ops.KEY_NUMBER, _deltas)
    keys, marks = column(ops.KEY, _texts), column(ops.MARK_NAME, _texts)
    insert = column(ops.INSERT, _switches, needed=True)
    action, meta = column(ops.ACTION, _plain, needed=True), column(ops.META, _plain, needed=True)
    group = column(ops.GROUP, _plain, needed=True)
    column(ops.EXPAND, _switches)
    who = column(ops.BEFORE_ACTOR, _plain, total, needed=True)
    number = column(ops.BEFORE, _deltas, total, needed=True)
    columns_of = (obj_actor, obj, key_actor, key_number, keys, marks, insert, action, meta, group)
    all_of = [one for one in columns_of if one is not _ABSENT]
    raw, at, done = columns.get(ops.RAW, b""), 0, 0
    out: list[Run] = []
    while done < count:
        length = min([one.left for one in all_of])
        if group.value:
            length = min(length, who.left, number.left) if group.value == 1 else 1
        size = length * (meta.value >> 4)
        element = _id(key_actor, key_number, names, length)
        inside = _id(obj_actor, obj, names, length)
        place = keys.value if element is None else element
        if place is None or (keys.value is not None and element is not None) or inside == HEAD or (
                marks.value is not None and action.value != MARK):
            raise BadColumns("an operation in no place")
        values = raw[at : at + size]
        _check_values(meta.value & 15, meta.value >> 4, values, length)
        back = number.step if group.value == 1 and length > 1 else 0
        before = _before(group.value, who, number, names, length)
        out.append(Run((change.first + done, change.actor), length, inside, place,
                       key_number.step if element is not None else 0, insert.value, action.value, meta.value & 15,
                       meta.value >> 4, values, before, back))
        at += size
        done += length
        for one in all_of:
            one.skip(length)
    if at != len(raw):
        raise BadColumns("values of another length")
    return out


def _id(who: _Column, number: _Column, names: Sequence[bytes], length: int) -> OpId | None:
    """An operation by actor and number, which goes on for `length`; the beginning of a list has no actor."""
    last = None if number.value is None else number.value + (length - 1) * number.step
    if who.value is None:
        if number.value or last:
            raise BadColumns("an operation of nobody")
        return None if number.value is None else HEAD
    if number.value is None or last is None or min(number.value, last) < 1:
        raise BadColumns("an operation without a number")
    return number.value, names[who.value]


def _before(group: int, who: _Column, number: _Column, names: Sequence[bytes], length: int) -> tuple[OpId, ...]:
    """Those that an operation replaces; the first of each, when one replaces the next after another."""
    out = []
    for _ in range(group):
        found = _id(who, number, names, length)
        if found is not None:
            out.append(found)
        who.skip(length)
        number.skip(length)
    return tuple(out)


def _check_values(kind: int, size: int, raw: bytes, count: int) -> None:
    if not size:
        ops.check_value(kind, raw, 0)
    elif kind != _BYTES and not (kind == _TEXT and raw.isascii()):
        for at in range(0, count * size, size):
            ops.check_value(kind, raw[at : at + size], size)
    elif kind == _BYTES and len(raw) != count * size:
        raise BadColumns("a value that is none")


# --- columns ------------------------------------------------------------------------------


def _told(data: bytes, item: Callable[[bytes, int], tuple[Any, int]]) -> list[tuple[int, Any, int]]:
    out: list[tuple[int, Any, int]] = []
    at = 0
    while at < len(data):
        run, at = signed(data, at)
        if run > 0:
            value, at = item(data, at)
            out.append((run, value, 0))
        elif run < 0:
            for _ in range(-run):
                value, at = item(data, at)
                out.append((1, value, 0))
        else:
            nulls, at = read_uleb(data, at)
            if nulls:
                out.append((nulls, None, 0))
    return out


def _plain(data: bytes) -> list[tuple[int, Any, int]]:
    return _told(data, read_uleb)


def _texts(data: bytes) -> list[tuple[int, Any, int]]:
    return _told(data, ops.read_text)


def _deltas(data: bytes) -> list[tuple[int, Any, int]]:
    out: list[tuple[int, Any, int]] = []
    last = 0
    for count, step, _ in _told(data, signed):
        out.append((count, None, 0) if step is None else (count, last + step, step))
        last += count * (step or 0)
    return out


def _switches(data: bytes) -> list[tuple[int, Any, int]]:
    out: list[tuple[int, Any, int]] = []
    value, at = False, 0
    while at < len(data):
        run, at = read_uleb(data, at)
        if run:
            out.append((run, value, 0))
        value = not value
    return out

