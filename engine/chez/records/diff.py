"""Turn one value into another with the fewest operations, so that concurrent edits merge.

Maps are compared key by key and lists by their longest common runs; what did not change
is not written, so two devices that edit different fields, or insert at different places
of one list, both keep their work.
"""

from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Final

from automerge.core import ObjType, ScalarType

from chez.records.automerge import ROOT, Document, last_change, transaction
from chez.records.reference import is_reference
from chez.records.values import Value

__all__ = ("write_difference",)

_SCALARS: Final = {
    str: ScalarType.Str, int: ScalarType.Int, float: ScalarType.F64, bool: ScalarType.Boolean,
    bytes: ScalarType.Bytes, datetime: ScalarType.Timestamp, type(None): ScalarType.Null,
}  # fmt: skip
_ABSENT: Final = object()


def write_difference(document: Document, before: dict[str, Value], after: dict[str, Value]) -> bytes | None:
    """Edit a document whose value is `before` so that it becomes `after`.

    Returns the raw bytes of the one change made, or None when the values are equal.
    """
    if _same(before, after):
        return None
    with transaction(document) as tx:
        _map(document, tx, ROOT, before, after)
    return last_change(document)


def _same(a: Value, b: Value) -> bool:
    """Equal, with the kinds of numbers told apart (1 is not True, 1.0 is not 1)."""
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if type(a) is list:
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _map(document: Document, tx: Any, obj: bytes, before: dict[str, Value], after: dict[str, Value]) -> None:
    for key in sorted(before.keys() - after.keys()):  # one order, so that a run replays byte for byte
        tx.delete(obj, key)
    for key, value in after.items():
        kind = type(value)
        old = before.get(key, _ABSENT)
        if kind is dict:
            inside = _nested(tx, obj, key, ObjType.Map) if _edited_inside(old, value) else None
            _map(document, tx, inside or tx.put_object(obj, key, ObjType.Map), old if inside else {}, value)
        elif kind is list:
            inside = _nested(tx, obj, key, ObjType.List) if type(old) is list else None
            _list(document, tx, inside or tx.put_object(obj, key, ObjType.List), old if inside else [], value)
        elif type(old) is not kind or old != value:
            tx.put(obj, key, _SCALARS[kind], value)


def _edited_inside(old: Value, value: Value) -> bool:
    """Whether a map becomes another by edits inside: a reference to an attachment is replaced whole, or not at all.

    Else of two that were set at once a part of each could win.
    """
    return type(old) is dict and (not (is_reference(old) or is_reference(value)) or _same(old, value))


def _nested(tx: Any, obj: bytes, key: str | int, kind: Any) -> bytes | None:
    """The object stored at a key, when it is of the wanted kind."""
    found = tx.get(obj, key)
    return found[1] if found is not None and found[0] == kind else None


def _list(document: Document, tx: Any, obj: bytes, before: list[Value], after: list[Value]) -> None:
    tokens = [_token(item) for item in before], [_token(item) for item in after]
    shift = 0
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *tokens, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        both = min(i2 - i1, j2 - j1)
        for k in range(both):  # replaced in place: nested values keep their identity
            _item(document, tx, obj, i1 + k + shift, before[i1 + k], after[j1 + k])
        at = i1 + both + shift
        for _ in range(i2 - i1 - both):
            tx.delete(obj, at)
            shift -= 1
        for j in range(j1 + both, j2):
            _insert(document, tx, obj, i2 + shift, after[j])
            shift += 1


def _item(document: Document, tx: Any, obj: bytes, at: int, old: Value, value: Value) -> None:
    kind = type(value)
    if kind is dict and _edited_inside(old, value) and (inside := _nested(tx, obj, at, ObjType.Map)):
        _map(document, tx, inside, old, value)
    elif kind is list and type(old) is list and (inside := _nested(tx, obj, at, ObjType.List)):
        _list(document, tx, inside, old, value)
    elif kind is dict:
        _map(document, tx, tx.put_object(obj, at, ObjType.Map), {}, value)
    elif kind is list:
        _list(document, tx, tx.put_object(obj, at, ObjType.List), [], value)
    else:
        tx.put(obj, at, _SCALARS[kind], value)


def _insert(document: Document, tx: Any, obj: bytes, at: int, value: Value) -> None:
    kind = type(value)
    if kind is dict:
        _map(document, tx, tx.insert_object(obj, at, ObjType.Map), {}, value)
    elif kind is list:
        _list(document, tx, tx.insert_object(obj, at, ObjType.List), [], value)
    else:
        tx.insert(obj, at, _SCALARS[kind], value)


def _token(value: Value) -> object:
    """A hashable stand-in for a value: equal tokens mean equal values."""
    if type(value) is dict:
        return "map", tuple((key, _token(item)) for key, item in sorted(value.items()))
    if type(value) is list:
        return "list", tuple(_token(item) for item in value)
    return type(value).__name__, value
