"""From a grant's scope to tables: the granted fields of the granted rows, and nothing else.

Everything here is composed by the host from a checked manifest; names are quoted, values
are bound. The job's own SQL runs in the worker, on a copy of these rows alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Protocol

from chez.errors import NotAllowed
from chez_sandbox.manifest import Manifest, Read, Window
from chez_sandbox.runtime.host import Table

__all__ = ("MAX_ROWS", "Period", "Source", "granted_tables", "period_of")

MAX_ROWS: Final = 500_000
"""Rows of one table: 17 years of half-hours; more is a mistake, or an attack on memory."""

_DAY: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"


class Source(Protocol):
    """Where the rows are: a `chez.Home`, or a provider's sample data."""

    async def collections(self) -> Sequence[Any]:
        """What there is; each has a `name`."""

    async def sql(self, query: str, params: Sequence[Any] = (), /, *, limit: int = 10_000) -> Any:
        """Rows (`columns`, `rows`) of one read-only statement over a view per collection."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from `first` to before `end`."""

    first: date
    end: date


def period_of(window: Window, anchor: date) -> Period:
    """The days of a window whose last day is before `anchor`."""
    return Period(anchor - timedelta(days=window.days), anchor)


async def granted_tables(source: Source, manifest: Manifest, today: date) -> list[Table]:
    """The tables a run gets. A collection or field there is none of gives no rows, or nulls.

    The rows are in a fixed order, so that the same rows give the same run everywhere.
    """
    known = {info.name for info in await source.collections()}
    return [await _table(source, read, today, read.collection in known) for read in manifest.reads]


async def _table(source: Source, read: Read, today: date, known: bool) -> Table:
    columns = tuple(read.fields)
    if not known:
        return Table(read.collection, columns, [])
    view = set((await source.sql(f"select * from {_quoted(read.collection)} limit 1")).columns)
    # SQLite takes a quoted name it does not know for a text, so names are looked up first.
    conditions, values = _conditions(read, view)
    if read.window is not None:
        period = await _period(source, read, read.window, view, today, conditions, values)
        if period is None:
            return Table(read.collection, columns, [])
        conditions = [*conditions, f"{_quoted(read.window.field)} >= ?", f"{_quoted(read.window.field)} < ?"]
        # ISO text compares like time: a day stands before every time on it.
        values = [*values, period.first.isoformat(), period.end.isoformat()]
    chosen = [_quoted(field) if field in view else "null" for field in columns]
    leading = [_quoted(read.window.field)] if read.window is not None else []
    order = ", ".join([*leading, *(str(number) for number in range(1, len(chosen) + 1))])
    statement = f"select {', '.join(chosen)} from {_quoted(read.collection)}{_where(conditions)} order by {order}"
    rows = await source.sql(statement, values, limit=MAX_ROWS + 1)
    if len(rows.rows) > MAX_ROWS:
        raise NotAllowed(
            f"the job would read more than {MAX_ROWS} rows of {read.collection}",
            "grant a version with a shorter window",
        )
    return Table(read.collection, columns, rows.rows)


async def _period(
    source: Source,
    read: Read,
    window: Window,
    view: set[str],
    today: date,
    conditions: list[str],
    values: list[Any],
) -> Period | None:
    if window.field not in view:
        return None
    if window.until == "run-date":
        return period_of(window, today)
    field = _quoted(window.field)
    days = [*conditions, f"{field} glob '{_DAY}'"]
    newest = await source.sql(f"select max({field}) from {_quoted(read.collection)}{_where(days)}", values)
    text = newest.rows[0][0]
    try:
        return None if text is None else period_of(window, date.fromisoformat(text[:10]) + timedelta(days=1))
    except (ValueError, OverflowError):
        return None


def _conditions(read: Read, view: set[str]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for row_filter in read.where:
        wanted = row_filter.value if isinstance(row_filter.value, list) else [row_filter.value]
        field = _quoted(row_filter.field) if row_filter.field in view else "null"
        marks = f"({', '.join('?' * len(wanted))})" if row_filter.op == "in" else "?"
        conditions.append(f"{field} {row_filter.op} {marks}")
        values.extend(wanted)
    return conditions, values


def _where(conditions: list[str]) -> str:
    return f" where {' and '.join(conditions)}" if conditions else ""


def _quoted(name: str) -> str:
    # Manifest names are lower-case letters, digits and "_": this quotes, it need not escape.
    return f'"{name}"'
