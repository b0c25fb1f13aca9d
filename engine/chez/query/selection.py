"""What a query selects, as SQL over the projection."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from chez.query.conditions import AllOf, AnyOf, Condition, Key, key_of, required
from chez.query.indexes import Index, best, expression
from chez.query.paths import quote

__all__ = ("MOST", "Facts", "Selection")

MOST: Final = 2**63 - 1
"""The greatest number of records that SQLite can be asked for."""
_BRANCHES: Final = 100
"""SQLite takes at most 500 SELECTs in one; beyond some, a walk through the collection is no worse."""


class Facts(msgspec.Struct, frozen=True):
    """What a collection's store knows that queries go by: its declared indexes and which fields are decimals."""

    indexes: frozenset[Index] = frozenset()
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Selection:
    """The records of one collection in a space that fulfil conditions, sorted, and cut to some of them."""

    space: int
    collection: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0

    @property
    def cut(self) -> bool:
        """Whether only some of the matching records are wanted."""
        return self.limit is not None or self.offset > 0

    @property
    def most(self) -> int | None:
        """How many matching records there are up to the last that is wanted; None for all."""
        return None if self.limit is None else min(self.offset + self.limit, MOST)

    @property
    def directions(self) -> tuple[bool, ...]:
        """For each field in the order, and for the id behind them, whether it goes down."""
        ways = tuple(name.startswith("-") for name in self.order)
        return (*ways, ways[-1] if ways else False)

    def sql(self, what: str, facts: Facts, numbers: Sequence[int] | None = None, *, sort: bool = True
            ) -> tuple[str, list[Any]]:
        """The statement that selects `what`, and its parameters; of these rows only, if `numbers` are given."""
        every = AllOf(self.conditions)
        clauses: list[str] = [self._base()]
        params: list[Any] = []
        rows = "record"
        if numbers is not None:
            clauses.append("n IN (SELECT value FROM json_each(?))")
            params.append(msgspec.json.encode(numbers).decode())
            rows = "record NOT INDEXED"
        elif (index := best(facts.indexes, [*every.bounds(facts.numeric)], self._keys(facts))) is not None:
            rows = f"record INDEXED BY {quote(index.name, chr(34))}"
        elif (found := self._any(facts)) is not None:
            # The order of a cross join is kept: first what the indexes find, then the records.
            rows = f"({found[0]}) CROSS JOIN record ON n = hit"
            params += found[1]
        if every.parts:
            condition = every.sql(facts.numeric)
            clauses.append(condition.text)
            params += condition.params
        order = self._sorting(facts) if sort else ""
        limit = ""
        if self.cut:
            limit = " LIMIT ? OFFSET ?"
            params += [-1 if self.limit is None else self.limit, self.offset]
        return f"SELECT {what} FROM {rows} WHERE {' AND '.join(clauses)}{order}{limit}", params

    def upto_last(self, facts: Facts) -> tuple[str, list[Any]]:
        """The matching records up to the last one wanted, in order: id, json, kinds, what each is sorted by."""
        return replace(self, limit=self.most, offset=0).sql(f"id, json, kinds{self._places(facts)}", facts)

    def changed(self, facts: Facts, after: int, most: int) -> tuple[str, list[Any]]:
        """At most so many records of the collection that were written after a number of `record.changed`.

        Rows of that number, whether the record matches now, and as of `upto_last`: json is
        NULL for one that does not. One statement, so that all are of one instant.
        """
        matches = AllOf(self.conditions).sql(facts.numeric) if self.conditions else None
        hit = "deleted = 0" if matches is None else f"(deleted = 0 AND {matches.text}) IS TRUE"
        sql = (f"SELECT changed, hit, id, CASE WHEN hit THEN json END, kinds{self._places(facts)} FROM ("
               f"SELECT changed, id, json, kinds, {hit} AS hit FROM record INDEXED BY record_by_change "
               f"WHERE changed > ? AND collection = {quote(self.collection, chr(39))} AND space = {self.space}) "
               "ORDER BY changed LIMIT ?")
        return sql, [*(() if matches is None else matches.params), after, most]

    def served(self, facts: Facts) -> bool:
        """Whether a declared index narrows it."""
        bounds = [*AllOf(self.conditions).bounds(facts.numeric)]
        return best(facts.indexes, bounds, ()) is not None or self._any(facts) is not None

    def _base(self) -> str:
        # The collection is written out: partial indexes are matched by the text.
        return f"space = {self.space} AND collection = {quote(self.collection, chr(39))} AND deleted = 0"

    def _any(self, facts: Facts) -> tuple[str, list[Any]] | None:
        """The rows that one of several alternatives finds, if an index serves each of them."""
        for part in required(self.conditions):
            if not isinstance(part, AnyOf):
                continue
            branches = []
            params: list[Any] = []
            for one in part.parts:
                index = best(facts.indexes, [*one.bounds(facts.numeric)], ())
                if index is None:
                    break
                condition = one.sql(facts.numeric)
                branches.append(f"SELECT n AS hit FROM record INDEXED BY {quote(index.name, chr(34))} "
                                f"WHERE {self._base()} AND {condition.text}")
                params += condition.params
            else:
                if len(branches) <= _BRANCHES:
                    return " UNION ".join(branches), params
        return None

    def _keys(self, facts: Facts) -> list[Key]:
        return [key_of(name.removeprefix("-"), facts.numeric) for name in self.order]

    def _places(self, facts: Facts) -> str:
        return "".join(f", {expression(key)}" for key in self._keys(facts))

    def _sorting(self, facts: Facts) -> str:
        keys = [*map(expression, self._keys(facts)), "id"]
        ways = [" DESC" if down else "" for down in self.directions]
        return f" ORDER BY {', '.join(key + way for key, way in zip(keys, ways, strict=True))}"
