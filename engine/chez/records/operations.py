"""The operations inside a change: read, and written.

The Automerge binding tells what a document shows, not which operation shows it, nor what
stands hidden beside it. Conflicts and undo need just that: which operations of a place
are in force. So a change's columns are unpacked here, and a change can be written whose
operations replace exactly those it names.

An operation acts on a *place*: a key of a map, or an element of a list or a text, which
is named by the operation that inserted it. Those that it replaces are its predecessors.
One is in force while no other has it as predecessor; a place with several in force is a
conflict.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chez.records.automerge import BadChange, RawChange
from chez.records.columns import MAX_OPERATIONS, BadColumns, read_uleb
from chez.records.encode import sleb, uleb
from chez.records.values import Value

__all__ = ("ACTION", "BEFORE", "BEFORE_ACTOR", "DELETE", "EXPAND", "GROUP", "HEAD", "INSERT", "KEY", "KEY_ACTOR",
           "KEY_NUMBER", "MAKE_LIST", "MAKE_MAP", "MAKE_TEXT", "MARK", "MARK_NAME", "META", "OBJECT", "OBJECT_ACTOR",
           "RAW", "SET", "OpId", "Operation", "check_value", "decode", "encode", "header", "is_make",
           "read_scalar", "read_text", "sets_field", "signed")

OpId = tuple[int, bytes]
"""An operation's number and its actor; in this order, Lamport's."""

HEAD: Final[OpId] = (0, b"")
"""The key of an element that is inserted at the beginning."""

MAKE_MAP, SET, MAKE_LIST, DELETE, MAKE_TEXT, _INCREMENT, _MAKE_TABLE, MARK = range(8)
"""What operations do."""

OBJECT_ACTOR, OBJECT, KEY_ACTOR, KEY_NUMBER, KEY, INSERT, ACTION, META, RAW = (
    0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57)
GROUP, BEFORE_ACTOR, BEFORE, EXPAND, MARK_NAME = 0x70, 0x71, 0x73, 0x94, 0xA5
"""The columns."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAGIC: Final = b"\x85\x6f\x4a\x83"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `obj` is the map, list or text it acts in (None: the root).

    `key` is a key of a map or the element of a list; of an insertion, the element that it
    comes after. `kind` and `raw` are the value as the format has it.
    """

    id: OpId
    obj: OpId | None
    key: str | OpId
    insert: bool
    action: int
    kind: int
    raw: bytes = field(repr=False)
    before: tuple[OpId, ...]

    @property
    def place(self) -> tuple[OpId | None, str | OpId]:
        """Where it acts: what it inserts is a place of its own."""
        return self.obj, self.id if self.insert else self.key


def is_make(action: int) -> bool:
    """Whether an operation makes a map, a list or a text."""
    return action in (MAKE_MAP, MAKE_LIST, MAKE_TEXT, _MAKE_TABLE)


# --- reading ------------------------------------------------------------------------------


def decode(change: RawChange) -> list[Operation]:
    """A change's operations; it was read before (`automerge.read_change`), so its counts are bounded.

    Raises `BadChange` for columns that do not fit together.
    """
    try:
        return _decoded(change)
    except (IndexError, TypeError, ValueError) as error:
        raise BadChange(f"a change's operations can't be read: {error}"[:300]) from None


def sets_field(change: bytes, name: str) -> bool:
    """Whether one of a change's operations is at a field of the record, told from a tenth of what `decode` reads.

    Raises `BadChange`.
    """
    if name.encode() not in change:
        return False
    try:
        _, columns = header(change)
        if not columns.get(KEY):  # all that it does is in lists and texts
            return False
        keys = _texts(columns[KEY])
        return any(key == name and obj is None for key, obj in zip(
            keys, _numbers(columns[OBJECT]) if OBJECT in columns else [None] * len(keys), strict=True))
    except (IndexError, ValueError) as error:
        raise BadChange(f"a change's operations can't be read: {error}"[:300]) from None


def _decoded(change: RawChange) -> list[Operation]:
    actors, columns = header(change.bytes)
    names = [change.actor, *actors]
    if actors != sorted(set(actors) - {change.actor}):
        raise BadColumns("actors that are out of order")
    count = change.last - change.first + 1

    def column(kind: int, read: Callable[[bytes], list[Any]], wanted: int = count, needed: bool = False) -> list[Any]:
        found = read(columns[kind]) if kind in columns else [None] * wanted
        if len(found) != wanted or (needed and None in found):
            raise BadColumns("columns of different lengths")
        return found

    objects = _ids(column(OBJECT_ACTOR, _numbers), column(OBJECT, _numbers), names)
    elements = _ids(column(KEY_ACTOR, _numbers), column(KEY_NUMBER, _deltas), names)
    keys = column(KEY, _texts)
    inserts = column(INSERT, _booleans, needed=True)
    actions = column(ACTION, _numbers, needed=True)
    metas = column(META, _numbers, needed=True)
    groups = column(GROUP, _numbers, needed=True)
    marked = column(MARK_NAME, _texts)
    column(EXPAND, _booleans)
    total = sum(groups)
    if total > MAX_OPERATIONS:
        raise BadColumns("more predecessors than operations")
    before = _ids(column(BEFORE_ACTOR, _numbers, total, True), column(BEFORE, _deltas, total, True), names)
    raw, at, first, out = columns.get(RAW, b""), 0, 0, []
    for n in range(count):
        size = metas[n] >> 4
        key = keys[n] if elements[n] is None else elements[n]
        if key is None or (keys[n] is not None and elements[n] is not None) or objects[n] == HEAD or (
                marked[n] is not None and actions[n] != MARK):
            raise BadColumns("an operation in no place")
        named = tuple([one for one in before[first : first + groups[n]] if one is not None])
        out.append(Operation((change.first + n, change.actor), objects[n], key, inserts[n], actions[n],
                             metas[n] & 15, check_value(metas[n] & 15, raw[at : at + size], size), named))
        at += size
        first += groups[n]
    if at != len(raw):
        raise BadColumns("values of another length")
    return out


def _ids(who: Iterable[int | None], number: Iterable[int | None], names: Sequence[bytes]) -> list[OpId | None]:
    """Operations by actor and number; the beginning of a list has no actor."""
    out: list[OpId | None] = []
    for a, n in zip(who, number, strict=True):
        if a is None:
            if n:
                raise BadColumns("an operation of nobody")
            out.append(None if n is None else HEAD)
        elif n is None or n < 1:
            raise BadColumns("an operation without a number")
        else:
            out.append((n, names[a]))
    return out


def check_value(kind: int, raw: bytes, size: int) -> bytes:
    """The bytes of a value, which are those that its kind has; a number beyond 63 bits could not be written back."""
    if kind == 6:
        raw.decode()
    elif (len(raw) != size or (kind < 3 and raw) or (kind == 5 and size != 8)
          or (kind == 3 and (uleb(read_uleb(raw, 0)[0]) != raw or read_uleb(raw, 0)[0] >> 63))
          or (kind in (4, 9) and sleb(signed(raw, 0)[0]) != raw)):
        raise BadColumns("a value that is none")
    return raw


def read_scalar(kind: int, raw: bytes) -> Value:
    """The value of a kind, of its bytes. Raises IndexError, ValueError, OverflowError, struct.error."""
    match kind:
        case 1 | 2:
            return kind == 2
        case 3:
            return read_uleb(raw, 0)[0]
        case 4:
            return signed(raw, 0)[0]
        case 5:
            return struct.unpack("<d", raw)[0]
        case 6:
            return raw.decode(errors="replace")
        case 7:
            return raw
        case 9:
            return _EPOCH + timedelta(milliseconds=signed(raw, 0)[0])
        case _:
            return None


def header(data: bytes) -> tuple[list[bytes], dict[int, bytes]]:
    """The other actors that a change names, and its columns."""
    _, at = read_uleb(data, 9)
    count, at = read_uleb(data, at)
    size, at = read_uleb(data, at + 32 * count)
    at += size  # the actor
    for _ in range(3):  # sequence, start, time
        _, at = read_uleb(data, at)
    size, at = read_uleb(data, at)  # the message
    count, at = read_uleb(data, at + size)
    actors = []
    for _ in range(count):
        size, at = read_uleb(data, at)
        actors.append(data[at : at + size])
        at += size
    count, at = read_uleb(data, at)
    widths = []
    for _ in range(count):
        kind, size = data[at], data[at + 1]
        if kind < 0x80 and size < 0x80:
            at += 2
        else:
            kind, at = read_uleb(data, at)
            size, at = read_uleb(data, at)
        widths.append((kind, size))
    columns = {}
    for kind, size in widths:
        columns[kind] = data[at : at + size]
        at += size
    return actors, columns


def signed(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number, and where it ends."""
    begin = at
    value, at = read_uleb(data, at)
    return (value - (1 << 7 * (at - begin)) if data[at - 1] & 0x40 else value), at


def _runs(data: bytes, item: Callable[[bytes, int], tuple[Any, int]]) -> list[Any]:
    out: list[Any] = []
    at = 0
    while at < len(data):
        run, at = signed(data, at)
        if run > 0:
            value, at = item(data, at)
            out += [value] * run
        elif run < 0:
            for _ in range(-run):
                value, at = item(data, at)
                out.append(value)
        else:
            nulls, at = read_uleb(data, at)
            out += [None] * nulls
    return out


def _numbers(data: bytes) -> list[int | None]:
    return _runs(data, read_uleb)


def _deltas(data: bytes) -> list[int | None]:
    out: list[int | None] = []
    last = 0
    for step in _runs(data, signed):
        last += step or 0
        out.append(None if step is None else last)
    return out


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    size, at = read_uleb(data, at)
    return data[at : at + size].decode(), at + size


def _texts(data: bytes) -> list[str | None]:
    return _runs(data, read_text)


def _booleans(data: bytes) -> list[bool]:
    out: list[bool] = []
    value, at = False, 0
    while at < len(data):
        run, at = read_uleb(data, at)
        out += [value] * run
        value = not value
    return out


# --- writing ------------------------------------------------------------------------------


def encode(actor: bytes, sequence: int, start: int, dependencies: Sequence[bytes],
           operations: Sequence[Operation]) -> RawChange:
    """The change of these operations, which are numbered from `start` on; none of them is a mark."""
    others = sorted({who for one in operations for _, who in _named(one) if who not in (actor, b"")})
    index = {name: n for n, name in enumerate([actor, *others])}
    columns = _columns(operations, index)
    body = b"".join((
        uleb(len(dependencies)), *sorted(dependencies), uleb(len(actor)), actor, uleb(sequence), uleb(start),
        b"\0\0",  # no time, no message
        uleb(len(others)), *[uleb(len(name)) + name for name in others],
        uleb(len(columns)), *[uleb(kind) + uleb(len(data)) for kind, data in columns],
        *[data for _, data in columns],
    ))
    tail = b"\1" + uleb(len(body)) + body
    digest = hashlib.sha256(tail).digest()
    return RawChange(digest, actor, sequence, tuple(sorted(dependencies)), start, start + len(operations) - 1,
                     len(operations) + sum(len(one.before) for one in operations), _MAGIC + digest[:4] + tail)


def _named(one: Operation) -> list[OpId]:
    return [*one.before, *([one.obj] if one.obj else []), *([one.key] if isinstance(one.key, tuple) else [])]


def _columns(operations: Sequence[Operation], index: dict[bytes, int]) -> list[tuple[int, bytes]]:
    """The columns that hold something, in order."""
    objects = [one.obj for one in operations]
    elements = [one.key if isinstance(one.key, tuple) else None for one in operations]
    before = [id for one in operations for id in sorted(one.before)]
    found = [
        (OBJECT_ACTOR, _packed([None if id is None else index[id[1]] for id in objects], uleb)),
        (OBJECT, _packed([None if id is None else id[0] for id in objects], uleb)),
        (KEY_ACTOR, _packed([None if id in (None, HEAD) else index[id[1]] for id in elements], uleb)),
        (KEY_NUMBER, _packed(_steps([None if id is None else id[0] for id in elements]), sleb)),
        (KEY, _packed([one.key if isinstance(one.key, str) else None for one in operations], _string)),
        (INSERT, _switches([one.insert for one in operations])),
        (ACTION, _packed([one.action for one in operations], uleb)),
        (META, _packed([len(one.raw) << 4 | one.kind for one in operations], uleb)),
        (RAW, b"".join([one.raw for one in operations])),
        (GROUP, _packed([len(one.before) for one in operations], uleb)),
        (BEFORE_ACTOR, _packed([index[id[1]] for id in before], uleb)),
        (BEFORE, _packed(_steps([id[0] for id in before]), sleb)),
    ]
    return [(kind, data) for kind, data in found if data]


def _steps(numbers: Sequence[int | None]) -> list[int | None]:
    out: list[int | None] = []
    last = 0
    for number in numbers:
        out.append(None if number is None else number - last)
        last = last if number is None else number
    return out


def _packed(values: Sequence[Any], item: Callable[[Any], bytes]) -> bytes:
    """Run-length encoding: runs, literals and nulls. A column of nulls alone is none."""
    out: list[bytes] = []
    literal: list[Any] = []

    def flush() -> None:
        if literal:
            out.extend((sleb(-len(literal)), *map(item, literal)))
            literal.clear()

    at = 0
    while at < len(values):
        end = at + 1
        while end < len(values) and values[end] == values[at]:
            end += 1
        if values[at] is None:
            flush()
            out.append(sleb(0) + uleb(end - at))
        elif end - at == 1:
            literal.append(values[at])
        else:
            flush()
            out.append(sleb(end - at) + item(values[at]))
        at = end
    flush()
    return b"".join(out) if any(value is not None for value in values) else b""


def _switches(values: Sequence[bool]) -> bytes:
    out, now, run = [], False, 0
    for value in values:
        if value != now:
            out.append(uleb(run))
            now, run = value, 0
        run += 1
    return b"".join([*out, uleb(run)])


def _string(text: str) -> bytes:
    data = text.encode()
    return uleb(len(data)) + data
