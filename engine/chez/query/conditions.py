"""Conditions on records: comparisons of fields, combined with `&`, `|` and `~`, and as SQL.

What they mean is what Python would say of the record's value, made total: a comparison
with a number is true of numbers only (true is 1, false is 0), one with text of texts only,
in the order of code points; times and bytes compare as the text the projection writes
(RFC 3339, hexadecimal), which has their order; lists and maps equal nothing and are in no
range; a field that is missing is None. `!=` and `~` say the exact opposite, so they are
true also of records without the field.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from chez.errors import InvalidValue, Misuse
from chez.query import decimals
from chez.query.paths import column, not_nested, parameter, steps

__all__ = ("AllOf", "AnyOf", "Bound", "Comparison", "Condition", "Key", "Not", "Number", "Sql", "key_of", "names_of",
           "required")

Key = tuple[str, bool]
"""What an index is on: a field's name, and whether its number as a decimal is meant."""

Operator = Literal["=", "<", "<=", ">", ">=", "in", "prefix", "null"]
_DEEPEST: Final = 200
_SHOWN: Final = 4
"""Levels of a condition, and alternatives in it, that its repr shows."""


class Sql(msgspec.Struct, frozen=True):
    """A piece of SQL and its parameters."""

    text: str
    params: tuple[Any, ...] = ()


class Bound(msgspec.Struct, frozen=True):
    """That a condition pins a key to some values, or else to a range."""

    key: Key
    equal: bool


class Condition:
    """A condition on records; combine them with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: "Condition") -> "Condition":
        return AllOf((*_parts(self, AllOf), *_parts(_condition(other), AllOf)))

    def __or__(self, other: "Condition") -> "Condition":
        return AnyOf((*_parts(self, AnyOf), *_parts(_condition(other), AnyOf)))

    def __invert__(self) -> "Condition":
        return self.part if isinstance(self, Not) else Not(self)

    def __repr__(self) -> str:
        return self.shown(_SHOWN)

    def shown(self, depth: int) -> str:
        """The condition for people, to so many levels, with a question mark for each value."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise Misuse("a condition is not true or false by itself, so `and`, `or`, `not` and `a < field < b` don't work",
                     "Use &, | and ~ with parentheses, and field.between(a, b).")

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The condition in SQL; `numeric` are the fields declared as decimals. Raises `InvalidValue`."""
        raise NotImplementedError

    def bounds(self, numeric: frozenset[str]) -> Iterator[Bound]:
        """What an index can find, if this condition is required."""
        return iter(())


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Condition):
    """A field compared with a value."""

    name: str
    operator: Operator
    value: Any = None

    def shown(self, depth: int) -> str:
        """As `cups > ?`."""
        return f"{self.name} is null" if self.operator == "null" else f"{self.name} {self.operator} ?"

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The comparison in SQL."""
        path = steps(self.name)
        if self.operator == "null" or (self.operator == "=" and self.value is None):
            return Sql(f"{column(path)} IS NULL")
        if self.operator == "in":
            return _among(path, self.name, self.value, numeric)
        value = parameter(self.value)
        if value is None:
            raise InvalidValue(f"{self.name!r} can't be compared with None by {self.operator}", "Use == or !=.")
        if self.operator == "prefix":
            return _prefix(path, value)
        if (number := _numeric(self.name, value, numeric)) is not None:
            return Sql(*_tuple(decimals.compare(path, self.operator, number)))
        if isinstance(value, str):
            return _with_text(path, self.operator, value)
        # Every text is greater than every number in SQLite, so a lower bound needs an upper one.
        above = f" AND {column(path)} < ''" if self.operator in (">", ">=") else ""
        return Sql(f"({column(path)} {self.operator} ?{above})", (value,))

    def bounds(self, numeric: frozenset[str]) -> Iterator[Bound]:
        """The key this pins or limits."""
        if self.operator == "in":
            kinds = {_numeric(self.name, parameter(item), numeric) is not None if item is not None else None
                     for item in self.value}
            if kinds == {False}:
                yield Bound((self.name, False), True)
            return
        value = None if self.operator == "null" else parameter(self.value)
        number = _numeric(self.name, value, numeric) is not None
        # An equal decimal is a small range of floats.
        yield Bound((self.name, number), self.operator in ("=", "null") and not number)


@dataclass(frozen=True, slots=True)
class Number(Condition):
    """A field that is a number as a decimal."""

    name: str

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The condition in SQL."""
        return Sql(f"({decimals.decimal_column(steps(self.name))} IS NOT NULL)")

    def bounds(self, numeric: frozenset[str]) -> Iterator[Bound]:
        """All numbers are a range."""
        yield Bound((self.name, True), False)


@dataclass(frozen=True, slots=True, repr=False)
class AllOf(Condition):
    """Several conditions, all of them true."""

    parts: tuple[Condition, ...]

    def shown(self, depth: int) -> str:
        """As `(cups > ? & title = ?)`."""
        return _shown(self.parts, "&", depth)

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The conditions in SQL."""
        return _joined(self.parts, "AND", numeric, depth)

    def bounds(self, numeric: frozenset[str]) -> Iterator[Bound]:
        """What any of them pins or limits."""
        for part in self.parts:
            yield from part.bounds(numeric)


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf(Condition):
    """Several conditions, at least one of them true."""

    parts: tuple[Condition, ...]

    def shown(self, depth: int) -> str:
        """As `(cups > ? | title = ?)`."""
        return _shown(self.parts, "|", depth)

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The conditions in SQL."""
        return _joined(self.parts, "OR", numeric, depth)


@dataclass(frozen=True, slots=True, repr=False)
class Not(Condition):
    """A condition that is not true."""

    part: Condition

    def shown(self, depth: int) -> str:
        """As `~(cups > ?)`."""
        return f"~({self.part.shown(depth - 1)})" if depth else "…"

    def sql(self, numeric: frozenset[str], depth: int = 0) -> Sql:
        """The opposite in SQL; where a comparison is NULL it is not true either."""
        inner = self.part.sql(numeric, _deeper(depth))
        if inner.text.endswith(" IS NULL"):
            return Sql(f"{inner.text[:-len(' IS NULL')]} IS NOT NULL")
        return Sql(f"({inner.text}) IS NOT TRUE", inner.params)

    def bounds(self, numeric: frozenset[str]) -> Iterator[Bound]:
        """That a field is there is a range."""
        if isinstance(self.part, Comparison) and (
                self.part.operator == "null" or (self.part.operator == "=" and self.part.value is None)):
            yield Bound((self.part.name, False), False)


def required(conditions: Iterable[Condition]) -> Iterator[Condition]:
    """Each condition that must be true by itself for all of these to be."""
    for one in conditions:
        if isinstance(one, AllOf):
            yield from required(one.parts)
        else:
            yield one


def names_of(conditions: Iterable[Condition]) -> Iterator[str]:
    """The fields that conditions compare."""
    for one in conditions:
        if isinstance(one, Comparison | Number):
            yield one.name
        elif isinstance(one, AllOf | AnyOf):
            yield from names_of(one.parts)
        elif isinstance(one, Not):
            yield from names_of((one.part,))


def _shown(parts: tuple[Condition, ...], sign: str, depth: int) -> str:
    if not depth:
        return "…"
    texts = [part.shown(depth - 1) for part in parts[:_SHOWN]] + ["…"] * (len(parts) > _SHOWN)
    return f"({f' {sign} '.join(texts)})"


def key_of(name: str, numeric: frozenset[str]) -> Key:
    """What a field is sorted by."""
    return name, name in numeric


def _condition(value: object) -> Condition:
    if not isinstance(value, Condition):
        raise Misuse(f"a value of type {type(value).__name__} is no condition",
                     'Conditions look like field("cups") >= 3.')
    return value


def _parts(condition: Condition, kind: type[AllOf] | type[AnyOf]) -> tuple[Condition, ...]:
    return condition.parts if isinstance(condition, kind) else (condition,)


def _deeper(depth: int) -> int:
    if depth >= _DEEPEST:
        raise InvalidValue(f"a condition is nested more than {_DEEPEST} levels deep")
    return depth + 1


def _joined(parts: tuple[Condition, ...], word: str, numeric: frozenset[str], depth: int) -> Sql:
    found = [part.sql(numeric, _deeper(depth)) for part in parts]
    return Sql(_balanced([one.text for one in found], f" {word} "),
               tuple(value for one in found for value in one.params))


def _balanced(texts: list[str], word: str) -> str:
    # SQLite bounds the depth of an expression, and a plain chain is as deep as it is long.
    if len(texts) <= 8:
        return f"({word.join(texts)})"
    half = len(texts) // 2
    return f"({_balanced(texts[:half], word)}{word}{_balanced(texts[half:], word)})"


def _tuple(pair: tuple[str, list[Any]]) -> tuple[str, tuple[Any, ...]]:
    return pair[0], tuple(pair[1])


def _numeric(name: str, value: Any, numeric: frozenset[str]) -> Decimal | None:
    """The number to compare exactly with, if decimals are meant: by the value, or by the field's declaration."""
    if isinstance(value, Decimal):
        return value
    if name in numeric and isinstance(value, int | float):
        if math.isinf(value):
            raise InvalidValue(f"{name!r} holds decimals, which can't be compared with {value}")
        return Decimal(value)
    return None


def _with_text(path: tuple[str, ...], operator: str, value: str) -> Sql:
    left = column(path)
    text = f"{left} {operator} ?"
    if operator in ("<", "<="):
        text = f"{left} >= '' AND {text}"  # numbers are below every text
    # A list's JSON begins with `[`, a map's with `{`: where no such text fits, nothing need be looked at.
    nested = {"=": value[:1] in ("[", "{"), "<": value > "[", "<=": value > "["}.get(operator, value < "|")
    if nested and path != ("_id",):
        text = f"{text} AND {not_nested(path)}"
    return Sql(f"({text})", (value,))


def _prefix(path: tuple[str, ...], value: Any) -> Sql:
    if not isinstance(value, str):
        raise InvalidValue(f"a prefix is text, not {type(value).__name__}", "Compare a number with ==, <, <=, > or >=.")
    left, text, params = column(path), f"{column(path)} >= ?", [value]
    if (end := _after(value)) is not None:
        text, params = f"{text} AND {left} < ?", [value, end]
    if value[:1] in ("", "[", "{") and path != ("_id",):
        text = f"{text} AND {not_nested(path)}"
    return Sql(f"({text})", tuple(params))


def _after(prefix: str) -> str | None:
    """The least text above all that begin with a prefix; None if there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)  # surrogates are no text
        prefix = prefix[:-1]
    return None


def _among(path: tuple[str, ...], name: str, values: Iterable[Any], numeric: frozenset[str]) -> Sql:
    plain: list[Any] = []
    texts: list[str] = []
    params: list[Any] = []
    for item in values:
        value = parameter(item)
        if value is None:
            texts.append(f"{column(path)} IS NULL")
        elif (number := _numeric(name, value, numeric)) is not None:
            text, more = decimals.compare(path, "=", number)
            texts.append(text)
            params += more
        elif not (isinstance(value, float) and math.isinf(value)):  # no record holds one
            plain.append(value)
    if plain or not texts:
        # One parameter however many values: a statement's text does not grow with them.
        text = f"{column(path)} IN (SELECT value FROM json_each(?))"
        if any(isinstance(value, str) and value[:1] in ("[", "{") for value in plain) and path != ("_id",):
            text = f"({text} AND {not_nested(path)})"
        texts.insert(0, text)
        params.insert(0, msgspec.json.encode(plain).decode())
    return Sql(_balanced(texts, " OR ") if len(texts) > 1 else texts[0], tuple(params))
