"""What a change's columns claim, looked at before the document library unpacks them.

They are run-length encoded: a run of ten million operations takes a few bytes, and
unpacking it exhausts a device's memory inside the library, which then ends the process.
So each column's run counts are added up first; a change that claims more than
`MAX_OPERATIONS` is refused. So is one with a value that no record holds and that the
library gives up on when it is read (docs/decisions/0002): a counter, a kind yet
unknown, a time outside 0001-01-02 to 9999-12-31. Both depend on the change's bytes alone, so
every device refuses the same.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, ParamSpec, TypeVar

from chez.records.settings import Settings, read_settings

__all__ = ("MAX_OPERATIONS", "BadColumns", "check_columns", "claims_too_much", "read_uleb")

MAX_OPERATIONS: Final = 131_072
"""Operations in one change: about half a second to load, and tens of megabytes."""

P = ParamSpec("P")
R = TypeVar("R")

_SHORT: Final = 1024
"""Bytes of a column whose count is remembered."""

_GROUP, _ACTOR, _UINT, _DELTA, _BOOLEAN, _STRING, _META, _RAW = range(8)

_COLUMNS: Final = frozenset((
    0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xA5))
"""Object, key, insert, action, value, predecessors, expand, mark name. A column yet unknown
would be kept by a document and lost when it is saved."""

_ACTION: Final = 0x42
"""The column that says what each operation does: every operation has a value there."""

_KEY: Final = 0x15
"""The column of keys of maps. A change names a key of a map at most once, for it tells what the
map holds after it: so its keys, or the maps they are in, take a byte each at the least. Elements
of lists and texts are others: thousands of them are told by one run."""

_BEFORE: Final = 0x73
"""The column of the operations that are replaced."""

_TIME: Final = 9
_KINDS: Final = frozenset((0, 1, 2, 3, 4, 5, 6, 7, _TIME))
"""Null, false, true, unsigned, signed, float, text, bytes, time."""

_LAST_NUMBER: Final = 1 << 62
"""Of a change's first operation: no record has so many, and the store keeps numbers of 63 bits."""

_FIRST_TIME, _LAST_TIME = -62_135_510_400_000, 253_402_300_799_999  # Unix milliseconds


class BadColumns(ValueError):
    """A change claims more than any edit makes, holds what no record holds, or is malformed."""


def read_uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number of at most 64 bits, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise BadColumns("a number of more than 64 bits")


def check_columns(data: bytes, at: int) -> tuple[int, int, int, Settings | None]:
    """Check a change's columns; `at` is where its start operation is written.

    Returns the numbers of its first and last operation (the last is one less than the
    first when it has none), its weight: how many operations it has and replaces; and what it sets, if `read_settings`
    tells.
    Raises `BadColumns`, and IndexError when the bytes end too soon.
    """
    start, at = read_uleb(data, at)
    if start > _LAST_NUMBER:
        raise BadColumns("operations beyond all numbers")
    if (found := read_settings(data, at)) is not None:  # nearly always
        count = len(found[0])
        return start, start + count - 1, 2 * count - found[3].count(0), found
    _, at = read_uleb(data, at)  # time: signed, of the same length
    size, at = read_uleb(data, at)  # message
    actors, at = read_uleb(data, at + size)
    for _ in range(actors):
        size, at = read_uleb(data, at)
        at += size
        if at > len(data):
            raise BadColumns("an actor that is cut short")
    count, at = read_uleb(data, at)
    columns = []
    for _ in range(count):
        kind, size = data[at], data[at + 1]
        if kind < 0x80 and size < 0x80:  # a call for each number takes most of the time of a small change
            at += 2
        else:
            kind, at = read_uleb(data, at)
            size, at = read_uleb(data, at)
        columns.append((kind, size))
    runs: tuple[tuple[int, int], ...] = ()
    operations = replaced = 0
    if [kind for kind, _ in columns] != sorted({kind for kind, _ in columns} & _COLUMNS):
        raise BadColumns("columns that are compressed, unknown or out of order")
    for kind, size in columns:
        values = 0 if kind & 7 == _RAW else _count(kind & 7, data[at : at + size])
        if values > MAX_OPERATIONS:
            raise BadColumns(f"more than {MAX_OPERATIONS:,} operations")
        if kind == _ACTION:
            operations = values
        elif kind == _BEFORE:
            replaced = values
        elif kind == _KEY and values > len(data) and _keys(data[at : at + size]) > len(data):
            raise BadColumns("more operations on keys than it has bytes")
        if kind & 7 == _META:
            runs = _kinds(data[at : at + size])
            if any(meta & 15 not in _KINDS for _, meta in runs):
                raise BadColumns("a kind of value that records don't hold")
        elif kind & 7 == _RAW:
            _check_times(runs, data[at : at + size])
            runs = ()
        at += size
    return start, start + operations - 1, operations + replaced, None


def claims_too_much(kind: int, column: bytes) -> bool:
    """Whether a column of this specification claims more values than a change may have operations.

    Raises `BadColumns`, and IndexError when the bytes end too soon.
    """
    return kind & 7 != _RAW and _count(kind & 7, column) > MAX_OPERATIONS


def _remembered(function: Callable[P, R]) -> Callable[P, R]:
    """For short columns only: records of one collection share most of theirs, and what
    others send must not fill memory."""
    cached = lru_cache(maxsize=4096)(function)

    def call(*arguments: P.args, **_: P.kwargs) -> R:
        return (cached if len(arguments[-1]) <= _SHORT else function)(*arguments)  # type: ignore[arg-type, call-arg]

    return call


@_remembered
def _count(kind: int, column: bytes) -> int:
    """Values in one column."""
    total = at = 0
    while at < len(column) and total <= MAX_OPERATIONS:
        begin = at
        run, at = read_uleb(column, at)
        if kind == _BOOLEAN:
            total += run
            continue
        if column[at - 1] & 0x40:  # the sign of a signed LEB128 number
            run -= 1 << 7 * (at - begin)
        if run > 0:
            total += run
            at = _skip(kind, column, at)
        elif run < 0:
            total -= run
            for _ in range(-run if total <= MAX_OPERATIONS else 0):
                at = _skip(kind, column, at)
        else:
            nulls, at = read_uleb(column, at)
            total += nulls
    return total


def _keys(column: bytes) -> int:
    """Keys in a column of them, once its count is known to be small: elements have none."""
    total = at = 0
    while at < len(column):
        begin = at
        run, at = read_uleb(column, at)
        if column[at - 1] & 0x40:
            run = (1 << 7 * (at - begin)) - run
            for _ in range(run):
                at = _skip(_STRING, column, at)
        elif run:
            at = _skip(_STRING, column, at)
        else:
            _, at = read_uleb(column, at)
        total += run
    return total


@_remembered
def _kinds(column: bytes) -> tuple[tuple[int, int], ...]:
    """The runs of a column of kinds and sizes, once its count is known to be small."""
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(column):
        begin = at
        run, at = read_uleb(column, at)
        if column[at - 1] & 0x40:
            for _ in range((1 << 7 * (at - begin)) - run):
                meta, at = read_uleb(column, at)
                runs.append((1, meta))
        elif run:
            meta, at = read_uleb(column, at)
            runs.append((run, meta))
        else:
            nulls, at = read_uleb(column, at)
            runs.append((nulls, 0))
    return tuple(runs)


def _check_times(runs: tuple[tuple[int, int], ...], raw: bytes) -> None:
    if all(meta & 15 != _TIME for _, meta in runs):
        return
    at = 0
    for run, meta in runs:
        size = meta >> 4
        for start in range(at, at + run * size, size) if meta & 15 == _TIME and size else ():
            number, end = read_uleb(raw, start)
            if raw[end - 1] & 0x40:
                number -= 1 << 7 * (end - start)
            if not _FIRST_TIME <= number <= _LAST_TIME:
                raise BadColumns("a time outside the calendar")
        at += run * size


def _skip(kind: int, column: bytes, at: int) -> int:
    size, at = read_uleb(column, at)
    return at + size if kind == _STRING else at
