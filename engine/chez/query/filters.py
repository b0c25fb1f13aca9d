"""Queries over a collection: immutable, compiled to SQL over the projection when they run.

The cost of a query that a declared index serves grows with its answer. Without one it
walks through the collection, never through the rest of the store.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Protocol, TypeVar, overload

import msgspec

from chez.checked import checked
from chez.errors import InvalidValue, Misuse
from chez.query.aggregates import Aggregate, plan, restored
from chez.query.conditions import AllOf, Comparison, Condition, Number, names_of, required
from chez.query.decimals import number_of
from chez.query.live import Followed, Following, live_records
from chez.query.paths import column, kind_of, steps
from chez.query.selection import MOST, Facts, Selection
from chez.records.values import Value
from chez.shown import listed

__all__ = ("Groups", "Query", "Source", "conditions", "whole")

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
_PAGE: Final = 1000


class Source(Followed[R_co], Protocol[R_co]):
    """What a query reads from: a collection of one space."""

    @property
    def space(self) -> int:
        """The row of the space."""

    @property
    def collection(self) -> str:
        """The collection's name."""

    def require(self, names: Iterable[str]) -> None:
        """Raise `InvalidValue` where one is no field that the records' type has."""

    def follow(self, ids: frozenset[str] | None) -> AbstractContextManager[Following]:
        """Be told of commits that touch the collection, or only these records of it."""


def conditions(given: Sequence[Condition], equals: dict[str, Any]) -> tuple[Condition, ...]:
    """The conditions given to a `where`. Raises `Misuse` for what is none."""
    for one in given:
        if not isinstance(one, Condition):
            raise Misuse(f"a value of type {type(one).__name__} is no condition",
                         'Conditions look like field("cups") >= 3.')
    return (*given, *(Comparison(name, "=", value) for name, value in equals.items()))


@checked
@dataclass(frozen=True, slots=True, repr=False)
class Query(Generic[R]):
    """Records of a collection that fulfil conditions; immutable, runs when it is read.

    Without `order_by` records come in the order of their ids. What comparisons mean is
    said in `chez.query.conditions`; every method that reads raises `InvalidValue` for what
    can't be compared.
    """

    _source: Source[R]
    _conditions: tuple[Condition, ...] = ()
    _order: tuple[str, ...] = ()
    _limit: int | None = None
    _offset: int = 0

    def __repr__(self) -> str:
        where = AllOf(self._conditions).shown(2) if self._conditions else "all"
        order = f", by {listed(self._order)}" if self._order else ""
        limit = "" if self._limit is None else f", at most {self._limit:,}"
        return f"<Query of {self.collection!r}: {where}{order}{limit}{f', from {self._offset:,}' * bool(self._offset)}>"

    @property
    def collection(self) -> str:
        """The collection that is read."""
        return self._source.collection

    @property
    def ids(self) -> frozenset[str] | None:
        """The only records that the answer can depend on, where the conditions name them."""
        for one in required(self._conditions):
            if isinstance(one, Comparison) and one.name == "_id" and one.operator in ("=", "in"):
                values = one.value if one.operator == "in" else (one.value,)
                return frozenset(value for value in values if isinstance(value, str))
        return None

    # --- saying what is wanted ----------------------------------------------------------

    def where(self, *given: Condition, **equals: Any) -> "Query[R]":
        """The same with more conditions: `where(field("amount") < 0, currency="EUR")`.

        Raises `InvalidValue` for a field that the collection's type has not; so do the other methods that name one.
        """
        more = conditions(given, equals)
        self._source.require(names_of(more))
        return replace(self, _conditions=(*self._conditions, *more))

    def order_by(self, *names: str) -> "Query[R]":
        """Sorted by fields; a `-` before the name turns the order round.

        None and missing come first, then numbers (true is 1), then text (times, bytes, and
        lists and maps as their JSON among it). Where a type declares decimals, what is no
        number is with None. Equal ones come by their ids, downwards if the last field does.
        """
        for name in names:
            steps(name.removeprefix("-") if isinstance(name, str) else name)
        self._source.require(name.removeprefix("-") for name in names)
        return replace(self, _order=names)

    def limit(self, count: int) -> "Query[R]":
        """At most `count` records."""
        return replace(self, _limit=whole(count, "limit"))

    def offset(self, count: int) -> "Query[R]":
        """Without the first `count` records; they cost their time all the same."""
        return replace(self, _offset=whole(count, "offset"))

    def group_by(self, *names: str, **named: str) -> "Groups[R]":
        """Records with equal fields together: `group_by("city", town="address.town")`."""
        groups = {name: name for name in names} | named
        for name in groups.values():
            steps(name)
        self._source.require(groups.values())
        return Groups(self, groups)

    # --- reading records ----------------------------------------------------------------

    async def all(self) -> list[R]:
        """Every matching record."""
        sql, params = self._selection.sql("id, json, kinds", await self._source.facts())
        return [self._source.record(row) for row in await self._source.fetch(sql, params)]

    async def first(self) -> R | None:
        """The first matching record, or None."""
        found = await self.limit(1 if self._limit is None else min(self._limit, 1)).all()
        return found[0] if found else None

    async def exists(self) -> bool:
        """Whether any record matches."""
        one = self.limit(1 if self._limit is None else min(self._limit, 1))
        sql, params = one._selection.sql("1", await self._source.facts(), sort=False)
        return bool(await self._source.fetch(sql, params))

    async def live(self) -> AsyncIterator[list[R]]:
        """The matching records now, and again whenever the answer has changed, from wherever.

        Commits that come while an answer is being used are one; the last state is never
        missed. What a commit costs grows with the answer and with what it wrote, whether or
        not an index serves the query; with a `limit`, a record that leaves the answer has it
        asked in full. Ends when the home closes.
        """
        with self._source.follow(self.ids) as follower:
            async for records in live_records(self._source, self._selection, follower):
                yield records

    async def __aiter__(self) -> AsyncIterator[R]:
        """Matching records one by one; memory stays at a page of them, and a number for each if sorted or filtered."""
        facts = await self._source.facts()
        if self._limit is not None and self._limit <= _PAGE:
            for record in await self.all():
                yield record
        elif self._order or self._limit is not None or self._offset or self._selection.served(facts):
            async for record in self._numbered(facts):
                yield record
        else:
            async for record in self._walked(facts):
                yield record

    async def _walked(self, facts: Facts) -> AsyncIterator[R]:
        """Through the collection by id, page after page."""
        after: str | None = None
        while True:
            more = self if after is None else self.where(Comparison("_id", ">", after))
            sql, params = more.limit(_PAGE)._selection.sql("id, json, kinds", facts)
            rows = await self._source.fetch(sql, params)
            for row in rows:
                yield self._source.record(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    async def _numbered(self, facts: Facts) -> AsyncIterator[R]:
        """First the rows' numbers in order, then the records page by page: each as it is then, if it still matches."""
        sql, params = self._selection.sql("n", facts)
        numbers = [n for (n,) in await self._source.fetch(sql, params)]
        bare = replace(self, _order=(), _limit=None, _offset=0)
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start:start + _PAGE]
            sql, params = bare._selection.sql("id, json, kinds, n", facts, page)
            rows = {row[3]: row for row in await self._source.fetch(sql, params)}
            for n in page:
                if n in rows:
                    yield self._source.record(rows[n])

    # --- reading numbers ----------------------------------------------------------------

    async def count(self) -> int:
        """How many records match."""
        facts = await self._source.facts()
        sql, params = self._selection.sql("1", facts, sort=False)
        return int((await self._source.fetch(f"SELECT count(*) FROM ({sql})", params))[0][0])

    async def sum(self, name: str) -> Any:
        """The sum of the numbers in a field: whole if they all are, exact for decimals, 0 without any."""
        return (await self.aggregate(value=Aggregate("sum", name)))["value"]

    async def avg(self, name: str) -> Any:
        """The mean of the numbers in a field, None without any."""
        return (await self.aggregate(value=Aggregate("avg", name)))["value"]

    async def min(self, name: str) -> Any:
        """The first value of a field in the order of `order_by`, None and missing left out; None without any."""
        return await self._end(name, "")

    async def max(self, name: str) -> Any:
        """The last value of a field, likewise."""
        return await self._end(name, "-")

    async def _end(self, name: str, direction: str) -> Any:
        if self._selection.cut:
            function: Any = "min" if not direction else "max"
            return (await self.aggregate(value=Aggregate(function, name)))["value"]
        facts = await self._source.facts()
        any_value = Number(name) if name in facts.numeric else ~Comparison(name, "null")
        there = self.where(any_value).order_by(direction + name).limit(1)
        path = steps(name)
        sql, params = there._selection.sql(f"{column(path)}, {kind_of(path)}", facts)
        for found, kind in await self._source.fetch(sql, params):
            return number_of(found) if name in facts.numeric else restored(found, kind)
        return None

    async def aggregate(self, **wanted: Aggregate) -> dict[str, Any]:
        """Several numbers about the matching records at once: `aggregate(n=chez.count(), most=field("cups").max())`."""
        return (await Groups(self, {}).aggregate(**wanted))[0]

    @property
    def _selection(self) -> Selection:
        source = self._source
        return Selection(source.space, source.collection, self._conditions, self._order, self._limit, self._offset)


@checked
@dataclass(frozen=True, slots=True, repr=False)
class Groups(Generic[R]):
    """The records of a query in groups; `aggregate` reads them."""

    _query: Query[R]
    _groups: dict[str, str]
    _order: tuple[str, ...] = ()
    _limit: int | None = None

    def __repr__(self) -> str:
        return f"<Groups by {listed(self._groups)} of {self._query!r}>"

    def order_by(self, *names: str) -> "Groups[R]":
        """Sorted by what `aggregate` gives, by name; a `-` before it turns the order round."""
        return replace(self, _order=names)

    def limit(self, count: int) -> "Groups[R]":
        """At most `count` groups."""
        return replace(self, _limit=whole(count, "limit"))

    @overload
    async def aggregate(self, into: None = None, /, **wanted: Aggregate) -> list[dict[str, Value]]: ...

    @overload
    async def aggregate(self, into: type[S], /, **wanted: Aggregate) -> list[S]: ...

    async def aggregate(self, into: type[Any] | None = None, /, **wanted: Aggregate) -> list[Any]:
        """One row for each group: its fields and what is asked for, by name, or as a Struct.

            await notes.group_by("city").aggregate(n=chez.count(), cups=field("cups").sum())

        Without `order_by` in the order of the groups' fields. Raises `InvalidValue`, also
        when a row does not fit `into`.
        """
        query = self._query
        facts = await query._source.facts()
        chosen = plan(self._groups, wanted, facts.numeric)
        query._source.require(one.name for one in wanted.values() if one.name is not None)
        sorted_by = query if query._selection.cut else replace(query, _order=tuple(self._groups.values()))
        sql, params = sorted_by._selection.sql(", ".join(chosen.inner), facts, sort=query._selection.cut)
        order = self._sorting([column.name for column in chosen.columns],
                              {n for n, column in enumerate(chosen.columns) if column.form == "decimal"})
        if self._limit is not None:
            order, params = f"{order} LIMIT ?", [*params, self._limit]
        rows = [chosen.row(row) for row in await query._source.fetch(chosen.statement(sql, order), params)]
        if into is None:
            return rows
        try:
            return msgspec.convert(rows, list[into], strict=False)  # type: ignore[valid-type]
        except (msgspec.ValidationError, TypeError) as error:
            raise InvalidValue(f"what was asked for is no {into.__name__}: {error}",
                               "Name groups and aggregates as its fields.") from None

    def _sorting(self, names: list[str], decimals: set[int]) -> str:
        wanted = []
        for name in self._order:
            if name.removeprefix("-") not in names:
                raise InvalidValue(f"{name!r} is not among what is asked for: {', '.join(names)}")
            n = names.index(name.removeprefix("-"))
            wanted.append((n, " DESC" if name.startswith("-") else ""))
        wanted += [(n, "") for n in range(len(self._groups)) if n not in {m for m, _ in wanted}]
        keys = [f"{f'CAST(o{n} AS REAL)' if n in decimals else f'o{n}'}{way}" for n, way in wanted]
        return f" ORDER BY {', '.join(keys)}" if keys else ""


def whole(count: Any, what: str) -> int:
    """A number of records. Raises `InvalidValue`."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidValue(f"{what} is a whole number from 0, not {count!r}")
    return min(count, MOST)
