"""From a grant's scope to tables: the granted fields of the granted rows, and nothing else.

Everything here is composed by the host from a checked manifest; names are quoted, values
are bound. The job's own SQL runs in the worker, on a copy of these rows alone.

`spaces = "all"` means the spaces in which the person has a role, as it is now; of collections that begin with
`open_` also what they follow as open data. Any other public space that they follow is not among them: its publisher
decides what its collections are called, and must not put rows among those that a job reads as the person's.
"""

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from chez.errors import InvalidValue, NotAllowed
from chez.query.followed import FOLLOWED
from chez.records.types import OPEN
from chez_sandbox.consent.catalogue import Phrase, refused
from chez_sandbox.consent.narrowing import WHOLE, Narrowing, narrow
from chez_sandbox.consent.period import Period, bounds, closed_day, day_of, period_of, shortest
from chez_sandbox.manifest import Filter, Manifest, Read, Window
from chez_sandbox.runtime.host import Table

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = (
    "MAX_CELLS",
    "MAX_ROWS",
    "Between",
    "Source",
    "Then",
    "granted_scope",
    "granted_tables",
    "read_windows",
    "scope_at",
    "too_few_rows",
)

MAX_ROWS: Final = 2_000_000
"""Rows of one table: four years of minutes; more is a mistake, or an attack on memory."""

MAX_CELLS: Final = 8_000_000
"""Fields of all rows of all tables of a run. A cell takes some 200 bytes on its way into the job, in the worker,
whose memory is held to that; here the rows of one statement take at most 256 MiB (`chez.query.sql.MEMORY`)."""

NEWEST: Final = 16
"""Texts that are looked at, the newest first, until one is an instant; then those alone that SQLite holds for one too,
which knows fewer forms (`+0100`)."""

_DAY: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"

_INSTANT: Final = """length(cast({0} as blob)) = length({0}) and (length({0}) = 10 or (
 substr({0}, 12) glob '[0-9][0-9]:*' and substr({0}, 12, 2) < '24' and substr({0}, 12) not glob '*[^0-9:.+Z-]*'
 and datetime({0}) is not null))"""
"""What is a day or an instant as SQLite reads them, without what it alone reads: 24 o'clock, blanks, what is behind a
zero character."""


class Source(Protocol):
    """Where the rows are: a `chez.Home`, or a provider's sample data."""

    async def collections(self) -> Sequence[Any]:
        """What there is; each has a `name`."""

    def space(self) -> Any:
        """The private space; it has an `id`."""

    async def spaces(self) -> Sequence[Any]:
        """All of them; each has an `id`, and a `role`, which is None where the person has no part."""

    def collection(self, name: str, /) -> AsyncIterable[Any]:
        """The private space's records of a collection; each has an `id`."""

    async def sql(self, query: str, params: Sequence[Any] = (), /, *, limit: int = 10_000) -> Any:
        """Rows (`columns`, `rows`) of one read-only statement over a view per collection."""


class Then(msgspec.Struct, frozen=True):
    """A home as it was at a cursor: several statements read one state, and a run can be repeated on it."""

    home: "Home"
    cursor: str

    async def collections(self) -> Sequence[Any]:
        """What there is now: a collection that came since has no record then."""
        return await self.home.collections()

    def space(self) -> Any:
        """The private space."""
        return self.home.space()

    async def spaces(self) -> Sequence[Any]:
        """All of them now, with the roles of now: who was taken out of a space has it read no more."""
        return await self.home.spaces()

    def collection(self, name: str, /) -> AsyncIterable[Any]:
        """The private space's records now."""
        return self.home.collection(name)

    async def sql(self, query: str, params: Sequence[Any] = (), /, *, limit: int = 10_000) -> Any:
        """Rows of then. Raises `InvalidValue` also when too much was written since."""
        return await self.home.sql(query, params, limit=limit, as_of=self.cursor)


Between = tuple[str, str]
"""The texts between which a window's field lies: from the first, to before the second."""

_UNSAID: Final[Between] = ("", "")
"""By the window of today, which is found when the rows are read."""


async def granted_scope(
    source: Source,
    manifest: Manifest,
    today: date,
    narrowing: Narrowing = WHOLE,
    said: Sequence[Between | None] | None = None,
) -> tuple[list[Table], list[Between | None]]:
    """The tables a run gets, and the window that each was read by: None where there is none.

    A collection or field there is none of gives no rows, or nulls; so does a field that the person left
    out (`narrowing`), and windows are as short as they made them. The rows are in a fixed order, so
    that the same rows give the same run everywhere. With `said` they are read by these windows, those of
    an earlier run. Raises `NotAllowed` when they are more than a run can be given, or a window's zone is
    not known here.
    """
    known = {info.name for info in await source.collections()}
    tables: list[Table] = []
    windows: list[Between | None] = []
    left = MAX_CELLS
    for number, read in enumerate(narrow(manifest, narrowing).reads):
        width = len(read.fields)
        most, hidden = min(MAX_ROWS, left // width), narrowing.hidden(read.collection)
        window = _UNSAID if said is None else said[number]
        table, between = await _table(source, read, today, read.collection in known, most, hidden, window)
        left -= width * len(table.rows)
        tables.append(table)
        windows.append(between)
    return tables, windows


async def scope_at(
    home: "Home", cursor: str, manifest: Manifest, today: date, narrowing: Narrowing
) -> tuple[list[Table], list[Between | None]]:
    """`granted_scope` of a home as of a cursor of now: a replay finds the same rows, whatever is written meanwhile."""
    try:
        return await granted_scope(Then(home, cursor), manifest, today, narrowing)
    except InvalidValue:  # more was written meanwhile than is rebuilt
        return await granted_scope(home, manifest, today, narrowing)


async def read_windows(
    source: Source, manifest: Manifest, today: date, narrowing: Narrowing = WHOLE
) -> list[Between | None]:
    """The windows that `granted_scope` would read by now, without the rows; raises like it."""
    known = {info.name for info in await source.collections()}
    windows: list[Between | None] = []
    for read in narrow(manifest, narrowing).reads:
        if read.window is None or read.collection not in known:
            windows.append(None)
            continue
        view = await _view(source, read)
        conditions, values = await _conditions(source, read, view)
        windows.append(await _between(source, read, read.window, view, today, conditions, values))
    return windows


async def granted_tables(
    source: Source, manifest: Manifest, today: date, narrowing: Narrowing = WHOLE
) -> list[Table]:
    """The tables of `granted_scope` alone; raises like it."""
    tables, _ = await granted_scope(source, manifest, today, narrowing)
    return tables


def too_few_rows(manifest: Manifest, tables: Sequence[Table]) -> str:
    """Why a job must not run on these rows: fewer than its manifest asks for. Empty when it may."""
    for read, table in zip(manifest.reads, tables, strict=True):
        if len(table.rows) < read.min_rows:
            return Phrase("gave-up.rows", collection=read.collection, rows=len(table.rows), least=read.min_rows)
    return ""


async def _table(
    source: Source,
    read: Read,
    today: date,
    known: bool,
    most: int,
    hidden: frozenset[str],
    said: Between | None,
) -> tuple[Table, Between | None]:
    columns = tuple(read.fields)
    if not known:
        return Table(read.collection, columns, []), None
    view = await _view(source, read)
    # SQLite takes a quoted name it does not know for a text, so names are looked up first.
    conditions, values = await _conditions(source, read, view)
    between = None
    if read.window is not None:
        between = said
        if said is _UNSAID:
            between = await _between(source, read, read.window, view, today, conditions, values)
        if between is None:
            return Table(read.collection, columns, []), None
        conditions = [*conditions, f"{_quoted(read.window.field)} >= ?", f"{_quoted(read.window.field)} < ?"]
        values = [*values, *map(shortest, between)]
    shown = view - hidden
    chosen = [_quoted(field) if field in shown else "null" for field in columns]
    # The order of rows would tell of a field that is left out.
    leading = [_quoted(read.window.field)] if read.window is not None and read.window.field in shown else []
    order = ", ".join([*leading, *(str(number) for number in range(1, len(chosen) + 1))])
    statement = f"select {', '.join(chosen)} from {_quoted(read.collection)}{_where(conditions)} order by {order}"
    rows = await source.sql(statement, values, limit=most + 1)
    if len(rows.rows) > most:
        more = {"collection": read.collection, "most": most, "rows": MAX_ROWS, "cells": MAX_CELLS}
        raise refused(NotAllowed, "rows", **more)
    return Table(read.collection, columns, rows.rows), between


async def _view(source: Source, read: Read) -> set[str]:
    """The fields that there are, of those that the job names."""
    named = {*read.fields, *(one.field for one in read.where), *([read.window.field] if read.window else [])}
    # Named they are found as they are spelt, also where somebody has others that differ by upper and lower case only.
    asked = " ".join(map(_quoted, sorted(named)))
    columns = (await source.sql(f"select * from {_quoted(read.collection)} limit 1 -- {asked}")).columns
    return named.intersection(columns)


async def _between(
    source: Source,
    read: Read,
    window: Window,
    view: set[str],
    today: date,
    conditions: list[str],
    values: list[Any],
) -> Between | None:
    """None when there is no such window."""
    if window.field not in view:
        return None
    end = closed_day(window, today)
    if window.until == "run-date":
        return bounds(window, period_of(window, end))
    field = _quoted(window.field)
    # What is no day, the 31st of February, is that of no row: others may write any text.
    days = [*conditions, f"{field} glob '{_DAY}'", f"date(substr({field}, 1, 10)) = substr({field}, 1, 10)"]
    # Days to come would make a window that is not over.
    before = shortest(bounds(window, Period(end, end))[1])
    days.append(f"{field} < ?")
    for looked in range(NEWEST + 1):
        if looked == NEWEST:  # somebody left them on purpose: there may be any number
            days.append(_INSTANT.format(field))
        statement = f"select max({field}) from {_quoted(read.collection)}{_where(days)}"
        newest = (await source.sql(statement, [*values, before])).rows[0][0]
        if newest is None:
            break
        with suppress(ValueError, OverflowError):
            return bounds(window, period_of(window, min(end, day_of(window, newest) + timedelta(days=1))))
        before = newest  # a time that is none
    return None


async def _conditions(source: Source, read: Read, view: set[str]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if read.spaces == "private":
        conditions.append("_space_id = ?")
        values.append(source.space().id)
    else:
        # One value however many spaces: SQLite bounds how many a statement may have. And no function that is a table,
        # for a collection of its name, in whichever space, would hide it.
        conditions.append("instr(?, _space_id) > 0")
        values.append(" ".join(await _all_spaces(source, read.collection)))
    for row_filter in read.where:
        wanted = _wanted(row_filter)
        # Without its type SQLite holds every text to be greater than every number.
        kind = "('text')" if isinstance(wanted[0], str) else "('integer', 'real')"
        field = _quoted(row_filter.field) if row_filter.field in view else "null"
        marks = f"({', '.join('?' * len(wanted))})" if row_filter.op == "in" else "?"
        conditions.append(f"typeof({field}) in {kind} and {field} {row_filter.op} {marks}")
        values.extend(wanted)
    return conditions, values


async def _all_spaces(source: Source, collection: str) -> list[str]:
    """The ids of what `spaces = "all"` means for a collection."""
    found = [space.id for space in await source.spaces() if space.role is not None]
    if collection.startswith(OPEN):
        found += [record.id async for record in source.collection(FOLLOWED)]
    return found


def _wanted(row_filter: Filter) -> list[Any]:
    return row_filter.value if isinstance(row_filter.value, list) else [row_filter.value]


def _where(conditions: list[str]) -> str:
    return f" where {' and '.join(conditions)}" if conditions else ""


def _quoted(name: str) -> str:
    # Manifest names are lower-case letters, digits and "_": this quotes, it need not escape.
    return f'"{name}"'
