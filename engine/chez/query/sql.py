"""Read-only SQL over the projection: one view per collection.

A view has the records of all spaces: `_space` is the name of a record's space, which several
may have, `_space_id` its id (64 hexadecimal digits, as `Space.id`), and `_id` the record's
within it; and every top-level field that any record of the collection ever had. Times are
RFC 3339 text, bytes hexadecimal text (`unhex` gives them back), nested values JSON text. A
field that a type declares as a decimal is a number there, to compare and sum up (64-bit
floats, exact to 15 digits), and its exact text is `_exact_` and its name.

Statements run on the reading connection behind an authorizer that allows SELECT and nothing else, and lets
the store's own tables be read through the views only: no key, no other table, no
PRAGMA, no ATTACH.

SQLite tells the authorizer through which view a table is read, but takes the name of a
common table expression or of a subquery for one too. So each view stands on a second
one whose name is random and lives for one statement: a query can't borrow that name.

What is followed as open data answers for collections that begin with `open_` and its dataset's name, and for no other,
and a provider's catalogue for none: who writes there decides what they are called, and must not put rows among the
person's own, or another dataset's. Any other public space that the person follows is in the views, for the person's own
questions: a job is given no row of it (`chez_sandbox.consent.scope`).

A statement may be asked of an earlier state (`records.then`): under the views lie then the records that were not
written since, and a temporary table of the others as they were.
"""

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlcipher3

from chez.crypto import random_bytes
from chez.errors import InvalidValue
from chez.query import decimals
from chez.query.decimals import decimal_column
from chez.query.paths import column, place, quote, steps
from chez.records.then import State, records_then
from chez.records.types import OPEN
from chez.shown import listed
from chez.store.ceilings import VALUE, little_heap
from chez.store.database import Connection

__all__ = ("CATALOGUES", "FOLLOWED", "PUBLISHED", "AsOf", "Rows", "first_table", "is_table_of", "run_sql")

FOLLOWED: Final = "chez.open_data"
"""The private space's collection of what is followed as open data, by the spaces' ids (`chez.opendata.following`); of
what the person publishes, too, which is of this kind:"""
PUBLISHED: Final = "published"
CATALOGUES: Final = "chez.catalogues"
"""That of providers' catalogues (`chez_sandbox.offers.following`)."""

_SELECT, _READ, _FUNCTION, _RECURSIVE = 21, 20, 31, 33  # sqlite3.h, action codes
_THEN: Final = "chez then "
"""How the names of temporary tables begin; those of views do not."""
_DENIED: Final = frozenset((
    "load_extension", "fts3_tokenizer", "fts5", "sqlcipher_export", "readfile", "writefile", "edit"))
_TABLES: Final = frozenset(("json_each", "json_tree"))
"""Functions of SQL that are read as tables."""
_QUOTED: Final = re.compile(r'"((?:[^"]|"")+)"')
_TOKEN: Final = re.compile(rf"(?is)'[^']*'|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<alias>\bas\s*)?{_QUOTED.pattern}")
"""Texts, comments, and names in double quotes."""
_JOIN: Final = re.compile(r"(?i)\bjoin\b")
_WORD: Final = re.compile(r"(?<!\w)\w+(?!\w|\s*\()")
"""One that is not a function's."""
_RESERVED: Final = frozenset(
    "all and as between case collate distinct else escape exists except from group having in intersect is isnull join "
    "limit not notnull null on or order select set then to union using values when where".split())
"""Words of SQL that name nothing where they stand bare."""
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
        if "prohibited" in text or "not authorized" in text:
            raise InvalidValue("this statement does more than read collections",
                               "Use SELECT on the collections' names.") from None
        raise InvalidValue(f"SQLite does not accept this query: {text}", "`chez ls` lists the collections.") from None
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
    fields: dict[str, list[str]] = {}
    low = query.lower()
    for collection, name in db.execute("SELECT collection, name FROM field"):
        if collection.lower() in low:
            known = fields.setdefault(collection, [])
            known += [] if "\0" in name else [name]  # no SQL can name that
    said = _said(query)
    _tell_apart(db, query, said, fields, private)
    _tell_fields_apart(db, said, fields)
    offers = _outside(db, private, CATALOGUES)
    foreign = offers + _outside(db, private, FOLLOWED)
    source = "main.record" if as_of is None else _then(db, fields, hidden, as_of)
    for name, known in fields.items():
        columns = ["record.id AS _id", "space.name AS _space", "lower(hex(space.id)) AS _space_id",
                   *_columns(known, decimals.declared(db, name))]
        under = hidden[name] = f"chez {random_bytes(16).hex()}"
        db.execute(f"CREATE TEMP VIEW {quote(under, chr(34))} AS SELECT {', '.join(columns)} "
                   f"FROM {source} AS record JOIN main.space ON space.n = record.space "
                   f"WHERE collection = {quote(name, chr(39))} AND deleted = 0"
                   f"{offers + _others(db, private, name) if _fold(name).startswith(OPEN) else foreign}")
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


@dataclass(frozen=True, slots=True)
class _Said:
    """The names that a query may mean: bare words, and those in double quotes; of these the doubtful may only be what
    it calls a column or a table, or stand in a comment."""

    words: set[str]
    quoted: set[str]
    doubtful: set[str]


def _said(query: str) -> _Said:
    words = {word for word in _WORD.findall(_TOKEN.sub(" ", query)) if word.lower() not in _RESERVED}
    said = _Said(words, set(), set())
    for found in _TOKEN.finditer(query):
        if found["comment"] is not None:
            said.quoted.update(names := _QUOTED.findall(found["comment"]))
            said.doubtful.update(names)
        elif (name := found[3]) is not None:
            (said.doubtful if found["alias"] else said.quoted).add(name.replace('""', '"'))
    return said


def _exact(said: _Said, alike: Collection[str], own: Collection[str]) -> list[str]:
    """The names in double quotes, of some that are alike; with them the person's own that is a bare word besides."""
    rivals = [name for name in own if name in said.words]
    # `SELECT name AS "Name" FROM people ORDER BY "Name"` means its own column.
    exact = [name for name in alike if name in said.quoted and not (rivals and name in said.doubtful)]
    return [*exact, *(name for name in rivals if name not in exact)] if exact else []


def _tell_apart(db: Connection, query: str, said: _Said, fields: dict[str, list[str]], private: int) -> None:
    """Leave one of collections that differ by upper and lower case only, which SQL can't tell apart.

    Whoever publishes a space that is followed calls its collections as they like, and must not spoil queries of others:
    a name in double quotes is exactly that one, so that no row of another is taken for its; then a table of open data
    that a publisher has, then those of spaces where the person belongs come first, then the one that is spelt as in the
    query. Raises `InvalidValue` where that leaves several.
    """
    for name in [name for name in fields if _fold(name) in _TABLES and not _is_own(db, name)]:
        del fields[name]  # it would hide the function
    for name in said.quoted - fields.keys():
        if _fold(name) in map(_fold, fields) and _is_there(db, name):  # its records have no field
            fields[name] = []
    folded = Counter(map(_fold, fields))
    alike: dict[str, list[str]] = {}
    for name in fields:
        if folded[_fold(name)] > 1:
            alike.setdefault(_fold(name), []).append(name)
    for folded_name, names in alike.items():
        # Tables of open data are in small letters: a member of some space of the person's hides none by others.
        signed = folded_name in names and folded_name.startswith(OPEN) and _whose(db, private, folded_name)[0]
        own = [folded_name] if signed else [name for name in names if _is_own(db, name)]
        spelt = _exact(said, names, own) or own or [name for name in names if name in query] or names
        if len(spelt) > 1:
            raise InvalidValue(f"some of these collections differ by upper and lower case only: "
                               f"{', '.join(sorted(spelt))}",
                               "SQL can't tell them apart; use filters on the collection instead.")
        for name in names:
            if name not in spelt:
                del fields[name]


def _tell_fields_apart(db: Connection, said: _Said, fields: dict[str, list[str]]) -> None:
    """Put first what a query means of fields that differ by upper and lower case only: SQL reads the first one.

    Who writes into a collection in some other space, as a member or as a publisher, calls fields as they like, and
    must not hide another's: a name in double quotes is exactly that one, then comes the one that is spelt so, then that
    of spaces where the person belongs. Raises `InvalidValue` where that leaves several.
    """
    asked = {_fold(word) for word in said.words | said.quoted}
    for collection, known in fields.items():
        if len(folded := Counter(map(_fold, known))) < len(known):
            meant = [_meant(db, collection, [name for name in known if _fold(name) == one], said)
                     for one, count in folded.items() if count > 1 and one in asked]
            fields[collection] = [*meant, *(name for name in known if name not in meant)]


def _meant(db: Connection, collection: str, alike: list[str], said: _Said) -> str:
    spelt = [name for name in alike if name in said.quoted or name in said.words]
    if len(spelt) == 1:
        return spelt[0]
    own = [name for name in alike if _is_own(db, collection, name)]
    found = _exact(said, alike, own) or [name for name in own if name in said.words] or own or alike[:1]
    if len(found) > 1:
        raise InvalidValue(f"some fields of {collection} differ by upper and lower case only: {', '.join(found)}",
                           "SQL can't tell them apart: put the one you mean in double quotes, as it is spelt, "
                           "and leave the others out.")
    return found[0]


def _is_own(db: Connection, collection: str, name: str | None = None) -> bool:
    """Whether a space that is not merely followed (`chez.sync.room`) has records of a collection, or had; with that
    field, where one is named."""
    holds = "" if name is None else f"AND json_type(json, {place((name,))}) IS NOT NULL "
    return db.execute("SELECT 1 FROM record JOIN space ON space.n = record.space WHERE collection = ? AND space NOT IN "
                      f"(SELECT space FROM room) {holds}LIMIT 1", (collection,)).fetchone() is not None


def _is_there(db: Connection, collection: str) -> bool:
    """Whether any space has records of a collection, or had."""
    return db.execute("SELECT 1 FROM record WHERE collection = ? LIMIT 1", (collection,)).fetchone() is not None


def _outside(db: Connection, private: int, followed: str) -> str:
    """The condition that leaves out the spaces that a collection of the private space names; empty where there are
    none."""
    # In the private space alone: a member of a shared one could else hide any space's rows.
    found = db.execute("SELECT n FROM space WHERE n != ? AND lower(hex(id)) IN "
                       "(SELECT id FROM record WHERE space = ? AND collection = ? AND deleted IN (0, 2) "
                       "AND json ->> '$.kind' IS NOT ?)",
                       (private, private, followed, PUBLISHED))  # 2: what it says is still to come
    return _without(n for (n,) in found)


def _others(db: Connection, private: int, table: str) -> str:
    """The condition that leaves out, of a table of open data, what is followed as something else than its dataset.

    Of a dataset's that the person follows, or publishes, every other space is left out as well, but for the private
    one: who shares a space with the person must not put rows among those that a publisher signed.
    """
    its, followed = _whose(db, private, table)
    spaces = db.execute("SELECT n, lower(hex(id)) FROM space WHERE n != ?", (private,)).fetchall()
    return _without(n for n, id in spaces if (id not in its if its else id in followed))


def _whose(db: Connection, private: int, table: str) -> tuple[set[str], set[str]]:
    """The ids of the spaces of the dataset that has a table, none where no known one has it; and of those that are
    followed as something else."""
    # 2: what it says is still to come, so that its space has no table yet.
    followed = db.execute("SELECT record.id, record.json ->> '$.kind', record.json ->> '$.dataset', "
                          "record.json ->> '$.wanted' FROM record WHERE space = ? AND collection = ? "
                          "AND deleted IN (0, 2)", (private, FOLLOWED)).fetchall()
    datasets = {id: dataset for id, kind, dataset, wanted in followed
                if isinstance(dataset, str) and (kind == PUBLISHED or (kind != "catalogue" and wanted == 1))}
    names = datasets.values()
    its = {id for id, dataset in datasets.items() if is_table_of(table, dataset, names)}
    # Of one that the person publishes nobody else has a table, also where two devices did both at once.
    own = {id for id, kind, _, _ in followed if kind == PUBLISHED} & its
    return own or its, {id for id, kind, dataset, _ in followed
                 if kind == "catalogue" or not isinstance(dataset, str) or not is_table_of(table, dataset, names)}


def is_table_of(collection: str, dataset: str, followed: Iterable[str] = ()) -> bool:
    """Whether a collection is called as tables of a dataset are (`chez.opendata.loading.table_name`), and not as those
    of another one that is `followed`, whose name is longer: of "velov" and "velov-map", `open_velov_map` is the second
    one's (decision 0063).

    Who publishes one dataset must not put rows among those of another.
    """
    name, base = _fold(collection), first_table(dataset)
    return _begins(name, base) and not any(
        len(other) > len(base) and _begins(name, other) for other in map(first_table, followed))


def first_table(dataset: str) -> str:
    """How the collections of a dataset are called: this, or this with `_` and more."""
    from chez.connectors.tables import slug

    return OPEN + slug(dataset)


def _begins(name: str, base: str) -> bool:
    return name == base or name.startswith(f"{base}_")


def _without(spaces: Iterable[int]) -> str:
    numbers = ", ".join(str(int(n)) for n in spaces)
    return f" AND record.space NOT IN ({numbers})" if numbers else ""


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
            found.append(f"{value} AS {quote(f'_exact_{name}', chr(34))}")
    return found


def _fold(name: str) -> str:
    # SQLite ignores the case of ASCII letters only.
    return "".join(c.lower() if c.isascii() else c for c in name)


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
            return 0 if name in _TABLES or (name in ("record", "space") and inner in hidden) else 1
        return 1

    return allow
