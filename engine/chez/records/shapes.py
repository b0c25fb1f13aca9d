"""How an app's Structs lie over a record's stored value, so that what they do not know stays.

Encoding a Struct writes the fields it knows. What else stood in the record, in it or in
the Structs inside, was written by a newer app and is carried over: to the Struct that
was decoded from that very place when the edit began, also where it moved within a list;
for a value made anew, to the Struct in the same place.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from chez.errors import InvalidValue
from chez.records.alignment import aligned
from chez.records.counter import Counter
from chez.records.diff import same
from chez.records.reference import Blob
from chez.records.text import Pen, Text
from chez.records.values import Value, check_value

__all__ = ("Origins", "Shape", "beginnings", "carry", "keys_of", "shape_of", "trace")

Origins = dict[int, tuple[object, dict[str, Value]]]
"""By identity: a Struct that was decoded (held, so that the identity stays its own) and from what."""

_NESTED: Final = frozenset((dict, list))
_KINDS: Final = {Text: str, Counter: int}
_BEGIN: Final = frozenset((dict, list, Text))
_UNKNOWN: Final = object()


class _Fields(msgspec.Struct, frozen=True):
    """The fields of a Struct: attributes with their keys, every key, texts and counters, defaults as stored."""

    names: tuple[tuple[str, str], ...]
    known: frozenset[str]
    tag: str | None
    kinds: dict[str, type[Text] | type[Counter]]
    defaults: dict[str, Value]


@dataclass(slots=True)
class Shape:
    """A Struct, or a map or list with Structs inside, as it was encoded."""

    fields: _Fields | None = None
    origin: dict[str, Value] | None = None
    inner: "dict[Any, Shape]" = field(default_factory=dict)


def keys_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The names that a Struct's fields have in a record."""
    return _fields_of(kind).known


@lru_cache(maxsize=256)
def _fields_of(kind: type[msgspec.Struct]) -> _Fields:
    names, kinds, defaults = [], {}, {}
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for one in info.fields:
        names.append((one.name, one.encode_name))
        default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
        if default is not msgspec.NODEFAULT and (stored := _stored(default)) is not _UNKNOWN:
            defaults[one.encode_name] = stored
        options = one.type.types if isinstance(one.type, inspect.UnionType) else (one.type,)
        for option in options:
            if isinstance(option, inspect.CustomType) and option.cls in _KINDS:
                kinds[one.encode_name] = option.cls
    known = {key for _, key in names} | ({info.tag_field} if info.tag_field else set())
    return _Fields(tuple(names), frozenset(known), info.tag_field, kinds, defaults)


def _stored(default: Any) -> Any:
    """A default as a record holds it, `_UNKNOWN` if it can't be told."""
    try:
        return default if type(default) in _KINDS else check_value({"default": default})["default"]
    except InvalidValue:
        return _UNKNOWN


def trace(value: Any, stored: Value, origins: Origins, pen: Pen) -> None:
    """Remember of each Struct in a decoded value what it was decoded from, and open what defaults put in."""
    if isinstance(value, msgspec.Struct) and type(stored) is dict:
        origins[id(value)] = value, stored
        for name, key in _fields_of(type(value)).names:
            item = getattr(value, name)
            if key in stored:
                trace(item, stored[key], origins, pen)
            elif type(item) is Text or type(item) is Counter:
                msgspec.structs.force_setattr(value, name, item.opened(pen))
    elif isinstance(value, list | tuple) and type(stored) is list:
        for one, item in zip(value, stored, strict=False):
            trace(one, item, origins, pen)
    elif type(value) is dict and type(stored) is dict:
        for one, item in zip(value.values(), stored.values(), strict=False):
            trace(one, item, origins, pen)


def shape_of(value: Any, encoded: Value, origins: Origins) -> Shape | None:
    """The shape of a value that was encoded; None when no Struct is in it.

    What a field declares as a text or a counter and holds as a plain str or int is made one.
    """
    if isinstance(value, Blob):
        return None  # replaced whole
    shape = Shape()
    if isinstance(value, msgspec.Struct) and type(encoded) is dict:
        shape.fields = _fields_of(type(value))
        shape.origin = origins.get(id(value), (None, None))[1]
        for key, kind in shape.fields.kinds.items():
            if type(encoded.get(key)) is _KINDS[kind]:
                encoded[key] = kind(encoded[key])
        _inside(shape, [(key, getattr(value, name)) for name, key in shape.fields.names if key in encoded], encoded,
                origins)
        return shape
    if isinstance(value, list | tuple) and type(encoded) is list:
        _inside(shape, list(enumerate(value)), encoded, origins)
    elif type(value) is dict and type(encoded) is dict and len(value) == len(encoded):
        _inside(shape, list(zip(encoded, value.values(), strict=True)), encoded, origins)
    return shape if shape.inner else None


def _inside(shape: Shape, items: list[tuple[Any, Any]], encoded: Any, origins: Origins) -> None:
    for key, item in items:
        if type(encoded[key]) in _NESTED and (inner := shape_of(item, encoded[key], origins)) is not None:
            shape.inner[key] = inner


def carry(shape: Shape, encoded: Any, stored: Value) -> None:
    """Put into an encoded value what its Structs do not know of the stored one."""
    if shape.fields is not None:
        _carry_struct(shape, shape.fields, encoded, shape.origin if shape.origin is not None else stored)
        return
    if type(encoded) is list:
        stood: Any = _stood(shape, encoded, stored if type(stored) is list else [])
    else:
        stood = stored if type(stored) is dict else {}
    for key, inner in shape.inner.items():
        carry(inner, encoded[key], stood.get(key))


def _carry_struct(shape: Shape, fields: _Fields, encoded: dict[str, Value], stood: Value) -> None:
    if type(stood) is not dict or (fields.tag is not None and stood.get(fields.tag) != encoded.get(fields.tag)):
        stood = {}
    else:
        encoded.update({key: item for key, item in stood.items() if key not in fields.known})
        _unsay(fields, encoded, stood)
    for key, inner in shape.inner.items():
        if key in encoded:
            carry(inner, encoded[key], stood.get(key))


def beginnings(shape: Shape, stored: dict[str, Value], after: dict[str, Value]) -> dict[str, Value]:
    """The lists, maps and texts that a Struct's fields get where nothing stood, as the type's defaults have them.

    So they begin the same whoever begins them, and what devices that do so at once put
    inside merges. A field whose default is none of these is one value: it had no list to
    begin with, and has none again when this is undone.
    """
    defaults = shape.fields.defaults if shape.fields is not None else {}
    return {key: deepcopy(default) for key, default in defaults.items()
            if key not in stored and type(default) in _BEGIN and type(after.get(key)) is type(default)}


def _unsay(fields: _Fields, encoded: dict[str, Value], stood: dict[str, Value]) -> None:
    """A default that nobody set stays unsaid: it would hide what another device sets at the same time."""
    for key, default in fields.defaults.items():
        if key not in stood and key in encoded and _is_default(encoded[key], default):
            del encoded[key]


def _is_default(item: Value, default: Value) -> bool:
    return same(default, item) and type(item) is type(default) and not (type(item) is Text and item.steps)


def _stood(shape: Shape, encoded: list[Value], stored: list[Value]) -> dict[int, Value]:
    """Where each item of a list stood that shares something with one that was there (records/alignment.py).

    Once some items are known to come from the list, those of which that is not known are new.
    """
    if any(inner.origin is not None for inner in shape.inner.values()):
        return {}
    return {j: stored[i] for i, j in aligned(stored, encoded, gaps=False)}
