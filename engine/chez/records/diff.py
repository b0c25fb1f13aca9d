"""Turn one value into another with the fewest operations, so that concurrent edits merge.

Maps are compared key by key and lists by what became what; what did not change is not
written, so two devices that edit different fields, or insert at different places
of one list, both keep their work. In the place of a text, a str is the smallest edit of
it; in the place of a counter, a whole number adds the difference.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import compress
from math import copysign
from operator import is_not
from typing import Any, Final

import msgspec
from automerge.core import ExpandMark, ObjType, ScalarType

from chez.errors import InvalidValue
from chez.records.alignment import aligned
from chez.records.automerge import (
    ROOT,
    Document,
    RawChange,
    extract,
    last_change,
    load,
    new,
    read_change,
    transaction,
)
from chez.records.counter import Counter
from chez.records.encode import encode_fields, expanded, is_flat
from chez.records.reference import is_reference
from chez.records.reserved import is_reserved, operation, part_key, parts_by_name, version_key
from chez.records.text import Marking, Splice, Text, Unmarking, splices
from chez.records.values import Value, is_plain

__all__ = ("first_change", "same", "shown", "write_difference")

_SCALARS: Final = {
    str: ScalarType.Str, int: ScalarType.Int, float: ScalarType.F64, bool: ScalarType.Boolean,
    bytes: ScalarType.Bytes, datetime: ScalarType.Timestamp, type(None): ScalarType.Null,
}  # fmt: skip
_EXPAND: Final = {"none": ExpandMark.Neither, "before": ExpandMark.Before, "after": ExpandMark.After,
                  "both": ExpandMark.Both}
_ABSENT: Final = object()


def write_difference(document: Document, before: dict[str, Value], after: dict[str, Value],
                     device: bytes | None = None, partless: set[bytes] | None = None) -> bytes | None:
    """Edit a document whose value is `before` so that it becomes `after`.

    Returns the raw bytes of the one change made, or None when the values are equal.
    `device` is whose parts of counters are written, if not those of the document's actor.
    `partless` are its maps that are known to hold no part of a counter, and is brought up to date: to
    find out takes the longer the oftener a map was written to.
    Raises `InvalidValue` when a counter's part would not fit 64 bits.
    """
    if same(before, after):
        return None
    heads, name = document.get_heads(), device or bytes(document.get_actor())
    with transaction(document) as tx:
        _Writer(tx, name, set() if partless is None else partless).map(ROOT, before, after)
    # Nothing is written for a version that is known, or an edit that takes itself back.
    return None if document.get_heads() == heads else last_change(document)


def first_change(actor: bytes, fields: dict[str, Value], after: RawChange | None, start: int) -> RawChange:
    """A device's first change of a record, setting fields that nothing set before."""
    kept = expanded(fields, actor)
    if is_flat(kept):
        return encode_fields(actor, 1, start, () if after is None else (after.hash,), kept)
    document = new(actor) if after is None else load(after.bytes, actor)
    change = write_difference(document, {}, fields)
    assert change is not None  # there is at least one field
    return read_change(change)


def shown(document: Document, before: dict[str, Value], after: dict[str, Value]) -> dict[str, Value]:
    """The value of a document that was edited: a text or a counter in it may not be as it was put."""
    return after if is_plain(before) and is_plain(after) else extract(document)


def same(a: Value, b: Value) -> bool:
    """Whether putting `b` where `a` is writes nothing (1 is not True, 1.0 is not 1, -0.0 is not 0.0)."""
    if type(a) is not type(b):
        return _same_plain(a, b)
    if type(a) is dict:
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in _unlike(a, b))
    if type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is Text:
        return str(a) == str(b) and all(type(step) is Splice for step in b.steps)
    if type(a) is Counter:
        return int(a) == int(b)
    return bool(a == b) and not _turned(a, b)


def _turned(a: Value, b: Value) -> bool:
    """Whether of two equal values one is 0.0 and the other -0.0."""
    return type(a) is float and not a and type(b) is float and copysign(1, a) != copysign(1, b)


def _unlike(a: dict[str, Value], b: dict[str, Value]) -> Iterable[str]:
    """The keys of two maps, but where both hold the very same scalar: nearly all, in a large value that was edited."""
    if not _SCALARS.keys() >= set(map(type, a.values())):
        return a
    return compress(a, map(is_not, a.values(), map(b.get, a)))


def _same_plain(a: Value, b: Value) -> bool:
    """The same for a str where a text is, an int where a counter is, and a str that a draft shows as a text."""
    if type(a) is Text:
        return type(b) is str and str(a) == b
    if type(a) is Counter:
        return type(b) is int and int(a) == b
    return type(b) is Text and type(a) is str and b.untouched and str(b) == a


class _Writer(msgspec.Struct, frozen=True):
    """One transaction, the device in whose name counters are added to, and the maps without a counter's part."""

    tx: Any
    device: bytes
    partless: set[bytes]

    # --- maps -----------------------------------------------------------------------------

    def map(self, obj: bytes, before: dict[str, Value], after: dict[str, Value]) -> None:
        parts = self._parts(obj)
        root = obj == ROOT
        for key in sorted(before.keys() - after.keys()):  # one order, so that a run replays byte for byte
            if not (root and is_reserved(key, root)):
                self._clear(obj, parts.get(key, []))
                self.tx.delete(obj, key)
        for key, value in after.items():
            old = before.get(key, _ABSENT)
            if root and is_reserved(key, root):
                if old is _ABSENT or value > old:
                    self.tx.put(obj, version_key(value), ScalarType.Boolean, True)
            elif type(value) is Counter or (type(old) is Counter and type(value) is int):
                self.counter(obj, key, old, value)
            elif not same(old, value):
                self._clear(obj, parts.get(key, []))
                self.put(obj, key, old, value)

    def _parts(self, obj: bytes) -> dict[str, list[str]]:
        if obj in self.partless:
            return {}
        parts = parts_by_name(self.tx.keys(obj))
        if not parts:
            self.partless.add(obj)
        return parts

    def _clear(self, obj: bytes, parts: list[str]) -> None:
        """Take away what was added to a counter, before something else is put in its place."""
        for part in parts:
            self.tx.delete(obj, part)

    def counter(self, obj: bytes, name: str, old: Value, value: Value) -> None:
        """Add to this device's part of a counter; a whole number that stands there remains its base."""
        counted = type(old) is Counter or type(old) is int
        amount = int(value) - (int(old) if counted else 0)
        if type(old) is Counter and not amount:
            return
        if not counted and old is not _ABSENT:
            self._clear(obj, self._parts(obj).get(name, []))
            self.tx.delete(obj, name)
        key = part_key(self.device, name)
        found = self.tx.get(obj, key)
        own = found is not None and type(found[0]) is tuple and found[0][0] == ScalarType.Int and (
            operation(found[1])[0] == self.device)
        total = (found[0][1] if own else 0) + amount
        if not -(2**63) <= total < 2**63:
            raise InvalidValue(f"field {name!r}: what this device added to the counter does not fit 64 bits",
                               "Save the record without the field, then with its new number.")
        self.partless.discard(obj)
        self.tx.put(obj, key, ScalarType.Int, total)

    # --- lists ----------------------------------------------------------------------------

    def list(self, obj: bytes, before: list[Value], after: list[Value]) -> None:
        shift = i = j = 0
        for to_i, to_j in [*aligned(before, after), (len(before), len(after))]:
            for _ in range(i, to_i):
                self.tx.delete(obj, i + shift)
            shift -= to_i - i
            for item in after[j:to_j]:
                self.insert(obj, to_i + shift, item)
                shift += 1
            if to_i < len(before) and not same(before[to_i], after[to_j]):
                self.put(obj, to_i + shift, before[to_i], after[to_j])  # nested values keep their identity
            i, j = to_i + 1, to_j + 1

    def insert(self, obj: bytes, at: int, value: Value) -> None:
        kind = type(value)
        if kind is dict:
            self.map(self.tx.insert_object(obj, at, ObjType.Map), {}, value)
        elif kind is list:
            self.list(self.tx.insert_object(obj, at, ObjType.List), [], value)
        elif kind is Text:
            self.new_text(self.tx.insert_object(obj, at, ObjType.Text), value)
        else:
            self.tx.insert(obj, at, _SCALARS[kind], value)

    # --- one place of a map or a list -------------------------------------------------------

    def put(self, obj: bytes, key: str | int, old: Value, value: Value) -> None:
        """Make what is at a key or an index, `old`, be `value`."""
        kind = type(value)
        if kind is dict:
            inside = self._nested(obj, key, ObjType.Map) if _edited_inside(old, value) else None
            self.map(inside or self.tx.put_object(obj, key, ObjType.Map), old if inside else {}, value)
        elif kind is list:
            inside = self._nested(obj, key, ObjType.List) if type(old) is list else None
            self.list(inside or self.tx.put_object(obj, key, ObjType.List), old if inside else [], value)
        elif (kind is Text or kind is str) and type(old) is Text and (inside := self._nested(obj, key, ObjType.Text)):
            self.text(inside, old, value)
        elif kind is Text:
            self.new_text(self.tx.put_object(obj, key, ObjType.Text), value)
        else:
            if kind is float and _turned(old, value):
                # The library takes -0.0 for the 0.0 that is there, and writes nothing.
                self.tx.put(obj, key, ScalarType.Null, None)
            self.tx.put(obj, key, _SCALARS[kind], value)

    def _nested(self, obj: bytes, key: str | int, kind: Any) -> bytes | None:
        """The object stored at a key, when it is of the wanted kind."""
        found = self.tx.get(obj, key)
        return found[1] if found is not None and found[0] == kind else None

    # --- texts ----------------------------------------------------------------------------

    def text(self, obj: bytes, old: Text, value: Value) -> None:
        """Edit a text: by the very steps of a draft that began with it, else by the difference."""
        if type(value) is Text and value.base == str(old):
            self._steps(obj, value)
        else:
            for one in splices(str(old), str(value)):
                self.tx.splice_text(obj, one.at, one.delete, one.insert)

    def new_text(self, obj: bytes, value: Text) -> None:
        self.tx.splice_text(obj, 0, 0, value.base)
        for one in value.marks:
            self._mark(obj, Marking(one, "after"))
        self._steps(obj, value)

    def _steps(self, obj: bytes, value: Text) -> None:
        for step in value.steps:
            if type(step) is Splice:
                self.tx.splice_text(obj, step.at, step.delete, step.insert)
            elif type(step) is Marking:
                self._mark(obj, step)
            elif type(step) is Unmarking:
                self.tx.unmark(obj, step.start, step.end, step.name, _EXPAND[step.expand])

    def _mark(self, obj: bytes, step: Marking) -> None:
        one = step.mark
        self.tx.mark(obj, one.start, one.end, one.name, _SCALARS[type(one.value)], one.value, _EXPAND[step.expand])


def _edited_inside(old: Value, value: Value) -> bool:
    """Whether a map becomes another by edits inside: a reference to an attachment is replaced whole, or not at all.

    Else of two that were set at once a part of each could win.
    """
    return type(old) is dict and (not (is_reference(old) or is_reference(value)) or same(old, value))
