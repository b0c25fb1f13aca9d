"""Read-only SQL over the projection: one view per collection.

A view has the records of all spaces: `_space` is the name of a record's space, which several
may have, `_space_id` its id (64 hexadecimal digits, as `Space.id`), and `_id` the record's
within it; and every top-level field that any record of the collection ever had (of very many, those named). Times are
RFC 3339 text, bytes hexadecimal text (`unhex` gives them back), nested values JSON text. A
field that a type declares as a decimal is a number there, to compare and sum up (64-bit
floats, exact to 15 digits), and its exact text is `_exact_` and its name.

Statements run on the reading connection behind an authorizer that allows SELECT and nothing else, and lets
the store's own tables be read through the views only: no key, no other table, no
PRAGMA, no ATTACH.

SQLite tells the authorizer through which view a table is read, but takes the name of a
common table expression or of a subquery for one too. So each view stands on a second
one whose name is random and lives for one statement: a query can't borrow that name.

What is followed as open data answers for its dataset's tables alone, and a provider's catalogue for none
(`query.followed`). Any other public space that the person follows is in the views, for the person's own questions: a
job is given no row of it (`chez_sandbox.consent.scope`). Which collections a query means, of those that SQL can't tell
apart, is for `query.names`.

A statement may be asked of an earlier state (`records.then`): under the views lie then the records that were not
written since, and a temporary table of the others as they were.
"""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlcipher3

from chez.crypto import random_bytes
from chez.errors import InvalidValue
from chez.query import decimals
from chez.query.decimals import decimal_column
from chez.query.followed import CATALOGUES, FOLLOWED, others, outside
from chez.query.names import EXACT, TABLES, meant
from chez.query.paths import column, fold, quote, steps
from chez.records.then import State, records_then
from chez.records.types import OPEN
from chez.shown import listed
from chez.store.ceilings import VALUE, little_heap
from chez.store.database import Connection

__all__ = ("AsOf", "Rows", "run_sql")

_SELECT, _READ, _FUNCTION, _RECURSIVE = 21, 20, 31, 33  # sqlite3.h, action codes
_THEN: Final = "chez then "
"""How the names of temporary tables begin; those of views do not."""
_DENIED: Final = frozenset((
    "load_extension", "fts3_tokenizer", "fts5", "sqlcipher_export", "readfile", "writefile", "edit"))
_HINTS: Final = {
    "no such column": "`_id` is a record's id, `_space` the name of its space; texts stand in single quotes.",
    "no such table": "`chez ls` lists the collections.",
    "too many columns": "Name the columns that you want, instead of *.",
    "near ": "A name that is no plain word stands in double quotes, a text in single ones.",
}
"""What to do, by how what SQLite says of a query begins,"""
_ELSE: Final = "It is SQL as SQLite has it: https://sqlite.org/lang.html."
"""and where it says something else."""
_JOIN: Final = re.compile(r"(?i)\bjoin\b")
STEPS: Final = 2_000_000_000
"""Virtual-machine steps of one statement, about a minute: a forgotten join condition ends by itself."""
MEMORY: Final = 256 * 1024 * 1024
"""Bytes that SQLite may take for a statement, and as many its answer may have (sorted joins, large values)."""
SMALL: Final = 1024 * 1024
"""Bytes of the records of a collection that is laid out as a table before it is joined."""
_TICK: Final = 1_000
"""Steps between two looks."""


@dataclass(frozen=True, slots=True, repr=False)
class Rows:
    """A result: the columns' names and the rows. `truncated` says that a limit cut it."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool = False

    def __repr__(self) -> str:
        return f"<Rows: {len(self.rows):,}{' and more' if self.truncated else ''} of ({listed(self.columns)})>"


class AsOf(msgspec.Struct, frozen=True):
    """An earlier state that a statement is asked of, on the device of this id."""

    state: State
    device: bytes


def run_sql(db: Connection, query: str, params: Sequence[Any] | Mapping[str, Any], limit: int,
            as_of: AsOf | None = None, *, private: int) -> Rows:
    """Run one SELECT on the views; `private` is the number of the private space. Raises `InvalidValue` with SQLite's
    reason."""
    if as_of is None:
        return _run_sql(db, query, params, limit, None, private)
    # What was written since, and what was not, are asked in several statements: of one state of the file.
    db.execute("BEGIN")
    try:
        return _run_sql(db, query, params, limit, as_of, private)
    finally:
        if db.in_transaction:  # SQLite ends it itself when it is out of memory
            db.execute("ROLLBACK")


def _run_sql(db: Connection, query: str, params: Sequence[Any] | Mapping[str, Any], limit: int,
             as_of: AsOf | None, private: int) -> Rows:
    watch = _Watch()
    hidden: dict[str, str] = {}
    try:
        _create(db, query, hidden, as_of, private)
        views = frozenset(name.lower() for name in hidden)
        db.set_authorizer(_authorizer(views, frozenset(hidden.values()), _tables(db)))
        db.set_progress_handler(watch.over, _TICK)
        try:
            with little_heap(MEMORY):
                columns, found = _answer(db, query, params, limit + 1)
        finally:
            db.set_authorizer(None)
            db.set_progress_handler(None, 0)
    except MemoryError:
        raise InvalidValue(f"this query was ended: it takes more than {MEMORY // 2**20} MiB of memory",
                           "Give it conditions, or a limit.") from None
    except sqlcipher3.Warning as error:
        raise InvalidValue(f"one statement at a time ({error})") from None
    except sqlcipher3.Error as error:
        text = str(error)
        if watch.ended:
            raise InvalidValue(f"this query was ended: {watch.ended}", "Give it conditions, or a limit.") from None
        if "too big" in text:
            raise InvalidValue(f"this query makes or reads a value of more than {VALUE // 2**20} MiB",
                               "Take a part of it with substr, or get the record itself.") from None
        if "prohibited" in text or "not authorized" in text or text.startswith("cannot modify"):
            raise InvalidValue("this statement does more than read collections",
                               "Use SELECT on the collections' names.") from None
        hint = next((hint for said, hint in _HINTS.items() if text.startswith(said)), _ELSE)
        raise InvalidValue(f"SQLite does not accept this query: {text}", hint) from None
    except (OverflowError, TypeError, ValueError) as error:  # a number of more than 64 bits, a zero byte, half a pair
        raise InvalidValue(f"SQLite does not accept this query or its parameters: {error}") from None
    finally:
        for pair in hidden.items():
            for view in pair:
                kind = "TABLE" if view.startswith(_THEN) else "VIEW"
                db.execute(f"DROP {kind} IF EXISTS temp.{quote(view, chr(34))}")
    if not columns:
        raise InvalidValue("this statement reads nothing", "Use SELECT on the collections' names.")
    return Rows(columns, found[:limit], len(found) > limit)


class _Watch:
    """Whether a statement takes too much."""

    def __init__(self) -> None:
        self.ended = ""
        self._steps = 0

    def over(self) -> bool:
        """Called every so many steps; True ends the statement."""
        self._steps += _TICK
        if self._steps > STEPS:
            self.ended = "it takes too long"
        return bool(self.ended)


def _answer(db: Connection, query: str, params: Sequence[Any] | Mapping[str, Any], most: int
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns and the first rows. Raises MemoryError for those that take too much."""
    cursor = db.execute(query, params)
    try:
        found: list[tuple[Any, ...]] = []
        left = MEMORY
        while len(found) < most and (row := cursor.fetchone()) is not None:
            left -= sum(map(sys.getsizeof, row))
            if left < 0:
                raise MemoryError
            found.append(row)
        return tuple(item[0] for item in cursor.description or ()), found
    finally:
        cursor.close()


def _create(db: Connection, query: str, hidden: dict[str, str], as_of: AsOf | None, private: int) -> None:
    """Make the views that a query can mean.

    `hidden` gets their names and those of the hidden ones under them before each is
    made, so that the caller can drop them whatever happens.
    """
    fields = meant(db, query, private)
    offers = outside(db, private, CATALOGUES)
    foreign = offers + outside(db, private, FOLLOWED)
    source = "main.record" if as_of is None else _then(db, fields, hidden, as_of)
    for name, known in fields.items():
        columns = ["record.id AS _id", "space.name AS _space", "lower(hex(space.id)) AS _space_id",
                   *_columns(known, decimals.declared(db, name))]
        under = hidden[name] = f"chez {random_bytes(16).hex()}"
        db.execute(f"CREATE TEMP VIEW {quote(under, chr(34))} AS SELECT {', '.join(columns)} "
                   f"FROM {source} AS record JOIN main.space ON space.n = record.space "
                   f"WHERE collection = {quote(name, chr(39))} AND deleted = 0"
                   f"{offers + others(db, private, name) if fold(name).startswith(OPEN) else foreign}")
        rows = f"SELECT * FROM temp.{quote(under, chr(34))}"
        if as_of is None and _JOIN.search(query) and _is_small(db, name, len(known)):
            # Else SQLite reads each record anew for each row that it is joined to: it indexes columns by itself, and
            # no expression.
            rows = f"WITH rows AS MATERIALIZED ({rows}) SELECT * FROM rows"
        db.execute(f"CREATE TEMP VIEW {quote(name, chr(34))} AS {rows}")


def _is_small(db: Connection, collection: str, fields: int) -> bool:
    """Whether a collection's records are `SMALL` together.

    Each counts as 64 bytes at least, and eight for each of the collection's `fields`, which are all laid out.
    """
    (size,) = db.execute(
        "SELECT coalesce(sum(max(size, 64, 8 * ?)), 0) FROM (SELECT octet_length(json) AS size FROM main.space "
        "CROSS JOIN main.record ON record.space = space.n WHERE collection = ? LIMIT ?)",
        (fields, collection, SMALL // 64)).fetchone()
    return bool(size < SMALL)


def _then(db: Connection, collections: Collection[str], hidden: dict[str, str], as_of: AsOf) -> str:
    """A view of the records as they were, made and named in `hidden`; its name as SQL writes it."""
    table, view = f"{_THEN}{random_bytes(16).hex()}", f"chez {random_bytes(16).hex()}"
    hidden[table] = view  # nobody who asks knows either name
    db.execute(f"CREATE TEMP TABLE {quote(table, chr(34))} (space INTEGER, collection TEXT, id TEXT, json TEXT)")
    db.executemany(f"INSERT INTO temp.{quote(table, chr(34))} VALUES (?, ?, ?, ?)", (
        (was.space, was.collection, was.id, was.json)
        for was in records_then(db, as_of.state, collections, as_of.device)))
    db.execute(f"CREATE TEMP VIEW {quote(view, chr(34))} AS "
               "SELECT space, collection, id, json, deleted FROM main.record "
               f"WHERE changed <= {as_of.state.written} "
               f"UNION ALL SELECT space, collection, id, json, 0 FROM temp.{quote(table, chr(34))}")
    return f"temp.{quote(view, chr(34))}"


def _columns(fields: list[str], declared: frozenset[str]) -> list[str]:
    """The columns of a view: each field, and for decimals the number and the text."""
    numbers = {path[0] for path in map(steps, declared) if len(path) == 1}
    found = []
    for name in fields:
        value = column((name,))
        found.append(f"{decimal_column((name,)) if name in numbers else value} AS {quote(name, chr(34))}")
        if name in numbers:
            found.append(f"{value} AS {quote(f'{EXACT}{name}', chr(34))}")
    return found


def _tables(db: Connection) -> frozenset[str]:
    return frozenset(row[0] for row in db.execute(
        "SELECT lower(name) FROM main.sqlite_master WHERE type IN ('table', 'view')"))


def _authorizer(views: frozenset[str], hidden: frozenset[str], tables: frozenset[str]) -> Any:
    def allow(action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
        if action in (_SELECT, _RECURSIVE):
            return 0
        if action == _FUNCTION:
            return 1 if (second or "").lower() in _DENIED else 0
        if action == _READ:
            name = (first or "").lower()
            if not second:
                # No column is read, rows are only counted: of a view, a subquery, or of
                # the tables under a view, which are named without it.
                view = name in views and database != "main"
                return 0 if view or name in ("record", "space") or name not in tables else 1
            if database == "temp":
                return 0 if name in views or first in hidden else 1
            return 0 if name in TABLES or (name in ("record", "space") and inner in hidden) else 1
        return 1

    return allow
