"""How a collection is read: what was declared for it, and rows as records."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import sqlcipher3

from chez.errors import InvalidValue, Misuse
from chez.query import decimals, fulltext
from chez.query.fulltext import Hit
from chez.query.indexes import Declared, Index, check, neglected, present, tend, unhinted
from chez.query.live import Following
from chez.query.paths import parameter, steps
from chez.query.selection import Facts
from chez.records.news import News
from chez.records.shapes import keys_of
from chez.shown import listed
from chez.store.database import Connection, Database
from chez.store.disk import storage_error

__all__ = ("Reader",)

R = TypeVar("R")
S = TypeVar("S")


class Reader(Generic[R]):
    """What the queries of one collection read from (`chez.query.filters.Source`).

    What is declared is made on the first read: an index takes a transaction, but only
    where it is missing. What anybody declared before serves these queries too. `tended` are
    the collections that were declared with indexes since the home was opened.
    """

    def __init__(self, database: Database, space: int, collection: str, type: type[Any] | None,
                 indexes: Iterable[Declared], search: Iterable[str], record: Callable[[Sequence[Any]], R],
                 follow: Callable[[frozenset[str] | None], AbstractContextManager[Following]],
                 tended: set[str], news: News) -> None:
        self._database = database
        self.space = space
        self.collection = collection
        self._indexes = check(indexes)
        self._searched = fulltext.check_fields(search)
        self._fields = None if type is None else keys_of(type)
        self._numeric = decimals.fields_of(type) if type is not None else frozenset()
        self.record = record
        self.follow = follow
        self._tended = tended
        self._news = news
        self._facts: Facts | None = None
        self._as_of = 0
        self._finding: asyncio.Task[Facts] | None = None

    def require(self, names: Iterable[str]) -> None:
        """Raise `InvalidValue` where one is no field that the records' type has: a misspelt one would find nothing."""
        if self._fields is None:
            return
        for name in names:
            first = steps(name)[0]
            if first not in self._fields and not first.startswith("_"):
                raise InvalidValue(f"the type of {self.collection!r} has no field {first!r}: it has "
                                   f"{listed(sorted(self._fields))}", "What its records have besides is asked for by "
                                   f"the name alone: home.collection({self.collection!r}).")

    async def facts(self) -> Facts:
        """The indexes that there are, and which fields are decimals; makes what was declared and is missing."""
        # Who only reads is not told of what the home's owner declares meanwhile.
        if self._facts is not None and self._as_of == self._news.declarations and not self._database.read_only:
            return self._facts
        as_of = self._news.declarations
        if self._finding is None and (seen := self._database.glance(self._look)) is not None and not seen[1]:
            # Mostly there is nothing to make, and nobody has to wait.
            self._facts, self._as_of = seen[0], as_of
            return self._facts
        if self._finding is None:  # asked by many at once it is found out once, and not undone with the first of them
            self._finding = asyncio.create_task(self._find())
            self._finding.add_done_callback(self._found_out)
        return await asyncio.shield(self._finding)

    def _found_out(self, finding: "asyncio.Task[Facts]") -> None:
        self._finding = None
        if not finding.cancelled():
            finding.exception()  # told to whoever waits; nobody may any more

    async def _find(self) -> Facts:
        as_of = self._news.declarations
        found, missing = await self._database.read(self._look)
        if missing:
            if not self._database.read_only:  # without indexes the answers are the same
                await self._database.write(self._declare)
            as_of = self._news.declarations
            found, _ = await self._database.read(self._look)
        self._facts, self._as_of = found, as_of
        return found

    def _look(self, db: Connection) -> tuple[Facts, bool]:
        numeric = decimals.declared(db, self.collection)
        # An index on a field as text is none on it as a number, and the other way round.
        there = frozenset(index for index in present(db, self.collection)
                          if all(decimal == (name in numeric) for name, decimal in index.keys))
        wanted = self._wanted(numeric)
        missing = bool(self._numeric - numeric) or not there.issuperset(wanted) or neglected(db, wanted)
        if wanted and self.collection not in self._tended:
            missing = missing or bool(present(db, self.collection) - frozenset(wanted))
        if self._searched and not missing:
            found = fulltext.present(db, self.space, self.collection)
            missing = found is None or found.fields != self._searched
        return Facts(there, numeric), missing

    def _declare(self, db: Connection) -> None:
        self._news.declare(db, self.collection, self._numeric)
        wanted = self._wanted(decimals.declared(db, self.collection))
        tend(db, self.collection, wanted, anew=self.collection not in self._tended)
        if wanted:
            self._tended.add(self.collection)
        if self._searched:
            fulltext.declare(db, self.space, self.collection, self._searched)

    def _wanted(self, numeric: frozenset[str]) -> list[Index]:
        return [Index(self.collection, tuple((name, name in numeric) for name in fields)) for fields in self._indexes]

    async def fetch(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement. Raises `InvalidValue` for what is too much for SQLite, `Damaged`."""
        def work(db: Connection) -> list[tuple[Any, ...]]:
            decimals.equip(db, sql)
            try:
                found: list[tuple[Any, ...]] = db.execute(sql, params).fetchall()
            except sqlcipher3.OperationalError as error:
                if "no such index" not in str(error):
                    raise
                # It was dropped since: the same answers in more time, and the next query asks what there is.
                self._facts = None
                found = db.execute(unhinted(sql), params).fetchall()
            return found

        return await self._read(work)

    async def _read(self, work: Callable[[Connection], S]) -> S:
        def reading(db: Connection) -> S:
            try:
                return work(db)
            except sqlcipher3.Error as error:
                text = str(error)
                if "integer overflow" in text:
                    raise InvalidValue("the sum does not fit 64 bits", "Sum up a part, or store floats.") from None
                if "too large" in text or "too many" in text or "too big" in text:
                    raise InvalidValue(f"this query is too much for SQLite ({text})", "Ask in several parts.") from None
                raise storage_error(error) from None

        return await self._database.read(reading)

    async def search(self, words: str, limit: int, offset: int, marks: tuple[str, str]) -> list[Hit[R]]:
        """The records where these words are, the best first. Raises `InvalidValue`, `Misuse` without an index."""
        match = fulltext.matching(words)
        if not (isinstance(marks, tuple) and len(marks) == 2 and all(isinstance(parameter(one), str) for one in marks)):
            raise InvalidValue("the marks around what was found are two texts", 'Such as marks=("<b>", "</b>").')
        await self.facts()
        while (rows := await self._read(lambda db: self._found(db, match, limit, offset, marks))) is None:
            await self._database.write(lambda db: fulltext.build(db, self.space, self.collection))
        return [Hit(self.record(row), row[3], row[4] or "") for row in rows]

    def _found(self, db: Connection, match: str | None, limit: int, offset: int, marks: tuple[str, str]
               ) -> list[tuple[Any, ...]] | None:
        index = fulltext.present(db, self.space, self.collection)
        if index is None:
            raise Misuse(f"no full text is searched in {self.collection!r}",
                         f'Declare it: home.collection({self.collection!r}, search=("title",)), '
                         "or chez search --field.")
        if not index.built:
            return None
        return [] if match is None else fulltext.find(db, index, match, limit, offset, marks)
