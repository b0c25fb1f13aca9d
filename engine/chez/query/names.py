"""What the names of a query mean: the collections and fields that it may read, of those that SQL can't tell apart.

SQL ignores the case of letters, and whoever writes into some space that is here calls collections and fields as they
like. None of theirs may take the place of another: each name means one, or the query is refused.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chez.errors import InvalidValue
from chez.query.followed import whose
from chez.query.paths import fold, place
from chez.records.types import OPEN
from chez.store.database import Connection

__all__ = ("EXACT", "TABLES", "meant")

TABLES: Final = frozenset(("json_each", "json_tree"))
"""Functions of SQL that are read as tables."""
EXACT: Final = "_exact_"
"""How the column of a decimal's text begins."""

MOST: Final = 900
"""Fields of a collection that has a column for each, whatever is asked: SQLite takes 2,000, and a decimal has two."""

_STAR: Final = re.compile(r"(?i)(?:\b(?:select|distinct|all)|[,.])\s*\*")
"""What stands for all columns, not for all rows (`count(*)`), and multiplies nothing."""
_QUOTED: Final = re.compile(r'"((?:[^"]|"")+)"')
_TOKEN: Final = re.compile(rf"(?is)'[^']*'|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<alias>\bas\s*)?{_QUOTED.pattern}")
"""Texts, comments, and names in double quotes."""
_WORD: Final = re.compile(r"(?<!\w)\w+(?!\w|\s*\()")
"""One that is not a function's."""
_RESERVED: Final = frozenset(
    "all and as between case collate distinct else escape exists except from group having in intersect is isnull join "
    "limit not notnull null on or order select set then to union using values when where".split())
"""Words of SQL that name nothing where they stand bare."""


def meant(db: Connection, query: str, private: int) -> dict[str, list[str]]:
    """The collections that a query can mean, and the fields of each; `private` is the number of the private space.

    Raises `InvalidValue` where it may mean several.
    """
    fields: dict[str, list[str]] = {}
    low = query.lower()
    stands: dict[str, bool] = {}
    for collection, name in db.execute("SELECT collection, name FROM field"):
        if collection not in stands:
            stands[collection] = _stands(collection.lower(), low)
        if stands[collection]:
            known = fields.setdefault(collection, [])
            known += [] if "\0" in name else [name]  # no SQL can name that
    said = _said(query)
    _tell_apart(db, query, said, fields, private)
    _tell_fields_apart(db, said, fields)
    if _STAR.search(_TOKEN.sub(" ", query)) is None:
        fields = {name: known if len(known) <= MOST else _named(said, known) for name, known in fields.items()}
    return fields


def _stands(name: str, query: str) -> bool:
    """Whether a name stands in a query by itself, and not only as a part of another: whoever writes into some space
    that is here may call collections `e`, `el` and `sel`."""
    return name in query and re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", query) is not None


def _named(said: "_Said", known: list[str]) -> list[str]:
    """The fields that a query names, of more than a view can have.

    Whoever writes into a collection in some space that is here may write any number of fields, and must not keep what
    is asked of others from being answered.
    """
    asked = said.folded | {fold(word) for word in said.doubtful}
    asked |= {word.removeprefix(EXACT) for word in asked}
    return [name for name in known if fold(name) in asked]


@dataclass(frozen=True, slots=True)
class _Said:
    """The names that a query may mean: bare words, and those in double quotes; of these the doubtful may only be what
    it calls a column or a table, or stand in a comment."""

    words: set[str]
    quoted: set[str]
    doubtful: set[str]

    @property
    def folded(self) -> set[str]:
        """Those that may be a table's or a column's, as SQL compares them."""
        return {fold(word) for word in self.words | self.quoted}


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
    for name in [name for name in fields if fold(name) in TABLES and not _is_own(db, name)]:
        del fields[name]  # it would hide the function
    for name in said.quoted - fields.keys():
        if fold(name) in map(fold, fields) and _is_there(db, name):  # its records have no field
            fields[name] = []
    folded = Counter(map(fold, fields))
    asked = said.folded
    alike: dict[str, list[str]] = {}
    for name in fields:
        if folded[fold(name)] > 1:
            alike.setdefault(fold(name), []).append(name)
    for folded_name, names in alike.items():
        # Tables of open data are in small letters: a member of some space of the person's hides none by others.
        signed = folded_name in names and folded_name.startswith(OPEN) and whose(db, private, folded_name)[0]
        own = [folded_name] if signed else [name for name in names if _is_own(db, name)]
        spelt = _exact(said, names, own) or own or [name for name in names if name in query] or names
        if len(spelt) > 1 and not own and folded_name not in asked:  # a word of SQL, a function or a text
            spelt = []
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
    asked = said.folded
    for collection, known in fields.items():
        if len(folded := Counter(map(fold, known))) < len(known):
            first = [_field_meant(db, collection, [name for name in known if fold(name) == one], said)
                     for one, count in folded.items() if count > 1 and one in asked]
            fields[collection] = [*first, *(name for name in known if name not in first)]


def _field_meant(db: Connection, collection: str, alike: list[str], said: _Said) -> str:
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
