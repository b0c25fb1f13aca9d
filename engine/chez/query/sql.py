"""Read-only SQL over the projection: one view per collection.

A view has `_id`, `_space` and every top-level field that any record of the collection
ever had; times are RFC 3339 text, nested values JSON text. Statements run on the
reading connection behind an authorizer that allows SELECT and nothing else, and lets
the store's own tables be read through the views only: no key, no other table, no
PRAGMA, no ATTACH.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlcipher3

from chez.errors import InvalidValue
from chez.query.filters import column, quote
from chez.store.database import Connection

__all__ = ("Rows", "run_sql")

_SELECT, _READ, _FUNCTION, _RECURSIVE = 21, 20, 31, 33  # sqlite3.h, action codes
_DENIED: Final = frozenset(("load_extension", "fts3_tokenizer", "sqlcipher_export", "readfile", "writefile", "edit"))
STEPS: Final = 2_000_000_000
"""Virtual-machine steps of one statement, about a minute: a forgotten join condition ends by itself."""
_TICK: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """A result: the columns' names and the rows. `truncated` says that a limit cut it."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool = False


def run_sql(db: Connection, query: str, params: Sequence[Any] | Mapping[str, Any], limit: int) -> Rows:
    """Run one SELECT on the views. Raises `InvalidValue` with SQLite's reason."""
    views = _views(db)
    ticks = iter(range(STEPS // _TICK))
    try:
        for name, fields in views.items():
            _create(db, name, fields)
        db.set_authorizer(_authorizer(frozenset(views)))
        db.set_progress_handler(lambda: next(ticks, None) is None, _TICK)
        try:
            cursor = db.execute(query, params)
            found = cursor.fetchmany(limit + 1)
            columns = tuple(item[0] for item in cursor.description or ())
            cursor.close()
        finally:
            db.set_authorizer(None)
            db.set_progress_handler(None, 0)
    except sqlcipher3.Warning as error:
        raise InvalidValue(f"one statement at a time ({error})") from None
    except sqlcipher3.Error as error:
        text = str(error)
        if "prohibited" in text or "not authorized" in text:
            raise InvalidValue("this statement does more than read collections",
                               "Use SELECT on the collections' names.") from None
        raise InvalidValue(f"SQLite does not accept this query: {text}", "`chez ls` lists the collections.") from None
    if not columns:
        raise InvalidValue("this statement reads nothing", "Use SELECT on the collections' names.")
    return Rows(columns, found[:limit], len(found) > limit)


def _views(db: Connection) -> dict[str, list[str]]:
    views: dict[str, list[str]] = {}
    for collection, name in db.execute("SELECT collection, name FROM field"):
        views.setdefault(collection, []).append(name)
    return views


def _create(db: Connection, name: str, fields: list[str]) -> None:
    columns = ["record.id AS _id", "space.name AS _space"]
    columns += [f"{column(item)} AS {quote(item, chr(34))}" for item in fields if not set(item) & set('".\0')]
    view = quote(name, '"')
    db.execute(f"DROP VIEW IF EXISTS temp.{view}")
    db.execute(f"CREATE TEMP VIEW {view} AS SELECT {', '.join(columns)} FROM main.record JOIN main.space "
               f"ON space.n = record.space WHERE collection = {quote(name, chr(39))} AND deleted = 0")


def _authorizer(views: frozenset[str]) -> Any:
    def allow(action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
        if action in (_SELECT, _RECURSIVE):
            return 0
        if action == _FUNCTION:
            return 1 if (second or "").lower() in _DENIED else 0
        if action == _READ:
            # `inner` is the view through which a table is read; a name that is neither a
            # store's table nor a view is a subquery's or a CTE's own.
            # A view's table of which no column is used comes without both: (table, "", main, None).
            joined = first in ("record", "space") and second == ""
            return 0 if joined or inner in views or first in views or first in ("", "json_each", "json_tree") else 1
        return 1

    return allow
