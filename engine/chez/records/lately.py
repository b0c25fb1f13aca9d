"""The wide values that were put last: of one that is put again, what differs is found and checked, not all of it.

An app that holds a record of a thousand fields puts all of them to change two. Most are the very objects that
the put before had, and were checked then. To see that takes a glance at each; to check them, and to lay them over what
the record holds field by field, took most of what such a put costs.

What differs is told with the value it differs from (`Checked.base`). Whether that is what the record holds when
the put's turn comes is for whoever writes it to see: another may have come in between.
"""

from itertools import compress
from operator import is_not
from typing import Final

import msgspec

from chez.records.encode import FLAT
from chez.records.values import Value, check_value

__all__ = ("Checked", "Lately")

_WIDE: Final = 32
"""Fields from which on a value is remembered: a smaller one is checked as fast as it is compared."""

_KEPT: Final = 64
"""Values that are remembered: what tasks that put records in turn are likely to come back to."""

_ALIKE: Final = frozenset((str, int, bool, bytes, type(None)))
"""Types of which two equal objects are one value to everybody (0.0 and -0.0 are not, nor one instant in two zones)."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A value in stored form; `unlike` is what it has otherwise than `base`, a value of the same record that
    has no field that it lacks. None, both, where that is not known."""

    plain: dict[str, Value]
    base: dict[str, Value] | None = None
    unlike: dict[str, Value] | None = None


class _Last(msgspec.Struct, gc=False):
    """A value that was put, and its names in their order; `flat` when all it has are scalars, once that was asked."""

    plain: dict[str, Value]
    names: list[str]
    flat: bool | None = None


class Lately:
    """The wide values that were put last, by the names of their records. None of them is ever changed in place."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], _Last] = {}

    def check(self, collection: str, id: str, value: object) -> Checked:
        """A value that is put in a record, checked. Raises `InvalidValue` as `check_value` does."""
        if type(value) is not dict or len(value) < _WIDE:
            return Checked(check_value(value))
        name = collection, id
        names = list(value)
        last = self._values.pop(name, None)
        flat = last is not None and names[:len(last.names)] == last.names and _is_flat(last)
        found = _differing(value, names, last) if last is not None and flat else Checked(check_value(value))
        if len(self._values) >= _KEPT:
            del self._values[next(iter(self._values))]
        still = FLAT >= set(map(type, found.unlike.values())) if found.unlike is not None else None
        self._values[name] = _Last(found.plain, names, still)
        return found


def _is_flat(last: _Last) -> bool:
    if last.flat is None:
        last.flat = FLAT >= set(map(type, last.plain.values()))
    return last.flat


def _differing(value: dict[str, Value], names: list[str], last: _Last) -> Checked:
    plain, before = value.copy(), last.plain
    unlike = {}
    for name in compress(names, map(is_not, plain.values(), before.values())):
        old, item = before[name], plain[name]
        if type(item) is not type(old) or type(item) not in _ALIKE or item != old:
            unlike[name] = item
    for name in names[len(last.names):]:
        unlike[name] = plain[name]
    if not unlike:
        return Checked(before, before, unlike)
    unlike = check_value(unlike)
    plain |= unlike
    return Checked(plain, before, unlike)
