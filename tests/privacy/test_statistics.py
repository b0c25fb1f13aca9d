"""From rows to whole numbers and back: each row by itself, and nothing but the drawn numbers on the way out."""

import math
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chez_sandbox.privacy.statistics import Statistic, contributions, question, values


@dataclass(frozen=True, slots=True)
class Measured:
    """What a manifest says of one value."""

    statistic: Statistic
    epsilon: float = 0.5
    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    at: float | None = None
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()


KINDS = [
    Measured("count"),
    Measured("sum", lower=-1.0, upper=20.0, step=0.1),
    Measured("mean", lower=0.0, upper=9000.0, step=10.0),
    Measured("quantile", lower=0.0, upper=100.0, step=0.5, at=0.9),
    Measured("histogram", edges=(0.0, 0.5, 100.0)),
    Measured("histogram", categories=("food", "rent")),
]
CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["food", "rent", 10**400]),
)


@given(st.sampled_from(KINDS), st.lists(CELLS, max_size=8), CELLS, st.data())
def test_one_row_more_is_one_number_more_at_most(
    measured: Measured, cells: list[object], extra: object, data: st.DataObject
) -> None:
    """A row gives at most one number of 64 bits, and what the other rows give does not depend on it."""
    place = data.draw(st.integers(0, len(cells)))
    before, after = contributions(measured, cells[:place]), contributions(measured, cells[place:])
    own = contributions(measured, [extra])
    assert contributions(measured, [*cells[:place], extra, *cells[place:]]) == before + own + after
    assert len(own) <= 1 and all(abs(number) < 2**63 for number in own)


@given(st.sampled_from(KINDS), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2))
def test_whatever_was_drawn_is_a_value(measured: Measured, drawn: list[int]) -> None:
    """Every drawn number has a finite value in the field's unit; a mean lies within its bounds."""
    made = values(measured, drawn)
    assert all(math.isfinite(value) for value in made)
    if measured.statistic == "mean":
        assert 0 <= made[0] <= 9000


def test_numbers_are_counted_in_steps_and_come_back_in_the_unit() -> None:
    """Cells are rounded to the step; a drawn sum, mean, quantile is told in the field's unit, exactly."""
    total, mean, quantile = KINDS[1:4]
    assert contributions(total, [0.3, 0.26, "0.3", None, True, math.inf]) == [3, 3, 2**60]
    assert (question(total).low, question(total).high) == (-10, 200)
    assert values(total, [7]) == [Fraction(7, 10)]
    assert values(mean, [-500, 10]) == [4000] and values(mean, [5, -3]) == [4550]
    assert values(quantile, [181]) == [Fraction(181, 2)] and question(quantile).at == 0.9


def test_a_row_is_in_one_bin_or_none() -> None:
    """A bin begins with its edge and ends before the next; other texts and numbers outside are in none."""
    numbers, texts = KINDS[4:]
    assert contributions(numbers, [-0.1, 0, 0.49, 0.5, 99.9, 100, math.nan]) == [0, 0, 1, 1]
    assert contributions(texts, ["rent", "food", "Rent", 1]) == [1, 0]
    assert question(numbers).high == question(texts).high == 1


class Compared(float):
    """A number that counts how often it is held against another."""

    times = 0

    def __lt__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) < other

    def __ge__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) >= other


@given(st.sets(st.floats(-1e6, 1e6), min_size=2, max_size=257), st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_a_row_is_not_held_against_every_bin(edges: set[float], cells: list[float]) -> None:
    """The bin is the one that the edges say, and found by halving."""
    bounds = tuple(sorted(edges))
    expected = [
        number for cell in cells for number in range(len(bounds) - 1) if bounds[number] <= cell < bounds[number + 1]
    ]
    Compared.times = 0
    found = contributions(Measured("histogram", edges=bounds), [Compared(cell) for cell in cells])
    assert found == expected and Compared.times <= (2 + len(bounds).bit_length()) * len(cells)
