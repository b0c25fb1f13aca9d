"""The columns of a change that sets fields of the root to scalars, read in one go.

Most changes are of this kind, and those of one record differ in their values alone. What is the
same in them (the columns' widths, the names, the kinds and sizes of the values) is looked at once and
remembered by its bytes; what is left are a comparison and a number for each field.
Columns that are told by other bytes than the encoders write (`records.encode`, the
document library) are none of these here, nor are times and unsigned numbers: whoever
asks unpacks them.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

from functools import lru_cache
from typing import Final

import msgspec

__all__ = ("Settings", "read_settings")

_KEY, _INSERT, _ACTION, _META, _RAW, _GROUP, _WHO, _NUMBER = 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73
_NEW: Final = (_KEY, _INSERT, _ACTION, _META, _GROUP)
_AGAIN: Final = (*_NEW, _WHO, _NUMBER)
_SHORT: Final = 1024
"""Bytes of what is remembered: what others send must not fill memory."""
_EMPTY: Final = frozenset((0, 1, 2))  # null, false, true
_INT, _FLOAT, _TEXT, _BYTES = 4, 5, 6, 7
_SET: Final = 1

Settings = tuple[tuple[str, ...], tuple[tuple[int, int], ...], list[bytes], list[int]]
"""Of each field its name, size and kind of its value, the value's bytes, and the number of the one operation that it
replaces, which is the change's actor's; 0 where it replaces none."""


class _Shape(msgspec.Struct, frozen=True):
    """What columns have in common that begin alike: `raw` and `number` are the sizes of what follows."""

    names: tuple[str, ...]
    values: tuple[tuple[int, int], ...]
    raw: int
    group: int
    number: int


def read_settings(data: bytes, at: int) -> Settings | None:
    """What a change sets whose time is written at `at`; None for one that does, or may do, anything else."""
    try:
        widths = at + 4 + 2 * data[at + 3]
        end = widths + data[at + 5] + data[at + 7] + data[at + 9] + data[at + 11]
        shape = _shape(data[at:end]) if end - at <= _SHORT else None
        if shape is None:
            return None
        values = end + shape.raw
        group = values + shape.group
        before = _before(data[values:group], len(shape.names), bool(shape.number))
        if before is None or group + shape.number != len(data):
            return None
        raws = []
        for size, kind in shape.values:
            raw = data[end : end + size]
            if kind == _TEXT:
                raw.decode()
            elif kind == _INT and not _is_number(raw):
                return None
            raws.append(raw)
            end += size
        return (shape.names, shape.values, raws,
                _numbers(data, group, before) if shape.number else [0] * len(before))
    except (IndexError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _shape(data: bytes) -> _Shape | None:
    """What the first columns say, up to that of the kinds of values; `data` begins with the time."""
    count = data[3]
    ids, sizes = data[4 : 4 + 2 * count : 2], data[5 : 4 + 2 * count : 2]
    width = dict(zip(ids, sizes, strict=True))
    if data[:3] != b"\0\0\0" or max(sizes) >= 0x80 or tuple(id for id in ids if id != _RAW) not in (_NEW, _AGAIN) or (
            _RAW in width and ids[4] != _RAW):
        return None
    at, columns = 4 + 2 * count, []
    for id in (_KEY, _INSERT, _ACTION, _META):
        columns.append(data[at : at + width[id]])
        at += width[id]
    fields = columns[1][0]
    if not 0 < fields < 0x40 or columns[1] != bytes((fields,)) or columns[2] != _run(_SET, fields):
        return None
    names = tuple([one.decode() for one in _literals(columns[0], fields)])
    values = _values(columns[3], fields)
    raw = width.get(_RAW, 0)
    if values is None or not all(names) or sum([size for size, _ in values]) != raw:
        return None
    return _Shape(names, values, raw, width[_GROUP] + width.get(_WHO, 0), width.get(_NUMBER, 0))


def _literals(column: bytes, count: int) -> list[bytes]:
    """The names of so many fields, which are all different: one stretch of literals."""
    if column[0] != 0x80 - count:
        raise ValueError("no stretch of literals")
    out, at = [], 1
    for _ in range(count):
        size = column[at]
        if size >= 0x80:
            raise ValueError("a long name")
        out.append(column[at + 1 : at + 1 + size])
        at += 1 + size
    if at != len(column) or len(set(out)) != count:
        raise ValueError("a column of another length")
    return out


def _values(column: bytes, count: int) -> tuple[tuple[int, int], ...] | None:
    """Size and kind of each value; None for kinds that are not looked at here, and where one does not have its size."""
    out: list[tuple[int, int]] = []
    at = 0
    while at < len(column):
        run, at = column[at], at + 1
        for n in range(run if run < 0x40 else 0x80 - run):
            if n == 0 or run >= 0x40:
                meta, shift = 0, 0
                while column[at] >= 0x80:
                    meta, shift, at = meta | (column[at] & 0x7F) << shift, shift + 7, at + 1
                meta, at = meta | column[at] << shift, at + 1
            out.append((meta >> 4, meta & 15))
        if run == 0 or run >= 0x80:
            return None
    fits = all((kind in _EMPTY and not size) or (kind == _FLOAT and size == 8) or (kind == _INT and 0 < size < 10)
               or kind in (_TEXT, _BYTES) for size, kind in out)
    return tuple(out) if fits and len(out) == count else None


@lru_cache(maxsize=1024)
def _before(data: bytes, count: int, again: bool) -> tuple[bool, ...] | None:
    """Which fields replace an operation; None where some replace several, or others' than the actor's."""
    out: list[bool] = []
    at = 0
    while len(out) < count:
        run, at = data[at], at + 1
        wanted = run if run < 0x40 else 0x80 - run
        flags = data[at : at + 1] * run if run < 0x40 else data[at : at + wanted]
        at += 1 if run < 0x40 else wanted
        if wanted < 1 or len(flags) != wanted or max(flags) > 1:
            return None
        out += [flag == 1 for flag in flags]
    replaced = sum(out)
    who = _run(0, replaced) if replaced else b""
    return tuple(out) if len(out) == count and data[at:] == who and bool(replaced) == again else None


def _run(value: int, count: int) -> bytes:
    return bytes((count if count > 1 else 0x7F, value))


def _numbers(data: bytes, at: int, before: tuple[bool, ...]) -> list[int]:
    """The numbers of the operations that are replaced. Raises ValueError for what is told otherwise."""
    if len(before) == 1:
        raw = data[at:]
        if raw[0] != 0x7F:
            raise ValueError("no literal")
        if 0 < raw[-1] < 0x40:  # as most: it is positive then, and of the fewest bytes
            if len(raw) == 3 and raw[1] >= 0x80:
                return [raw[1] & 0x7F | raw[2] << 7]
            if len(raw) == 2:
                return [raw[1]]
        return [_whole(data, at + 1, len(data))]
    steps: list[int] = []
    while at < len(data):
        run, at = data[at], at + 1
        step = 0
        for n in range(run if run < 0x40 else 0x80 - run):
            if n == 0 or run >= 0x40:
                end = at
                while data[end] >= 0x80:
                    end += 1
                step, at = _signed(data, at, end + 1), end + 1
            steps.append(step)
        if run == 0 or run >= 0x80:
            raise ValueError("no run")
    if len(steps) != sum(before):
        raise ValueError("a column of another length")
    out, last, given = [], 0, iter(steps)
    for replaces in before:
        last = last + next(given) if replaces else last
        out.append(last if replaces else 0)
        if replaces and last < 1:
            raise ValueError("no number of an operation")
    return out


def _whole(data: bytes, at: int, end: int) -> int:
    """A signed number from 1. Raises ValueError for another."""
    number = _signed(data, at, end)
    if number < 1:
        raise ValueError("no number of an operation")
    return number


def _signed(data: bytes, at: int, end: int) -> int:
    """The signed LEB128 number that ends there, of the fewest bytes. Raises ValueError for what is none."""
    raw = data[at:end]
    if not _is_number(raw):
        raise ValueError("no number of the fewest bytes")
    value = shift = 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value - (1 << shift) if raw[-1] & 0x40 else value


def _is_number(raw: bytes) -> bool:
    """Whether these are a signed LEB128 number of at most 63 bits, in the fewest bytes."""
    size = len(raw)
    if size == 1:
        return raw[0] < 0x80
    if size == 2:
        first, last = raw
        return first >= 0x80 > last and (first & 0x40 != 0 if last == 0 else last != 0x7F or not first & 0x40)
    if not 1 < size < 10 or raw[-1] >= 0x80 or min(raw[:-1]) < 0x80:
        return False
    return not (raw[-1] == 0 and not raw[-2] & 0x40) and not (raw[-1] == 0x7F and raw[-2] & 0x40)
