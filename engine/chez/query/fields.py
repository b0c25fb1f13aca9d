"""`field("cups")`: what conditions and aggregates are written with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chez.errors import InvalidValue
from chez.query.aggregates import Aggregate
from chez.query.conditions import AllOf, Comparison, Condition, Not
from chez.query.paths import steps

__all__ = ("Field", "field")


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field to compare or to sum up: `field("amount") < 0`, `field("kind").in_(["a", "b"])`."""

    name: str

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Comparison(self.name, "=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Not(Comparison(self.name, "=", other))

    def __lt__(self, other: Any) -> Condition:
        return Comparison(self.name, "<", other)

    def __le__(self, other: Any) -> Condition:
        return Comparison(self.name, "<=", other)

    def __gt__(self, other: Any) -> Condition:
        return Comparison(self.name, ">", other)

    def __ge__(self, other: Any) -> Condition:
        return Comparison(self.name, ">=", other)

    __hash__ = None  # type: ignore[assignment]

    def in_(self, values: Iterable[Any]) -> Condition:
        """Equal to one of these. Raises `InvalidValue` for a text, which is one value."""
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise InvalidValue(f"{self.name!r} is looked for among several values, not in {type(values).__name__}",
                               "Give a list, or use ==.")
        return Comparison(self.name, "in", tuple(values))

    def between(self, low: Any, high: Any) -> Condition:
        """From `low` to `high`, both included."""
        return AllOf((Comparison(self.name, ">=", low), Comparison(self.name, "<=", high)))

    def prefix(self, start: str) -> Condition:
        """Text that begins with these characters, exactly."""
        return Comparison(self.name, "prefix", start)

    def is_null(self) -> Condition:
        """None, or not there."""
        return Comparison(self.name, "null")

    def count(self) -> Aggregate:
        """How many records have a value there that is not None."""
        return Aggregate("count", self.name)

    def sum(self) -> Aggregate:
        """The sum of the numbers there; 0 without any."""
        return Aggregate("sum", self.name)

    def avg(self) -> Aggregate:
        """The mean of the numbers there; None without any."""
        return Aggregate("avg", self.name)

    def min(self) -> Aggregate:
        """The first value in order that is not None."""
        return Aggregate("min", self.name)

    def max(self) -> Aggregate:
        """The last value in order."""
        return Aggregate("max", self.name)


def field(name: str) -> Field:
    """A field of a record. Dots lead inside: `field("address.city")`; `_id` is the record's id.

    Raises `InvalidValue` for what can't be a name.
    """
    steps(name)
    return Field(name)
