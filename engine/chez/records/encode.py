"""Write a change that sets flat fields of a record, without a document: the fast paths of `put`.

The bytes are those the Automerge binding makes for the same edit (tests/records compare
them, over generated values), at a fifth of the cost: most records are born with a
handful of scalar fields, and building a document object only to ask it for its first
change is most of the work of a bulk write.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding";
the operation columns are those of the reference implementation (automerge 0.7).
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from chez.records.automerge import RawChange
from chez.records.counter import Counter
from chez.records.reserved import part_key, version_key
from chez.records.values import Value

__all__ = ("FLAT", "UINT", "encode_again", "encode_fields", "expanded", "is_flat", "scalar", "sleb", "uleb")

_MAGIC: Final = b"\x85\x6f\x4a\x83"
_KEY, _INSERT, _ACTION, _META, _RAW, _PREDECESSORS = 0x15, 0x34, 0x42, 0x56, 0x57, 0x70  # column ids
_WHO: Final = 0x71  # of the operation that is replaced: its actor,
_NUMBER: Final = 0x73  # and its number
_ONE_WIDTHS: Final = bytes((_PREDECESSORS, 2, _WHO, 2, _NUMBER))
_ONE_AGAIN: Final = b"\x7f\x01\x7f\x00"
"""One operation that replaces one, which is of the change's actor."""
_BYTE: Final = tuple([bytes((number,)) for number in range(0x80)])
_SET: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NULL, _FALSE, _TRUE, UINT, _INT, _FLOAT, _TEXT, _BYTES, _TIME = 0, 1, 2, 3, 4, 5, 6, 7, 9
FLAT: Final = frozenset((str, int, float, bool, type(None), bytes, datetime))
"""The types of scalars."""


def is_flat(value: dict[str, Value]) -> bool:
    """Whether every field is a scalar."""
    return all(type(item) in FLAT for item in value.values())


def expanded(fields: dict[str, Value], device: bytes) -> dict[str, Value]:
    """A new record's fields as its document keeps them, where a device's counters and the version have own keys."""
    if "_version" not in fields and Counter not in map(type, fields.values()):
        return fields
    return {_kept_at(key, item, device): int(item) if type(item) is Counter else item if key != "_version" else True
            for key, item in fields.items()}


def _kept_at(key: str, item: Value, device: bytes) -> str:
    if type(item) is Counter:
        return part_key(device, key)
    return version_key(item) if key == "_version" else key


def encode_fields(actor: bytes, sequence: int, start: int, dependencies: Sequence[bytes],
                  fields: dict[str, Value]) -> RawChange:
    """The change by which `actor` sets fields that no earlier change set.

    `sequence` counts the actor's changes of this document from 1, `start` all its
    operations from 1. `fields` is flat and not empty.
    """
    meta, raw = _values(fields)
    before, keys, after = _shape(tuple(fields))
    widths = uleb(_META) + uleb(len(meta)) + (uleb(_RAW) + uleb(len(raw)) if raw else b"")
    columns = b"".join((b"\6" if raw else b"\5", before, widths, uleb(_PREDECESSORS) + uleb(len(after)),
                        keys, meta, raw, after))
    return _change(actor, sequence, start, dependencies, len(fields), len(fields), columns)


def encode_again(actor: bytes, sequence: int, start: int, previous: bytes, fields: dict[str, Value],
                 replaced: Sequence[int | None]) -> RawChange:
    """The change by which `actor` sets fields upon its own change `previous`, which is the document's one head.

    `replaced` has for each field the number of the one operation that stands there, which is the actor's; None
    where none does.
    """
    if len(replaced) == 1 and replaced[0] is not None:
        ((name, item),) = fields.items()
        return _change(actor, sequence, start, (previous,), 1, 2, _one_again(name, item, replaced[0]))
    standing = [number for number in replaced if number is not None]
    if not standing:
        return encode_fields(actor, sequence, start, (previous,), fields)
    meta, raw = _values(fields)
    before, keys, _ = _shape(tuple(fields))
    count = len(fields)
    groups, who = _again(tuple([number is not None for number in replaced]))
    numbers = _rle([now - last for last, now in pairwise((0, *standing))], sleb)
    sized = [(_META, meta), *([(_RAW, raw)] if raw else ()), (_PREDECESSORS, groups), (_WHO, who), (_NUMBER, numbers)]
    widths = b"".join([_width(id, len(data)) for id, data in sized])
    columns = b"".join((b"\x08" if raw else b"\x07", before, widths, keys, meta, raw, groups, who, numbers))
    return _change(actor, sequence, start, (previous,), count, count + len(standing), columns)


def _one_again(name: str, item: Value, replaced: int) -> bytes:
    """The columns of a change that sets one field in the place of one operation, as most do."""
    kind, raw = scalar(item)
    meta, number = b"\x7f" + uleb(len(raw) << 4 | kind), b"\x7f" + sleb(replaced)
    before, keys, _ = _shape((name,))
    return b"".join((b"\x08" if raw else b"\x07", before, bytes((_META, len(meta))),
                     _width(_RAW, len(raw)) if raw else b"", _ONE_WIDTHS, bytes((len(number),)),
                     keys, meta, raw, _ONE_AGAIN, number))


def _change(actor: bytes, sequence: int, start: int, dependencies: Sequence[bytes], count: int, weight: int,
            columns: bytes) -> RawChange:
    body = b"".join((
        uleb(len(dependencies)), *dependencies, uleb(len(actor)), actor, uleb(sequence), uleb(start),
        b"\0\0\0",  # no time, no message, no other actors
        columns))
    tail = b"\1" + uleb(len(body)) + body
    digest = hashlib.sha256(tail).digest()
    return RawChange(digest, actor, sequence, tuple(dependencies), start, start + count - 1, weight,
                     _MAGIC + digest[:4] + tail)


def _values(fields: dict[str, Value]) -> tuple[bytes, bytes]:
    """The columns of the values: their kinds and sizes, and their bytes."""
    metas: list[int] = []
    raws: list[bytes] = []
    for item in fields.values():
        kind, raw = scalar(item)
        metas.append(len(raw) << 4 | kind)
        raws.append(raw)
    return _rle(metas, uleb), b"".join(raws)


@lru_cache(maxsize=64)
def _again(replaces: tuple[bool, ...]) -> tuple[bytes, bytes]:
    """Which operations replace one, and that all of those are the change's actor's."""
    return _rle(list(replaces), uleb), _run(0, sum(replaces))


@lru_cache(maxsize=1024)
def _shape(names: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
    """What only depends on the fields' names, which records of one collection share.

    The widths of the first columns, those columns, and the last one.
    """
    count = len(names)
    keys = sleb(-count) + b"".join([uleb(len(name)) + name for name in map(str.encode, names)])
    columns = [(_KEY, keys), (_INSERT, uleb(count)), (_ACTION, _run(_SET, count))]
    widths = b"".join([uleb(id) + uleb(len(data)) for id, data in columns])
    return widths, b"".join([data for _, data in columns]), _run(0, count)


def scalar(value: Value) -> tuple[int, bytes]:
    """A scalar as the format has it: its kind, and its bytes."""
    kind = type(value)
    if kind is str:
        return _TEXT, value.encode()
    if kind is bool:
        return (_TRUE if value else _FALSE), b""
    if kind is int:
        return _INT, sleb(value)
    if kind is float:
        return _FLOAT, struct.pack("<d", value)
    if value is None:
        return _NULL, b""
    if kind is bytes:
        return _BYTES, value
    return _TIME, sleb((value - _EPOCH) // _MILLISECOND)


def uleb(value: int) -> bytes:
    """An unsigned LEB128 number."""
    if value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sleb(value: int) -> bytes:
    """A signed LEB128 number."""
    if -64 <= value < 64:
        return _BYTE[value & 0x7F]
    if -0x2000 <= value < 0x2000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F))
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def _width(id: int, size: int) -> bytes:
    """A column's id, of one byte as all are, and how long it is."""
    return bytes((id, size)) if size < 0x80 else bytes((id,)) + uleb(size)


def _run(value: int, count: int) -> bytes:
    """Run-length encoding of one number repeated; a run of one is a literal."""
    return sleb(count if count > 1 else -1) + uleb(value)


def _rle(values: list[int], number: Callable[[int], bytes]) -> bytes:
    """Run-length encoding: repeats as (count, value), stretches without as (-count, values...)."""
    if len(values) == 1:
        return b"\x7f" + number(values[0])  # one literal
    out: list[bytes] = []
    literal: list[int] = []
    at = 0
    while at < len(values):
        end = at + 1
        while end < len(values) and values[end] == values[at]:
            end += 1
        if end - at == 1:
            literal.append(values[at])
        else:
            if literal:
                out += sleb(-len(literal)), *map(number, literal)
                literal = []
            out += sleb(end - at), number(values[at])
        at = end
    if literal:
        out += sleb(-len(literal)), *map(number, literal)
    return b"".join(out)
