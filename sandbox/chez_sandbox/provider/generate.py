"""Sample data made from a manifest, so that a job can be tried before there is real data.

Of a collection that a connector fills, the records are of its type (`chez.vocabulary`);
of any other, a field gets the type of the filters on it, a time if it is the window's, else
a number. Four of five rows pass the filters, and all lie in the window; rows before and
after it are there too, so that a job that would read them is found out. The same manifest,
day and seed make the same rows.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from chez.records.types import collection_of
from chez.vocabulary import VOCABULARY
from chez_sandbox.consent.period import closed_day, period_of
from chez_sandbox.manifest import Filter, Manifest, Read

__all__ = ("ROWS", "generate")

ROWS: Final = 500
"""Rows of a collection, unless its `min_rows` asks for more."""

_WORDS: Final = ("alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow")
_AROUND: Final = 10
"""One row of so many lies outside the window: half of these before it, half after."""


class _Row(msgspec.Struct, frozen=True):
    """Where a row stands in time, and what chance it has."""

    number: int
    at: datetime
    draw: random.Random


def generate(manifest: Manifest, today: date, seed: int) -> Mapping[str, list[dict[str, Any]]]:
    """Rows for each collection a job reads, for a run on the day `today`; values as JSON has them.

    Raises `NotAllowed` when this machine has no table of a window's time zone.
    """
    return {read.collection: list(_rows(read, today, random.Random(f"{seed} {read.collection}"))) for read in
            manifest.reads}  # fmt: skip


def _rows(read: Read, today: date, draw: random.Random) -> Iterator[dict[str, Any]]:
    makers = _makers(read)
    count = max(ROWS, 2 * read.min_rows)
    first, end = _span(read, today)
    step = (end - first) / count
    for number in range(count):
        at = first + number * step
        if number % _AROUND == 0:
            at += (first - end) if number % (2 * _AROUND) else (end - first)
        row = _Row(number, at.replace(microsecond=0), draw)
        value = {name: make(row) for name, make in makers.items()}
        for row_filter in read.where if draw.random() < 0.8 else ():
            value[row_filter.field] = _passing(row_filter, draw)
        yield {"_id": f"{read.collection}/{number}", **value}


def _span(read: Read, today: date) -> tuple[datetime, datetime]:
    """The window, or without one the year before the run."""
    if read.window is None:
        first, end = today - timedelta(days=365), today
    else:
        period = period_of(read.window, closed_day(read.window, today))
        first, end = period.first, period.end
    return datetime.combine(first, time()), datetime.combine(end, time())


def _makers(read: Read) -> dict[str, Callable[[_Row], Any]]:
    """How each field is made: all that the record's type has, or those that the manifest names."""
    known = {collection_of(kind): kind for kind in VOCABULARY}.get(read.collection)
    asked = [*read.fields, *(one.field for one in read.where), *([read.window.field] if read.window else [])]
    makers = {name: _guessed(read, name) for name in asked if not name.startswith("_")}
    if known is not None:
        makers |= {
            field.encode_name: _typed(field.encode_name, field.type)
            for field in msgspec.inspect.type_info(known).fields  # type: ignore[attr-defined]
        }
    if read.window is not None:
        makers[read.window.field] = _time_like(makers[read.window.field], read.window.zone)
    return makers


def _time_like(make: Callable[[_Row], Any], zone: str) -> Callable[[_Row], Any]:
    """The window's field keeps a known type if that is a day or a time, else it becomes a time."""
    sample = make(_Row(0, datetime(2000, 1, 1), random.Random(0)))
    if isinstance(sample, str) and sample.startswith("2000-01-01"):
        return make
    return _instant if zone != "local" else _local


def _local(row: _Row) -> str:
    return row.at.isoformat(timespec="minutes")


def _instant(row: _Row) -> str:
    return f"{row.at.replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _typed(name: str, kind: Any) -> Callable[[_Row], Any]:
    """A maker for a field of a known record type; msgspec says which type it is."""
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType))
    match kind:
        case msgspec.inspect.DateTimeType():
            return _instant
        case msgspec.inspect.DateType():
            return lambda row: row.at.date().isoformat()
        case msgspec.inspect.LiteralType():
            return lambda row: row.draw.choice(kind.values)
        case msgspec.inspect.IntType():
            constant = _NUMBERS.get(name)
            return lambda row: row.draw.randrange(1000) if constant is None else constant
        case msgspec.inspect.BoolType():
            return lambda row: row.draw.random() < 0.5
        case msgspec.inspect.ListType():
            return lambda row: [_word(row)]
        case msgspec.inspect.FloatType():
            return lambda row: row.draw.randrange(50, 3000)
        case msgspec.inspect.DecimalType():
            # In SQL a declared decimal is a number.
            return lambda row: float(Decimal(row.draw.randrange(-20_000, 20_000)) / 100)
    return _TEXTS.get(name, _word)


def _word(row: _Row) -> str:
    return row.draw.choice(_WORDS)


_TEXTS: Final[Mapping[str, Callable[[_Row], Any]]] = {
    "local": _local,
    "meter": lambda row: "00000000000000",
    "currency": lambda row: "EUR",
    "reference": lambda row: f"row:{row.number}",
    "scheme": lambda row: "tempo",
}
"""Fields of known types that are no ordinary words."""

_NUMBERS: Final[Mapping[str, int]] = {"seconds": 1800, "offset": 60}
"""And those that are no ordinary numbers: half-hours, an hour ahead of UTC."""


def _guessed(read: Read, name: str) -> Callable[[_Row], Any]:
    """A maker for a field of which only the manifest is known."""
    for one in read.where:
        if one.field == name:
            value = one.value[0] if isinstance(one.value, list) else one.value
            if isinstance(value, bool):
                return lambda row: row.draw.random() < 0.5
            if isinstance(value, str):
                return _word
    return lambda row: row.draw.randrange(1000)


def _passing(row_filter: Filter, draw: random.Random) -> Any:
    """A value that a filter lets through."""
    value = row_filter.value
    if isinstance(value, list):
        return draw.choice(value)
    if isinstance(value, str):
        return {"!=": value + "x", ">": value + "x", "<": "" if value else value}.get(row_filter.op, value)
    if isinstance(value, bool):
        return not value if row_filter.op == "!=" else value
    return {"!=": value + 1, ">": value + 1, "<": value - 1}.get(row_filter.op, value)
