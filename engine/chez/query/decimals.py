"""Decimals: text in a record, numbers to a query.

A record holds a decimal as its text, for JSON numbers are read as binary fractions. A
query compares it in two steps: by its value as a 64-bit float, which an index can be on,
with a margin that the conversion never exceeds; and exactly, by functions given to SQLite
here, where that does not decide. Sums are exact. Sorting goes by the float alone: right
as long as values differ within their first 15 digits.
"""

import decimal
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

import msgspec
import msgspec.inspect

from chez.query.paths import column, place
from chez.records.types import collection_of
from chez.store.database import Connection
from chez.vocabulary import VOCABULARY

__all__ = ("compare", "decimal_column", "declare", "declared", "equip", "exact", "fields_of", "number_of")

_MARGIN: Final = 1e-14
"""SQLite reads 19 digits of a text and rounds a few times: it errs by some units in the 17th."""
_LEAST: Final = 1e-300
_DEPTH: Final = 8
_CONTEXT: Final = decimal.Context(prec=200, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN,
                                  traps=[decimal.InvalidOperation])
"""Sums round after 200 digits."""
_MEAN: Final = 28
"""Digits after which a mean rounds, for few have an end; more where its sum has more."""


def decimal_column(path: tuple[str, ...]) -> str:
    """The SQL expression of a field's value as a number, also if it is the text of one; else NULL."""
    value, where = column(path), place(path)
    return (f"CASE json_type(json, {where}) WHEN 'text' THEN CASE WHEN json_valid({value}) AND json_type({value}) "
            f"IN ('integer', 'real') THEN CAST({value} AS REAL) END "
            f"WHEN 'integer' THEN {value} WHEN 'real' THEN {value} END")


def compare(path: tuple[str, ...], operator: str, value: Decimal) -> tuple[str, list[Any]]:
    """The SQL condition `field operator value`, exact, and its parameters."""
    left, exactly = decimal_column(path), f"chez_decimal_compare({column(path)}, ?)"
    low, high = _around(value)
    text = str(value)
    if operator == "=":
        return f"({left} >= ? AND {left} <= ? AND {exactly} = 0)", [low, high, text]
    if operator in ("<", "<="):
        return f"({left} <= ? AND ({left} < ? OR {exactly} {operator} 0))", [high, low, text]
    return f"({left} >= ? AND ({left} > ? OR {exactly} {operator} 0))", [low, high, text]


def _around(value: Decimal) -> tuple[float, float]:
    """Floats below and above every float that the text of this value may be read as."""
    near = float(value)
    if math.isinf(near):
        return (1e308, math.inf) if near > 0 else (-math.inf, -1e308)
    margin = abs(near) * _MARGIN + _LEAST
    return near - margin, near + margin


# --- which fields are decimals ----------------------------------------------------------


def fields_of(type: type[Any]) -> frozenset[str]:
    """The fields of a Struct that are declared as decimals, those of nested Structs with dots."""
    return frozenset(_fields(msgspec.inspect.type_info(type), "", 0))


def _fields(info: msgspec.inspect.Type, path: str, depth: int) -> "list[str]":
    if isinstance(info, msgspec.inspect.DecimalType):
        return [path]
    if isinstance(info, msgspec.inspect.UnionType):
        return [name for one in info.types for name in _fields(one, path, depth)]
    if isinstance(info, msgspec.inspect.StructType) and depth < _DEPTH:
        return [name for one in info.fields for name in _fields(
            one.type, f"{path}.{_step(one.encode_name)}" if path else _step(one.encode_name), depth + 1)]
    return []


def _step(name: str) -> str:
    return name.replace(".", "\\.")


def declared(db: Connection, collection: str) -> frozenset[str]:
    """The fields of a collection that some type used in this home, or the vocabulary, declares as decimals."""
    rows = db.execute("SELECT name FROM decimal_field WHERE collection = ?", (collection,))
    return frozenset(name for (name,) in rows) | _vocabulary(collection)


@cache
def _vocabulary(collection: str) -> frozenset[str]:
    # Also where such records came from another device and nobody named their type.
    return frozenset(name for kind in VOCABULARY if collection_of(kind) == collection for name in fields_of(kind))


def declare(db: Connection, collection: str, names: Sequence[str] | frozenset[str]) -> bool:
    """Remember which fields of a collection are decimals, for queries and views everywhere in this home.

    Whether one of them was none before: who asks goes by another. `chez.records.news.News.declare` tells them.
    """
    new = not declared(db, collection).issuperset(names)
    db.executemany("INSERT OR IGNORE INTO decimal_field (collection, name) VALUES (?, ?)",
                   [(collection, name) for name in names])
    return new


# --- functions for SQLite -----------------------------------------------------------------


def number_of(value: Any) -> Decimal | None:
    """The decimal that a field's value is, None if it is none."""
    if value is None:
        return None
    try:
        found = Decimal(value)
    except (decimal.InvalidOperation, TypeError, ValueError):
        return None
    return found if found.is_finite() else None


def exact(path: tuple[str, ...]) -> str:
    """The SQL expression of a field's decimal in one spelling for each value (`1.10` is `1.1`), else NULL."""
    return f"CASE WHEN {decimal_column(path)} IS NOT NULL THEN chez_decimal_text({column(path)}) END"


def equip(db: Connection, sql: str) -> None:
    """Give a connection the functions that a statement needs."""
    if "chez_decimal" not in sql:
        return
    if db.execute("SELECT 1 FROM pragma_function_list WHERE name = 'chez_decimal_compare'").fetchone():
        return
    db.create_function("chez_decimal_compare", 2, _compare, deterministic=True)
    db.create_function("chez_decimal_text", 1, _text, deterministic=True)
    for name, kind in (("sum", _Sum), ("avg", _Average), ("min", _Least), ("max", _Greatest)):
        db.create_aggregate(f"chez_decimal_{name}", 1, kind)


def _compare(left: Any, right: str) -> int | None:
    number, other = number_of(left), Decimal(right)
    return None if number is None else (number > other) - (number < other)


def _text(value: Any) -> str | None:
    number = number_of(value)
    if number is None:
        return None
    # Trailing zeros go, digits never: a context would round what is longer than its precision.
    sign, digits, exponent = number.as_tuple()
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    if kept == [0]:
        return "0"
    return str(Decimal((sign, tuple(kept), int(exponent) + len(digits) - len(kept))))


class _Sum:
    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    def step(self, value: Any) -> None:
        number = number_of(value)
        if number is not None:
            self.total = _CONTEXT.add(self.total, number)
            self.count += 1

    def finalize(self) -> str | None:
        return str(self.total)


class _Average(_Sum):
    def finalize(self) -> str | None:
        if not self.count:
            return None
        context = _CONTEXT.copy()  # not the thread's, which is the app's to set
        context.prec = max(_MEAN, len(self.total.as_tuple().digits) + len(str(self.count)))
        return str(context.divide(self.total, self.count))


class _Least:
    def __init__(self) -> None:
        self.found: Decimal | None = None

    def step(self, value: Any) -> None:
        number = number_of(value)
        if number is not None and (self.found is None or self.better(number, self.found)):
            self.found = number

    def better(self, number: Decimal, than: Decimal) -> bool:
        return number < than

    def finalize(self) -> str | None:
        return None if self.found is None else str(self.found)


class _Greatest(_Least):
    def better(self, number: Decimal, than: Decimal) -> bool:
        return number > than
