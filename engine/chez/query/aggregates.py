"""Sums, means and counts over the records of a query, for all of them or in groups."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from chez.errors import InvalidValue
from chez.query.decimals import decimal_column, exact
from chez.query.paths import column, kind_of, steps
from chez.records.values import from_json

__all__ = ("Aggregate", "Column", "Plan", "count", "plan", "restored")

Function = Literal["count", "sum", "avg", "min", "max"]
"""What is made of many values."""


class Aggregate(msgspec.Struct, frozen=True):
    """One number, or one value, about many records: `field("cups").sum()`, `chez.count()`."""

    function: Function
    name: str | None = None


def count() -> Aggregate:
    """How many records there are (`field(name).count()` counts those with a value)."""
    return Aggregate("count")


class Column(msgspec.Struct, frozen=True):
    """How a column of an answer becomes a value: as it is, as a decimal, or by what it was in the records."""

    name: str
    form: Literal["plain", "decimal", "kind"]

    def value(self, found: Any, kind: Any) -> Any:
        """The value."""
        if found is None:
            return None
        if self.form == "decimal":
            return Decimal(found)
        return restored(found, kind) if self.form == "kind" else found


class Plan(msgspec.Struct, frozen=True):
    """A statement over the rows of a query, given as `inner`, and how to read its answer."""

    inner: tuple[str, ...]
    outer: tuple[str, ...]
    groups: tuple[str, ...]
    columns: tuple[Column, ...]

    def statement(self, rows: str, order: str = "") -> str:
        """The statement; `rows` selects `inner`."""
        by = f" GROUP BY {', '.join(self.groups)}" if self.groups else ""
        return f"SELECT {', '.join(self.outer)} FROM ({rows}){by}{order}"

    def row(self, found: tuple[Any, ...]) -> dict[str, Any]:
        """A row of the answer by names."""
        return {one.name: one.value(found[2 * n], found[2 * n + 1]) for n, one in enumerate(self.columns)}


def plan(groups: dict[str, str], wanted: dict[str, Aggregate], numeric: frozenset[str]) -> Plan:
    """How to answer `wanted` for each group of equal fields. Raises `InvalidValue`."""
    if both := sorted(groups.keys() & wanted.keys()):
        raise InvalidValue(f"{both[0]!r} names both a group and an aggregate", "Give one of them another name.")
    if not groups and not wanted:
        raise InvalidValue("nothing is asked for", "Ask for one aggregate at least: n=chez.count().")
    inner: list[str] = []
    outer: list[str] = []
    columns: list[Column] = []
    for n, (name, what) in enumerate([*groups.items(), *wanted.items()]):
        if isinstance(what, str):
            found = _key(steps(what), what in numeric)
        elif isinstance(what, Aggregate):
            found = _aggregate(what, numeric)
        else:
            raise InvalidValue(f"{name}={what!r} is no aggregate", 'Aggregates look like field("cups").sum().')
        inner += [f"{found.value} AS v{n}", f"{found.kind} AS k{n}"]
        outer += [f"{found.answer.format(n=n)} AS o{n}", f"{found.told.format(n=n)} AS p{n}"]
        columns.append(Column(name, found.form))
    return Plan(tuple(inner), tuple(outer), tuple(f"v{n}" for n in range(len(groups))), tuple(columns))


_ONE_KIND: Final = ("CASE WHEN min(k{n}) FILTER (WHERE v{n} IS NOT NULL) = max(k{n}) FILTER (WHERE v{n} IS NOT NULL) "
                    "THEN min(k{n}) FILTER (WHERE v{n} IS NOT NULL) END")
"""What all values of a column are; NULL when they differ, and then SQL's own form is all there is to say."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one column: what each row gives, of which kind, and what is made of these."""

    value: str
    kind: str
    answer: str
    told: str
    form: Literal["plain", "decimal", "kind"]


def _key(path: tuple[str, ...], decimal: bool) -> _Part:
    if decimal:
        return _Part(exact(path), "NULL", "v{n}", "NULL", "decimal")
    return _Part(column(path), kind_of(path), "v{n}", _ONE_KIND, "kind")


def _aggregate(what: Aggregate, numeric: frozenset[str]) -> _Part:
    if what.name is None:
        return _Part("NULL", "NULL", "count(*)", "NULL", "plain")
    path, decimal = steps(what.name), what.name in numeric
    value = column(path)
    if what.function == "count":
        return _Part(value, "NULL", "count(v{n})", "NULL", "plain")
    if decimal:
        numbers = f"CASE WHEN {decimal_column(path)} IS NOT NULL THEN {value} END"
        return _Part(numbers, "NULL", f"chez_decimal_{what.function}(v{{n}})", "NULL", "decimal")
    if what.function in ("min", "max"):
        return _Part(value, kind_of(path), f"{what.function}(v{{n}})", _ONE_KIND, "kind")
    # SQLite would read numbers out of text, too.
    numbers = f"CASE WHEN typeof({value}) IN ('integer', 'real') THEN {value} END"
    answer = "coalesce(sum(v{n}), 0)" if what.function == "sum" else "avg(v{n})"
    return _Part(numbers, "NULL", answer, "NULL", "plain")


def restored(found: Any, kind: Any) -> Any:
    """What SQL shows of a field, as the value that it was in the record, by its kind (`paths.kind_of`)."""
    if kind in ("true", "false"):
        return bool(found)
    if kind in ("array", "object"):
        return msgspec.json.decode(found)
    if kind not in ("t", "b"):
        return found  # texts and counters are plain ones here
    return from_json(msgspec.json.encode({"v": found}).decode(), msgspec.json.encode([(("v",), kind)]).decode())["v"]
