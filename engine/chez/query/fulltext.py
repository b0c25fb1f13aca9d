"""Full-text indexes: FTS5 over declared fields of a collection, kept by triggers.

An index belongs to one collection of one space. Its text is not stored twice: FTS5 reads
it through a view on the records' JSON (an external content table), and triggers on
`record` keep it current inside whichever transaction writes a record, be it a put, an
edit, a deletion, an import or a merge. A collection without one has no trigger.

On records that exist already it is built in slices, each a short transaction; `upto` says
how far that came, and until a slice passes them, the triggers leave records alone. So an
interrupted build goes on where it stopped, and the index agrees with its view throughout.

What a person types is taken for words: all of them must occur, "quoted" ones next to each
other, and `tea*` stands for every word that begins so. Nothing of it is an operator.
Words are found whatever their case and accents (FTS5's unicode61).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec
import sqlcipher3

from chez.errors import InvalidValue
from chez.query.paths import column, quote, steps
from chez.store.database import Connection

__all__ = (
    "Hit",
    "SearchIndex",
    "build",
    "check_fields",
    "compact",
    "declare",
    "drop",
    "find",
    "indexes_of",
    "matching",
    "present",
    "problems",
    "reset",
    "statements",
)

R = TypeVar("R")

SLICE: Final = 500
"""Records in one transaction of a build: some hundredths of a second."""

MOST_WORDS: Final = 64
MOST_CHARACTERS: Final = 4096
_MOST_FIELDS: Final = 32
_DONE: Final = 2**63 - 1
_TRIGGERS: Final = ("added", "removed", "changed")
_PARTS: Final = ("data", "idx", "docsize")
_SNIPPET: Final = 16
_WORDS: Final = "unicode61 remove_diacritics 2"
_WORD: Final = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')


@dataclass(frozen=True, slots=True)
class Hit(Generic[R]):
    """A record found by its words.

    `rank` is BM25 as FTS5 counts it: the lower, the better. `snippet` is the part of the
    text where the words are, with the marks that were asked for around them.
    """

    record: R
    rank: float
    snippet: str = field(repr=False)


class SearchIndex(msgspec.Struct, frozen=True):
    """A full-text index of the store: its number, its fields, and whether it is whole."""

    n: int
    space: int
    collection: str
    fields: tuple[str, ...]
    upto: int

    @property
    def built(self) -> bool:
        """Whether every record is in it."""
        return self.upto == _DONE

    @property
    def table(self) -> str:
        """The name of its table, as SQL writes it; no collection can have it, for it has a space in it."""
        return quote(f"search {self.n}", '"')

    @property
    def columns(self) -> str:
        """Its columns: fields may have any name, these have plain ones."""
        return ", ".join(f"c{number}" for number in range(len(self.fields)))

    def values(self, source: str) -> str:
        """What of a row is indexed; `source` is where its JSON is."""
        return ", ".join(column(steps(name), source) for name in self.fields)


def check_fields(fields: Iterable[Any]) -> tuple[str, ...]:
    """The fields of a full-text index that is declared. Raises `InvalidValue`."""
    if isinstance(fields, str):
        raise InvalidValue("search is a list of fields", f"Write search=({fields!r},).")
    found = tuple(fields)
    if not all(isinstance(name, str) for name in found):
        raise InvalidValue("full text is searched in fields, each named by text")
    if len(found) > _MOST_FIELDS or len(set(found)) < len(found):
        raise InvalidValue(f"full text is searched in up to {_MOST_FIELDS} fields, each named once")
    for name in found:
        if steps(name) == ("_id",):
            raise InvalidValue("full text is searched in fields, not in the id")
    return found


# --- declaring and building -------------------------------------------------------------


def present(db: Connection, space: int, collection: str) -> SearchIndex | None:
    """The full-text index of a collection."""
    return next((one for one in _all(db) if (one.space, one.collection) == (space, collection)), None)


def indexes_of(db: Connection, space: int) -> list[SearchIndex]:
    """Those of a space's collections."""
    names = db.execute("SELECT collection FROM search WHERE space = ?", (space,)).fetchall()
    return [index for (name,) in names if (index := present(db, space, name)) is not None]


def _all(db: Connection) -> list[SearchIndex]:
    rows = db.execute("SELECT n, space, collection, fields, upto FROM search ORDER BY n").fetchall()
    return [SearchIndex(n, space, collection, tuple(msgspec.json.decode(fields)), upto)
            for n, space, collection, fields, upto in rows]


def declare(db: Connection, space: int, collection: str, fields: Sequence[str]) -> None:
    """Make a collection's full-text index on these fields; one on other fields is replaced.

    On a collection that has records it is empty until `build` has gone through them.
    """
    before = present(db, space, collection)
    if before is not None:
        if before.fields == tuple(fields):
            return
        drop(db, before)
    some = db.execute("SELECT 1 FROM record WHERE space = ? AND collection = ? LIMIT 1", (space, collection)).fetchone()
    n = db.execute("INSERT INTO search (space, collection, fields, upto) VALUES (?, ?, ?, ?)",
                   (space, collection, msgspec.json.encode(tuple(fields)).decode(), _DONE if some is None else 0)
                   ).lastrowid
    for statement in _statements(SearchIndex(n, space, collection, tuple(fields), 0)):
        db.execute(statement)


def _statements(index: SearchIndex) -> list[str]:
    table, columns, text = index.table, index.columns, f"search {index.n}"
    upto = f"(SELECT upto FROM search WHERE n = {index.n})"
    named = [f"{column(steps(name), 'json')} AS c{number}" for number, name in enumerate(index.fields)]
    old, new = index.values("OLD.json"), index.values("NEW.json")

    def mine(row: str) -> str:
        return (f"{row}.collection = {quote(index.collection, chr(39))} AND {row}.space = {index.space} "
                f"AND {row}.n <= {upto}")

    # A deletion from an external content table must name the words as they were indexed.
    add = f"INSERT INTO {table} (rowid, {columns}) SELECT NEW.n, {new} WHERE NEW.deleted = 0;"
    take = f"INSERT INTO {table} ({table}, rowid, {columns}) SELECT 'delete', OLD.n, {old} WHERE OLD.deleted = 0;"
    added, removed, changed = (quote(f"{text} {end}", '"') for end in _TRIGGERS)
    # An edit elsewhere in the record costs the comparison only.
    differs = f"(OLD.deleted, {old}) IS NOT (NEW.deleted, {new})"
    return [
        (f"CREATE VIEW {quote(f'{text} rows', chr(34))} AS SELECT n, {', '.join(named)} FROM record "
         f"WHERE {mine('record')} AND deleted = 0"),
        (f"CREATE VIRTUAL TABLE {table} USING fts5({columns}, content={quote(f'{text} rows', chr(39))}, "
         f"content_rowid='n', tokenize='{_WORDS}')"),
        f"CREATE TRIGGER {added} AFTER INSERT ON record WHEN {mine('NEW')} BEGIN {add} END",
        f"CREATE TRIGGER {removed} AFTER DELETE ON record WHEN {mine('OLD')} BEGIN {take} END",
        (f"CREATE TRIGGER {changed} AFTER UPDATE OF json, deleted ON record WHEN {mine('NEW')} AND {differs} "
         f"BEGIN {take} {add} END"),
    ]


def statements(db: Connection) -> list[str]:
    """What made the full-text indexes of a store, by its list of them. Raises `InvalidValue`, ValueError."""
    found = []
    for one in _all(db):
        check_fields(one.fields)
        found += _statements(one)
    return found


def compact(db: Connection) -> None:
    """Merge each index that had a record purged: its words are in no part of it any more.

    It takes time by the size of the index, a second for some hundred thousand records.
    """
    purged = {n for (n,) in db.execute("SELECT n FROM search WHERE purged = 1")}
    for index in _all(db):
        if index.n in purged:
            db.execute(f"INSERT INTO {index.table} ({index.table}) VALUES ('optimize')")
    db.execute("UPDATE search SET purged = 0 WHERE purged = 1")


def drop(db: Connection, index: SearchIndex) -> None:
    """Remove an index."""
    for end in _TRIGGERS:
        db.execute(f"DROP TRIGGER IF EXISTS {quote(f'search {index.n} {end}', chr(34))}")
    db.execute(f"DROP TABLE IF EXISTS {index.table}")
    db.execute(f"DROP VIEW IF EXISTS {quote(f'search {index.n} rows', chr(34))}")
    db.execute("DELETE FROM search WHERE n = ?", (index.n,))


def build(db: Connection, space: int, collection: str, count: int = SLICE) -> bool:
    """Take the next records into a collection's index; False when there is nothing left to do."""
    index = present(db, space, collection)
    if index is None or index.built:
        return False
    last = db.execute("SELECT max(n) FROM (SELECT n FROM record WHERE n > ? ORDER BY n LIMIT ?)",
                      (index.upto, count)).fetchone()[0]
    if last is not None:
        db.execute(f"INSERT INTO {index.table} (rowid, {index.columns}) SELECT n, {index.values('json')} "
                   "FROM record NOT INDEXED WHERE n > ? AND n <= ? AND space = ? AND collection = ? AND deleted = 0",
                   (index.upto, last, space, collection))
    db.execute("UPDATE search SET upto = ? WHERE n = ?", (_DONE if last is None else last, index.n))
    return last is not None


# --- searching --------------------------------------------------------------------------


def matching(words: object) -> str | None:
    """What a person typed, as FTS5's query; None when there is no word in it. Raises `InvalidValue`."""
    if not isinstance(words, str):
        raise InvalidValue(f"full text is searched by words, not by {type(words).__name__}")
    if len(words) > MOST_CHARACTERS:
        raise InvalidValue(f"a search takes at most {MOST_CHARACTERS} characters")
    try:
        words.encode()
    except UnicodeEncodeError:
        raise InvalidValue("the words to search for hold half a surrogate pair") from None
    found = []
    for phrase, star, word in _WORD.findall(words.replace("\0", " ")):
        text = phrase or word.rstrip("*")
        if text.strip():
            found.append(quote(text, '"') + ("*" if star or word.endswith("*") else ""))
    if len(found) > MOST_WORDS:
        raise InvalidValue(f"a search takes at most {MOST_WORDS} words")
    return " ".join(found) or None


def find(db: Connection, index: SearchIndex, match: str, limit: int, offset: int, marks: tuple[str, str]
         ) -> list[tuple[Any, ...]]:
    """The best records: id, json, kinds, rank, snippet. Equal ranks come in the order of their ids."""
    rows: list[tuple[Any, ...]] = db.execute(
        "SELECT id, json, kinds, hit.rank, hit.snippet FROM "
        f"(SELECT rowid AS row, rank, snippet({index.table}, -1, ?, ?, '…', {_SNIPPET}) AS snippet FROM {index.table} "
        f"WHERE {index.table} MATCH ? ORDER BY rank LIMIT ? OFFSET ?) AS hit CROSS JOIN record ON n = hit.row "
        "ORDER BY hit.rank, id", (*marks, match, limit, offset)).fetchall()
    return rows


# --- checking ---------------------------------------------------------------------------


def problems(db: Connection) -> list[tuple[str, str]]:
    """The collections whose full-text index is not what their records give, and why.

    In an open transaction, which may be for reading only. The check is FTS5's own: which word is where in which record.
    It counts as writing, which would keep everybody else from that, so a copy of the index is checked, in memory: it
    takes 0.2 KB for a record of forty words, and a tenth of the time in which the index is made.
    """
    found = []
    for index in _all(db):
        try:
            if index.built and not _agrees(db, index):
                found.append((index.collection, "it is not what the records give"))
        except sqlcipher3.Error as error:
            found.append((index.collection, str(error)))
    return found


def _agrees(db: Connection, index: SearchIndex) -> bool:
    db.execute("SAVEPOINT compared")
    try:
        rows = quote(f"search {index.n} rows", '"')
        db.execute(f"CREATE VIEW temp.given AS SELECT * FROM main.{rows}")
        db.execute(f"CREATE VIRTUAL TABLE temp.copied USING fts5({index.columns}, content='given', content_rowid='n', "
                   f"tokenize='{_WORDS}')")
        for part in _PARTS:
            db.execute(f"DELETE FROM temp.copied_{part}")
            kept = quote(f"search {index.n}_{part}", '"')
            db.execute(f"INSERT INTO temp.copied_{part} SELECT * FROM main.{kept}")
        try:
            db.execute("INSERT INTO temp.copied (copied, rank) VALUES ('integrity-check', 1)")
        except sqlcipher3.OperationalError:  # it was not done
            raise
        except sqlcipher3.DatabaseError:
            return False
        return True
    finally:
        db.execute("ROLLBACK TO compared")
        db.execute("RELEASE compared")


def reset(db: Connection) -> None:
    """Make every full-text index anew, empty: the next search builds it."""
    for index in _all(db):
        drop(db, index)
        declare(db, index.space, index.collection, index.fields)
