"""How far off a noised value is said to be: what `chez-job check` tells a provider before any draw."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez_sandbox.manifest import parse_manifest
from chez_sandbox.privacy.mechanism import drawer
from chez_sandbox.privacy.statistics import contributions, question, values
from chez_sandbox.privacy.utility import laplace_beyond, utility
from chez_sandbox.provider.judging import check_facts, check_words, findings, unread
from tests.privacy.samples import COUNT, noised, noised_manifest, rest
from tests.privacy.test_statistics import Measured

DRAWS = 400
SLACK = math.sqrt(math.log(1e10) / (2 * DRAWS))
"""Beyond what is said: chance gives more once in 10^10 times (Hoeffding 1963)."""


@given(st.floats(0.001, 10))
def test_the_usual_error_is_the_least_that_95_draws_of_100_keep(epsilon: float) -> None:
    """A count's noise exceeds the size that is told in 1 of 20 draws at most, and any smaller size more often."""
    usually = int(utility(Measured("count", epsilon), 0).usually)
    assert laplace_beyond(usually, 1 / epsilon) <= 0.05 + 1e-12
    assert not usually or laplace_beyond(usually - 1, 1 / epsilon) > 0.05 - 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    "measured",
    [
        Measured("mean", 0.5, lower=0, upper=3000, step=10),
        Measured("quantile", 0.3, lower=0, upper=3000, step=10, at=0.9),
    ],
)
def test_what_is_said_of_means_and_quantiles_holds_in_draws(measured: Measured) -> None:
    """No more draws than 1 of 20, and chance, are farther off than what is told (fails once in 10^10)."""
    rows: list[object] = [100 + 7 * number % 900 for number in range(2000)]
    numbers, answer, told = contributions(measured, rows), drawer(question(measured)), utility(measured, len(rows))
    truth, beyond = sum(numbers) / len(numbers) * 10, 0
    for _ in range(DRAWS):
        value = float(values(measured, answer(numbers))[0])
        if told.ranks:
            below, not_above = (sum(n * 10 < value for n in numbers), sum(n * 10 <= value for n in numbers))
            off = max(below - 1800, 1800 - not_above)
        else:
            off = abs(value - truth)
        beyond += off > told.usually
    assert beyond / DRAWS <= 0.05 + SLACK


def test_check_tells_the_error_and_what_noise_does_not_cover() -> None:
    """A job that says something beside noise, noise as large as the result, and too small a budget are warned of."""
    own = noised_manifest(rest=rest(COUNT.replace("0.5", "0.002"), own='ok = { type = "boolean" }'))
    found = {one.path: one.words for one in findings(parse_manifest(own), None)}
    assert "what it says is not noised" in found["result"]
    assert "the result has a range of 1000" in found["measurements[0].epsilon"]
    facts = check_facts(noised(), None, signed=True)
    paths = {one["path"]: one["words"] for one in facts["findings"]}
    assert "suffices for 2 windows" in paths["budget.epsilon"]
    assert not any("not noised" in one["words"] for one in facts["findings"])
    lines = [line for line in check_words(facts) if line.startswith("  noise ")]
    assert len(lines) == 5 and "rows: off by at most 6 in 95% of draws" in lines[0] and "of 1,000 rows" in lines[3]


def test_fields_that_are_noised_are_looked_at() -> None:
    """Where no code runs, the fields that nothing measures are named as asked for in vain."""
    assert unread(noised().manifest, None) == {"readings": ["local"]}
