"""Changes that set fields of a record to scalars, and do nothing else: most changes are of this kind.

Which they are is told from their columns' bytes as the encoders write them (`records.encode`, the
document library), without unpacking what records of one collection share. What is told by
other bytes is no such change here; whoever asks then unpacks it.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Final, TypeVar

from chez.records.automerge import RawChange
from chez.records.columns import read_uleb
from chez.records.derived import DEVICE_ID
from chez.records.encode import encode_fields, sleb, uleb
from chez.records.operations import (
    ACTION,
    BEFORE,
    BEFORE_ACTOR,
    GROUP,
    INSERT,
    KEY,
    META,
    RAW,
    SET,
    check_value,
    header,
    read_scalar,
    read_text,
    signed,
)
from chez.records.settings import Settings, read_settings
from chez.records.values import Value

__all__ = ("Setting", "born", "only_sets", "sets_again", "settings")

T = TypeVar("T")

Setting = tuple[str, int, int, bytes, int]
"""A field that is set: its name, the kind and size of the value, its bytes, the number of the operation it replaces."""

_NEW: Final = frozenset((KEY, INSERT, ACTION, META, RAW, GROUP))
_AGAIN: Final = _NEW | {BEFORE_ACTOR, BEFORE}
_SCALARS: Final = frozenset((0, 1, 2, 4, 5, 6, 7, 9))
"""The kinds of values that `encode_fields` writes."""

_SHORT: Final = 1024
"""Bytes, and fields, of what is remembered: what others send must not fill memory."""


def settings(change: RawChange) -> Settings | None:
    """What a change sets that sets keys of the root to scalars, each new or in the place of one operation of its actor.

    None for a change that does more, or is told by other bytes.
    """
    if change.settings is not None:
        return change.settings
    data, at = change.bytes, 9
    while data[at] >= 0x80:  # its length; all of it was read before
        at += 1
    at += 1
    while data[at] >= 0x80:
        at += 1
    at += 1 + 32 * len(change.dependencies)
    size, at = read_uleb(data, at)
    at += size
    for _ in range(2):  # its actor's number, and its first operation's
        while data[at] >= 0x80:
            at += 1
        at += 1
    return read_settings(data, at)


def only_sets(change: RawChange) -> bool:
    """Whether a change sets keys of the root to scalars, and replaces nothing: what fits any past.

    Records are born by these.
    """
    if (found := settings(change)) is not None:
        return not any(found[3])
    try:
        actors, columns = header(change.bytes)
        count = change.last - change.first + 1
        return (not actors and columns.keys() <= _NEW and columns.get(GROUP) == _run(0, count)
                and _values(columns, count) is not None)
    except (IndexError, ValueError):
        return False


def sets_again(change: RawChange) -> list[Setting] | None:
    """What a change sets that gives keys of the root other scalars, each in the place of one operation of its actor.

    None for a change that does not, or is told by other bytes.
    """
    if (found := settings(change)) is not None:
        again = [(name, kind, size, raw, number) for name, (size, kind), raw, number in zip(*found, strict=True)]
        return again if all(found[3]) else None
    try:
        actors, columns = header(change.bytes)
        count = change.last - change.first + 1
        if (actors or not columns.keys() <= _AGAIN or columns.get(GROUP) != _run(1, count)
                or columns.get(BEFORE_ACTOR) != _run(0, count)):
            return None
        values, before = _values(columns, count), list(accumulate(_each(columns.get(BEFORE, b""), signed, count)))
    except (IndexError, ValueError):
        return None
    if values is None or min(before) < 1:
        return None
    return [(*value, number) for value, number in zip(values, before, strict=True)]


def born(change: RawChange) -> dict[str, Value] | None:
    """What a record shows whose only change is this one: the value that its document has, without making one.

    None where that is to be asked: for what is no first change of a device, has fields with a meaning of their
    own, or is told by other bytes than `encode_fields` writes. These the document library takes in
    and gives back as they are.
    """
    if change.dependencies or change.sequence != 1 or change.first != 1 or len(change.actor) != DEVICE_ID:
        return None
    try:
        values = _values(header(change.bytes)[1], change.last)
        if values is None or any(name[0] == "_" or kind not in _SCALARS for name, kind, _, _ in values):
            return None
        value = {name: read_scalar(kind, raw) for name, kind, _, raw in values}
    except (IndexError, OverflowError, ValueError):
        return None
    if any(type(item) is int and not -(1 << 63) <= item < 1 << 63 for item in value.values()) or (
            encode_fields(change.actor, 1, 1, (), value).bytes != change.bytes):
        return None
    return {name: value[name] for name in sorted(value)}


def _values(columns: dict[int, bytes], count: int) -> list[tuple[str, int, int, bytes]] | None:
    """The name of each field, the kind, size and bytes of its value. Raises IndexError and ValueError."""
    metas, keys = columns.get(META, b""), columns.get(KEY, b"")
    if not 0 < count <= _SHORT or len(metas) + len(keys) > _SHORT or columns.get(INSERT) != uleb(count) or (
            columns.get(ACTION) != _run(SET, count)):
        return None
    names, sizes = _names(keys, count), _sizes(metas, count)
    if not all(names):
        return None
    out, raw, at = [], columns.get(RAW, b""), 0
    for name, (size, kind) in zip(names, sizes, strict=True):
        out.append((name, kind, size, check_value(kind, raw[at : at + size], size)))
        at += size
    return out if at == len(raw) else None


@lru_cache(maxsize=1024)
def _names(keys: bytes, count: int) -> tuple[str, ...]:
    return tuple(_each(keys, read_text, count))


@lru_cache(maxsize=1024)
def _sizes(metas: bytes, count: int) -> tuple[tuple[int, int], ...]:
    return tuple([(meta >> 4, meta & 15) for meta in _each(metas, read_uleb, count)])


@lru_cache(maxsize=256)
def _run(value: int, count: int) -> bytes:
    return sleb(count if count > 1 else -1) + uleb(value)


def _each(data: bytes, item: Callable[[bytes, int], tuple[T, int]], count: int) -> list[T]:
    """The `count` values of a column. Raises IndexError and ValueError for more or less, and where there is none."""
    out: list[T] = []
    at = 0
    while at < len(data):
        run, at = signed(data, at)
        if not run or len(out) + abs(run) > count:
            raise ValueError("a column of another length")
        for n in range(abs(run)):
            if run < 0 or not n:
                value, at = item(data, at)
            out.append(value)
    if len(out) != count:
        raise ValueError("a column of another length")
    return out
