"""Filters over a collection, compiled to SQL over the projection."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from chez.errors import InvalidValue, Misuse
from chez.query.live import Following, live
from chez.records.values import time_text

__all__ = ("Condition", "Field", "Query", "column", "field", "index_name", "quote")

R = TypeVar("R")
_PAGE: Final = 1000


def quote(text: str, mark: str) -> str:
    """A name or text as SQL writes it."""
    return mark + text.replace(mark, mark * 2) + mark


def column(name: str) -> str:
    """The SQL expression of a field; declared indexes are on this very expression.

    Dots lead inside: `address.city`.
    """
    if not name or '"' in name or "\0" in name:
        raise InvalidValue(f"{name!r} can't be the name of a field in a query")
    path = "$" + "".join(f'."{step}"' for step in name.split("."))
    return f"json_extract(json, {quote(path, chr(39))})"


def index_name(collection: str, name: str) -> str:
    """The declared index on a field of a collection, as SQL writes it."""
    # SQLite ignores the case of names, collections and fields do not: hence the hex.
    return quote(f"declared {collection} {name} {f'{collection} {name}'.encode().hex()}", '"')


def _parameter(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InvalidValue(f"a query can't compare with {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Condition:
    """A field compared with a value."""

    name: str
    operator: str
    value: Any

    def sql(self) -> tuple[str, list[Any]]:
        """The SQL condition and its parameters."""
        left = "id" if self.name == "_id" else column(self.name)
        if self.operator == "in":
            values = [_parameter(item) for item in self.value]
            return f"{left} IN ({', '.join('?' * len(values))})", values
        if self.value is None:
            return f"{left} IS {'NOT ' if self.operator == '!=' else ''}NULL", []
        return f"{left} {self.operator} ?", [_parameter(self.value)]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field to compare: `field("amount") < 0`, `field("kind").in_(["a", "b"])`."""

    name: str

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(self.name, "=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(self.name, "!=", other)

    def __lt__(self, other: Any) -> Condition:
        return Condition(self.name, "<", other)

    def __le__(self, other: Any) -> Condition:
        return Condition(self.name, "<=", other)

    def __gt__(self, other: Any) -> Condition:
        return Condition(self.name, ">", other)

    def __ge__(self, other: Any) -> Condition:
        return Condition(self.name, ">=", other)

    def in_(self, values: Sequence[Any]) -> Condition:
        """Equal to one of these."""
        return Condition(self.name, "in", tuple(values))

    __hash__ = None  # type: ignore[assignment]


def field(name: str) -> Field:
    """A field of a record, for conditions. Dots lead inside: `field("address.city")`."""
    return Field(name)


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """Records of a collection that fulfil conditions; immutable, runs when it is read.

    Without `order_by` records come in the order of their ids.
    """

    _fetch: Callable[[str, Sequence[Any], bool], Awaitable[list[Any]]]
    _space: int
    _collection: str
    _conditions: tuple[Condition, ...] = ()
    _order: tuple[str, ...] = ()
    _limit: int | None = None
    _indexes: frozenset[str] = frozenset()
    _follow: Callable[[], AbstractContextManager[Following]] | None = None

    def where(self, *conditions: Condition, **equals: Any) -> "Query[R]":
        """The same with more conditions."""
        more = (*conditions, *(Condition(name, "=", value) for name, value in equals.items()))
        return replace(self, _conditions=self._conditions + more)

    def order_by(self, *names: str) -> "Query[R]":
        """Sorted by fields; a `-` before the name turns the order round."""
        return replace(self, _order=names)

    def limit(self, count: int) -> "Query[R]":
        """At most `count` records."""
        if count < 0:
            raise InvalidValue(f"a limit is a number from 0, not {count}")
        return replace(self, _limit=count)

    def sql(self, what: str = "id, json, kinds") -> tuple[str, list[Any]]:
        """The statement and its parameters, before order and limit."""
        # The collection is written out: partial indexes are matched by the text.
        clauses = [f"space = {self._space}", f"collection = {quote(self._collection, chr(39))}", "deleted = 0"]
        params: list[Any] = []
        for condition in self._conditions:
            clause, values = condition.sql()
            clauses.append(clause)
            params += values
        return f"SELECT {what} FROM record{self._by()} WHERE {' AND '.join(clauses)}", params

    def _by(self) -> str:
        """The declared index to use, if one serves a condition or else the order.

        It is named because SQLite, which has no figures about the data, takes every
        collection for ten records and would walk through all of it instead.
        """
        equal = [one.name for one in self._conditions if one.operator in ("=", "in")]
        ranges = [one.name for one in self._conditions if one.operator in ("<", "<=", ">", ">=")]
        order = [name.lstrip("-") for name in self._order[:1]]
        chosen = next((name for name in (*equal, *ranges, *order) if name in self._indexes), None)
        return "" if chosen is None else f" INDEXED BY {index_name(self._collection, chosen)}"

    async def all(self) -> list[R]:
        """Every matching record."""
        sql, params = self._ordered()
        if self._limit is not None:
            sql += f" LIMIT {self._limit}"
        return await self._fetch(sql, params, True)

    async def live(self) -> AsyncIterator[list[R]]:
        """The matching records now, and again whenever the answer has changed, from wherever.

        Commits that come while an answer is being used are one; the last state is never
        missed. Ends when the home closes.
        """
        if self._follow is None:
            raise Misuse("this query does not belong to a collection", "Begin with `collection.where(...)`.")
        with self._follow() as follower:
            async for records in live(self.all, follower):
                yield records

    async def first(self) -> R | None:
        """The first matching record, or None."""
        found = await self.limit(1).all()
        return found[0] if found else None

    async def count(self) -> int:
        """How many records match."""
        sql, params = self.sql("1")
        if self._limit is not None:
            sql += f" LIMIT {self._limit}"
        rows = await self._fetch(f"SELECT count(*) FROM ({sql})", params, False)
        return int(rows[0][0])

    def _ordered(self) -> tuple[str, list[Any]]:
        sql, params = self.sql()
        keys = [f"{column(name.lstrip('-'))}{' DESC' if name.startswith('-') else ''}" for name in self._order]
        return f"{sql} ORDER BY {', '.join([*keys, 'id'])}", params

    async def __aiter__(self) -> AsyncIterator[R]:
        """Matching records one by one; memory stays at a page of them."""
        if self._order or self._limit is not None:
            for record in await self.all():
                yield record
            return
        page = await self._page()
        while page:
            for record in page:
                yield record
            if len(page) < _PAGE:
                return
            # On by id: through a declared index each page would go through all matches.
            after: str = page[-1].id  # type: ignore[attr-defined]
            page = await replace(self.where(Condition("_id", ">", after)), _indexes=frozenset())._page()

    async def _page(self) -> list[R]:
        return await self.limit(_PAGE).all()
