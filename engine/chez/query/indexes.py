"""Declared indexes: how they are made, and which of them serves a query.

An index is on the expressions that conditions and sorting are compiled to, in one
collection, with the record's id last, for it breaks ties in every order. What it is on can
be read from its name, so the store itself tells which there are, to any process. One that
nobody declares any more is dropped in the end (`tend`).
"""

import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from chez.errors import InvalidValue
from chez.query.conditions import Bound, Key
from chez.query.decimals import decimal_column
from chez.query.paths import column, quote, steps
from chez.store.database import Connection

__all__ = ("Declared", "Index", "best", "check", "expression", "named", "neglected", "present", "tend", "unhinted")

Declared = str | Sequence[str]
"""What `indexes=` takes for one index: a field, or several."""

KEPT: Final = 16
"""Openings of a home that declare a collection without one of its indexes, until that one is dropped."""

_MOST: Final = 8
_MARK: Final = "declared "
_HINT: Final = re.compile(f'INDEXED BY "{_MARK}(?:[^"]|"")*"')


def check(indexes: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    """The fields of each index that is declared. Raises `InvalidValue`."""
    if isinstance(indexes, str):
        raise InvalidValue("indexes are a list of fields", f"Write indexes=({indexes!r},).")
    found = [tuple(one) if isinstance(one, list | tuple) else (one,) for one in indexes]
    for fields in found:
        if not all(isinstance(name, str) for name in fields):
            raise InvalidValue(f"an index is on fields, named by text, not on {reprlib.repr(fields)}")
        if not fields or len(fields) > _MOST or len(set(fields)) < len(fields):
            raise InvalidValue(f"an index is on 1 to {_MOST} fields, each named once, not on {fields!r}")
        for name in fields:
            if steps(name) == ("_id",):
                raise InvalidValue("the id needs no index: it has one")
    return tuple(found)


def expression(key: Key) -> str:
    """The SQL expression of a key."""
    name, decimal = key
    return decimal_column(steps(name)) if decimal else column(steps(name))


class Index(msgspec.Struct, frozen=True):
    """A declared index: the keys it is on, in their order."""

    collection: str
    keys: tuple[Key, ...]

    @property
    def name(self) -> str:
        """Its name."""
        fields = " ".join("".join(c if c.isprintable() else "?" for c in name) for name, _ in self.keys)
        # SQLite ignores the case of names, collections and fields do not: hence the hex, which also says it all.
        return f"{_MARK}{self.collection} {fields} {msgspec.json.encode((self.collection, self.keys)).hex()}"

    def statement(self) -> str:
        """What makes it."""
        columns = ", ".join(expression(key) for key in self.keys)
        return (f"CREATE INDEX IF NOT EXISTS {quote(self.name, chr(34))} ON record (space, {columns}, id) "
                f"WHERE collection = {quote(self.collection, chr(39))} AND deleted = 0")


def present(db: Connection, collection: str) -> frozenset[Index]:
    """The declared indexes that the store has for a collection."""
    return frozenset(index for index in named(db) if index.collection == collection)


def named(db: Connection) -> list[Index]:
    """The declared indexes of a store, as their names say. Raises ValueError for a name that says none."""
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'record' "
                       "AND name GLOB 'declared *'").fetchall()
    kind = tuple[str, tuple[Key, ...]]
    found = (msgspec.json.decode(bytes.fromhex(name.rpartition(" ")[2]), type=kind) for (name,) in names)
    return [Index(of, keys) for of, keys in found]


def neglected(db: Connection, wanted: Iterable[Index]) -> bool:
    """Whether one of these indexes is counted as one that is declared no more."""
    unused = {name for (name,) in db.execute("SELECT name FROM unused_index")}
    return any(index.name in unused for index in wanted)


def tend(db: Connection, collection: str, wanted: Sequence[Index], *, anew: bool) -> None:
    """Make the indexes that are declared of a collection; `anew` says that it is the first time since opening.

    Others are counted then, and dropped after `KEPT` openings in a row: another app, or
    another part of this one, may declare them still. Dropping loses nothing but the time to
    make one again.
    """
    for index in wanted:
        db.execute(index.statement())
        db.execute("DELETE FROM unused_index WHERE name = ?", (index.name,))
    if not (anew and wanted):
        return
    for index in present(db, collection) - frozenset(wanted):
        (openings,) = db.execute("INSERT INTO unused_index (name, openings) VALUES (?, 1) ON CONFLICT (name) "
                                 "DO UPDATE SET openings = openings + 1 RETURNING openings", (index.name,)).fetchone()
        if openings >= KEPT:
            db.execute(f"DROP INDEX {quote(index.name, chr(34))}")
            db.execute("DELETE FROM unused_index WHERE name = ?", (index.name,))


def unhinted(sql: str) -> str:
    """A statement without the names of declared indexes it should go by: its answers are the same."""
    return _HINT.sub("", sql)


def best(indexes: Iterable[Index], bounds: Sequence[Bound], order: Sequence[Key]) -> Index | None:
    """The index that narrows a query most, or else one that has its order.

    It is named in the statement because SQLite, which has no figures about the data, takes
    every collection for ten records and would walk through all of it instead.
    """
    equal = {bound.key for bound in bounds if bound.equal}
    ranges = {bound.key for bound in bounds if not bound.equal}

    def worth(index: Index) -> tuple[Any, ...]:
        pinned = next((n for n, key in enumerate(index.keys) if key not in equal), len(index.keys))
        rest = index.keys[pinned:]
        ranged = bool(rest) and rest[0] in ranges
        wanted = [key for key in order if key not in equal]
        ordered = next((n for n, (a, b) in enumerate(zip(rest, wanted, strict=False)) if a != b),
                       min(len(rest), len(wanted)))
        return pinned, ranged, ordered

    # The shortest of equals, then by name: the same choice in every run.
    chosen = max(indexes, key=lambda index: (*worth(index), -len(index.keys), index.name), default=None)
    return chosen if chosen is not None and any(worth(chosen)) else None
