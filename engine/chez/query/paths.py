"""Fields as SQL: names led into the projection's JSON, and Python values as parameters.

Only names and literals of our own become part of a statement's text; values are always
parameters.
"""

import math
import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec

from chez.errors import InvalidValue
from chez.records.counter import Counter
from chez.records.text import Text
from chez.records.values import time_text

__all__ = ("column", "fold", "kind_of", "not_nested", "parameter", "place", "quote", "steps")

_DOT: Final = re.compile(r"(?<!\\)\.")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_json = msgspec.json.Encoder()


def quote(text: str, mark: str) -> str:
    """A name or text as SQL writes it."""
    return mark + text.replace(mark, mark * 2) + mark


def fold(name: str) -> str:
    """A name as SQL compares it."""
    # SQLite ignores the case of ASCII letters only.
    return "".join(c.lower() if c.isascii() else c for c in name)


def steps(name: object) -> tuple[str, ...]:
    """The way to a field: `address.city` leads inside, a backslash keeps a dot (`v1\\.2`).

    Raises `InvalidValue` for what can't be the name of a field.
    """
    if isinstance(name, str):
        found = tuple(step.replace("\\.", ".") for step in _DOT.split(name))
        try:
            name.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            found = ("",)
        if all(found):
            return found
    raise InvalidValue(f"{name!r} can't be the name of a field in a query", "Dots lead inside: 'address.city'.")


def place(path: tuple[str, ...]) -> str:
    """A way into the JSON as SQL writes it; JSON's escapes keep every character harmless."""
    return quote("$" + "".join("." + _json.encode(step).decode() for step in path), "'")


def column(path: tuple[str, ...], source: str = "json") -> str:
    """The SQL expression of a field; declared indexes are on this very expression.

    It is NULL for null and where there is none, 1 and 0 for booleans, a number, or text:
    times and bytes as the projection writes them, lists and maps as their JSON.
    """
    return "id" if path == ("_id",) else f"json_extract({source}, {place(path)})"


def not_nested(path: tuple[str, ...]) -> str:
    """The SQL condition that a field holds neither a list nor a map."""
    return f"json_type(json, {place(path)}) NOT IN ('array', 'object')"


def kind_of(path: tuple[str, ...]) -> str:
    """The SQL expression of what a field holds: a mark of `kinds`, else JSON's own type."""
    if path == ("_id",):
        return "'text'"
    way = quote(_json.encode(path).decode(), "'")
    return (f"coalesce((SELECT k.value ->> 1 FROM json_each(record.kinds) AS k WHERE k.value -> 0 = {way}), "
            f"json_type(json, {place(path)}))")


def parameter(value: Any) -> str | int | float | Decimal | None:
    """A value as it is compared: times and bytes in the projection's form, decimals as they are.

    Raises `InvalidValue` for what has no place in an order.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Text):
        value = str(value)
    if isinstance(value, Counter):
        value = int(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise InvalidValue(f"{value} does not fit 64 bits, so no record holds it", "Compare with a float.")
        return int(value)
    if isinstance(value, float):
        if math.isnan(value):
            raise InvalidValue("a query can't compare with nan")
        return float(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise InvalidValue(f"a query can't compare with {value}")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidValue("a time without a time zone names no instant",
                               "Add a tzinfo, for instance datetime.UTC.")
        try:
            return time_text(value)
        except OverflowError:
            raise InvalidValue(f"{value.isoformat()} is outside the years 1 to 9999 in UTC, so no record holds it",
                               "Compare with a time within them.") from None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    raise InvalidValue(f"a query can't compare with {type(value).__name__}",
                       "Use text, numbers, booleans, None, bytes, dates, aware datetimes and decimals.")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue("a text to compare with holds half a surrogate pair") from None
    return value
