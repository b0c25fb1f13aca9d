"""What OpenDP is asked for: the clamp, and the noise, by its distribution.

OpenDP takes no seed, so these tests are statistical. Each says how rarely it fails by chance.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from chez_sandbox.errors import BadInput
from chez_sandbox.privacy import mechanism
from chez_sandbox.privacy.mechanism import draw, drawer
from chez_sandbox.privacy.statistics import Question

DRAWS = 4000
FAR = math.sqrt(math.log(2 / 1e-10) / (2 * DRAWS))
"""The distance from its distribution that so many draws exceed once in 10^10 times (Massart 1990)."""


def laplace(at: int, scale: float) -> float:
    """How often discrete Laplace noise is at most `at`."""
    ratio = math.exp(-1 / scale)
    return 1 - ratio ** (at + 1) / (1 + ratio) if at >= 0 else ratio**-at / (1 + ratio)


def distance(drawn: Sequence[int], of: Callable[[int], float]) -> float:
    """The greatest difference of what was drawn from a distribution function (Kolmogorov-Smirnov)."""
    counts, seen, worst = Counter(drawn), 0, 0.0
    for value in range(min(drawn) - 1, max(drawn) + 1):
        seen += counts[value]
        worst = max(worst, abs(seen / len(drawn) - of(value)))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "rows", "truth", "scale"),
    [
        (Question("count", 0.5), [0] * 40, 40, 2),
        (Question("sum", 0.5, -3, 10), [1, 10**15, -(10**15)] * 10, 80, 20),
        (Question("histogram", 0.5, 0, 2), [0] * 7 + [1] * 40 + [9], 7, 2),
    ],
)
def test_noise_is_discrete_laplace_around_the_clamped_truth(
    question: Question, rows: list[int], truth: int, scale: float
) -> None:
    """The noise of counts, sums and bins is discrete Laplace of the sensitivity by epsilon (fails once in 10^10)."""
    answer = drawer(question)
    noise = [answer(rows)[0] - truth for _ in range(DRAWS)]
    assert distance(noise, lambda at: laplace(at, scale)) < FAR
    assert distance(noise, lambda at: laplace(at, 2 * scale)) > FAR, "the test could not tell twice the noise"


@pytest.mark.slow
def test_a_mean_spends_half_on_a_centred_sum_and_half_on_a_count() -> None:
    """A mean's sum lies around the middle of its bounds, its count beside it, each with its noise (10^-10 each)."""
    answer = drawer(Question("mean", 1.0, 100, 120))
    drawn = [answer([90, 110, 119, 500]) for _ in range(DRAWS)]
    assert distance([total - (-10 + 0 + 9 + 10) for total, _ in drawn], lambda at: laplace(at, 20)) < FAR
    assert distance([count - 4 for _, count in drawn], lambda at: laplace(at, 2)) < FAR


@pytest.mark.slow
def test_one_row_more_makes_no_quantile_much_likelier() -> None:
    """No point of the grid is more than e^epsilon times likelier with a row than without (10^-10 for each point)."""
    answer, slack = drawer(Question("quantile", 0.7, 0, 4, 0.5)), 2 * FAR
    rows = [0, 1, 1, 2, 3, 900]
    without, with_one = (Counter(answer(table)[0] for _ in range(DRAWS)) for table in (rows, [*rows, -5]))
    assert sum(without.values()) == DRAWS and set(without) == {0, 1, 2, 3, 4}
    for point in range(5):
        one, other = without[point] / DRAWS, with_one[point] / DRAWS
        assert one <= math.exp(0.7) * other + slack and other <= math.exp(0.7) * one + slack


def test_a_quantile_finds_the_place() -> None:
    """With many rows and a grid that has the place, the drawn quantile is beside the true one (10^-20)."""
    rows = list(range(1000)) * 10
    assert abs(draw(Question("quantile", 1.0, 0, 1000, 0.9), rows)[0] - 900) <= 10
    assert draw(Question("quantile", 1.0, -50, -40, 0.5), rows)[0] in range(-41, -39)


def test_no_row_counts_for_more_than_its_bounds() -> None:
    """Whatever a row holds, it moves a sum by its bound at most (fails once in 10^400)."""
    (drawn,) = draw(Question("sum", 10.0, -5, 20), [10**18, -(10**18), 3])
    assert abs(drawn - 18) < 2000


@pytest.mark.parametrize("question", [Question("sum", 0.5, 5, 1), Question("count", -1.0), Question("mean", 0.0, 0, 9)])
def test_what_cannot_be_promised_is_not_drawn(question: Question) -> None:
    """Bounds or an epsilon that no measurement keeps are a typed error, never a draw with another promise."""
    with pytest.raises(BadInput):
        draw(question, [1, 2, 3])


def test_a_measurement_that_would_tell_more_than_was_paid_for_is_not_drawn_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What OpenDP itself says that an answer tells is held against what the question may."""
    monkeypatch.setitem(mechanism._MEASUREMENTS, "count", lambda dp, one: mechanism._count(dp, 2 * one.epsilon))
    with pytest.raises(BadInput, match=r"stays within an epsilon of 0\.5"):
        draw(Question("count", 0.5), [1, 2, 3])
