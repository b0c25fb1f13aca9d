"""From granted rows to whole numbers for the mechanism, and from what it drew to a value of the result.

Everything that is noised is a whole number of steps: sums are then exact, and the low bits of
floating-point noise, which give values away (Mironov 2012, "On significance of the least significant
bits for differential privacy"), do not exist.

Each row gives at most one number, by itself: what one row adds or takes away is then one number more or
less, whatever the other rows are. That is what the promise for a row rests on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, Protocol, TypeGuard

import msgspec

__all__ = ("MOST", "Measured", "Question", "Statistic", "contributions", "question", "values")

Statistic = Literal["count", "sum", "mean", "histogram", "quantile"]

MOST: Final = 2**31
"""Steps that a bound may lie from 0: sums over all rows that a run can have then fit 64 bits."""

_FAR: Final = 2**60
"""What is farther out is taken for this: the mechanism clamps it to its bound all the same."""


class Measured(Protocol):
    """What a manifest says of one value (`chez_sandbox.manifest.Measurement`)."""

    @property
    def statistic(self) -> Statistic: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def lower(self) -> float | None: ...
    @property
    def upper(self) -> float | None: ...
    @property
    def step(self) -> float | None: ...
    @property
    def at(self) -> float | None: ...
    @property
    def edges(self) -> Sequence[float]: ...
    @property
    def categories(self) -> Sequence[str]: ...


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the mechanism is asked: a statistic of whole numbers, and how much it may tell."""

    statistic: Statistic
    epsilon: float
    low: int = 0
    """Numbers are clamped to `low` and `high`; of a histogram, the first and the last bin."""
    high: int = 0
    at: float = 0.5
    """Which quantile, from 0 to 1."""


def question(measured: Measured) -> Question:
    """What the mechanism is asked for a value of a manifest that was checked."""
    bins = len(measured.categories) or len(measured.edges) - 1
    match measured.statistic:
        case "count":
            return Question("count", measured.epsilon)
        case "histogram":
            return Question("histogram", measured.epsilon, 0, bins - 1)
        case statistic:
            low, high = _steps(measured)
            return Question(statistic, measured.epsilon, low, high, 0.5 if measured.at is None else measured.at)


def contributions(measured: Measured, cells: Iterable[object]) -> list[int]:
    """One whole number for each row that gives one; `cells` are the rows' values of its field.

    A count takes every row. Else a row with another type in the field, or nothing, gives none;
    neither does one outside a histogram's bins.
    """
    match measured.statistic:
        case "count":
            return [0 for _ in cells]
        case "histogram":
            return list(_bins(measured, cells))
        case _:
            step = float(measured.step or 1)
            return [_whole(cell, step) for cell in cells if _is_number(cell)]


def values(measured: Measured, drawn: Sequence[int]) -> list[Fraction]:
    """What was drawn in the field's own unit: one value, or for a histogram one a bin.

    Only the drawn numbers and the manifest go in: whatever is done to them here tells nothing more.
    """
    match measured.statistic:
        case "count" | "histogram":
            return [Fraction(number) for number in drawn]
        case "mean":
            total, count = drawn
            low, high = _steps(measured)
            mean = (low + high) // 2 + Fraction(total, max(count, 1))
            return [min(max(mean, Fraction(low)), Fraction(high)) * _exact(measured.step)]
        case _:
            return [drawn[0] * _exact(measured.step)]


def _steps(measured: Measured) -> tuple[int, int]:
    step = _exact(measured.step)
    return int(_exact(measured.lower) / step), int(_exact(measured.upper) / step)


def _exact(number: float | None) -> Fraction:
    """A number of the manifest as it was written: the shortest decimal that reads as this float."""
    return Fraction(Decimal(str(number or 0)))


def _is_number(cell: object) -> TypeGuard[int | float]:
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell == cell  # no NaN


def _whole(cell: int | float, step: float) -> int:
    try:
        return max(-_FAR, min(_FAR, round(cell / step)))
    except OverflowError:  # infinite, or a whole number beyond every float
        return _FAR if cell > 0 else -_FAR


def _bins(measured: Measured, cells: Iterable[object]) -> Iterator[int]:
    # Hundreds of bins and a million rows: a row must not be held against every bin.
    if measured.categories:
        places = {category: number for number, category in enumerate(measured.categories)}
        yield from (places[cell] for cell in cells if isinstance(cell, str) and cell in places)
        return
    edges = list(measured.edges)
    for cell in cells:
        if _is_number(cell) and edges[0] <= cell < edges[-1]:
            yield bisect_right(edges, cell) - 1
