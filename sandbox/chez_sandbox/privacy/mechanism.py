"""Clamping, aggregating and noise, by OpenDP. Runs in a process of its own (`helper`).

What is neighbouring: rows with one row more or one less (OpenDP's symmetric distance, 1). What is
bounded: how much more likely any answer is with the row than without, at most e to the power of
epsilon (pure differential privacy, OpenDP's max divergence; Dwork et al. 2006). There is no delta.

    count, sum       discrete Laplace noise (Ghosh et al. 2009)
    mean             a sum around the middle of the bounds, and a count, half of epsilon each
    histogram        discrete Laplace noise on each bin: a row is in one bin at most
    quantile         permute-and-flip over the grid of the bounds (McKenna and Sheldon 2020)

OpenDP draws from the operating system's entropy. There is no seed, and no way to give one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from chez_sandbox.errors import BadInput
from chez_sandbox.privacy.statistics import Question

__all__ = ("UNIT", "draw", "drawer")

UNIT: Final = 1
"""Rows by which neighbouring tables differ: one is there or not. Another value in a row is a distance of 2."""


def draw(question: Question, numbers: Sequence[int]) -> list[int]:
    """One noised answer; two calls give two. Of a mean: the sum around the middle, and the count.

    Raises `BadInput` when OpenDP has no measurement that stays within the question's epsilon.
    """
    return drawer(question)(numbers)


def drawer(question: Question) -> Callable[[Sequence[int]], list[int]]:
    """What `draw` does with many tables, built once; raises like it."""
    import opendp.prelude as dp  # 270 MB on disk: only a process that draws loads it

    dp.enable_features("contrib")
    refused = f"OpenDP refused to draw a {question.statistic}"
    try:
        measurement, epsilon = _MEASUREMENTS[question.statistic](dp, question), question.epsilon
    except dp.OpenDPException as error:
        raise BadInput(f"{refused}: {error.message}") from None
    if not measurement.map(UNIT) <= epsilon:
        raise BadInput(f"No measurement of a {question.statistic} stays within an epsilon of {epsilon}")

    def answer(numbers: Sequence[int]) -> list[int]:
        try:
            drawn = measurement(_centred(question, numbers))
        except dp.OpenDPException as error:
            raise BadInput(f"{refused}: {error.message}") from None
        return [int(number) for number in drawn] if isinstance(drawn, list) else [int(drawn) + _first(question)]

    return answer


def _centred(question: Question, numbers: Sequence[int]) -> list[int]:
    # Around the middle of its bounds a row moves a sum by half as much.
    middle = _middle(question) if question.statistic == "mean" else 0
    return [number - middle for number in numbers] if middle else list(numbers)


def _middle(question: Question) -> int:
    return (question.low + question.high) // 2


def _first(question: Question) -> int:
    # A quantile is drawn as the number of a point of its grid.
    return question.low if question.statistic == "quantile" else 0


def _space(dp: Any) -> Any:
    return dp.vector_domain(dp.atom_domain(T="i64")), dp.symmetric_distance()


def _noised(dp: Any, aggregate: Any, epsilon: float) -> Any:
    """Discrete Laplace noise, as little as epsilon asks for."""
    return dp.binary_search_chain(lambda scale: aggregate >> dp.m.then_laplace(scale), d_in=UNIT, d_out=epsilon)


def _clamped_sum(dp: Any, low: int, high: int, epsilon: float) -> Any:
    return _noised(dp, _space(dp) >> dp.t.then_clamp((low, high)) >> dp.t.then_sum(), epsilon)


def _count(dp: Any, epsilon: float) -> Any:
    return _noised(dp, _space(dp) >> dp.t.then_count(), epsilon)


def _mean(dp: Any, question: Question) -> Any:
    middle, half = _middle(question), question.epsilon / 2
    low, high = question.low - middle, question.high - middle
    return dp.c.make_composition([_clamped_sum(dp, low, high, half), _count(dp, half)])


def _histogram(dp: Any, question: Question) -> Any:
    bins = list(range(question.low, question.high + 1))
    return _noised(dp, _space(dp) >> dp.t.then_count_by_categories(bins, null_category=False), question.epsilon)


def _quantile(dp: Any, question: Question) -> Any:
    grid = list(range(question.low, question.high + 1))
    clamped = _space(dp) >> dp.t.then_clamp((question.low, question.high))
    scores = clamped >> dp.t.then_quantile_score_candidates(grid, alpha=question.at)
    return dp.binary_search_chain(
        lambda scale: scores >> dp.m.then_noisy_max(dp.max_divergence(), scale, negate=True),
        d_in=UNIT,
        d_out=question.epsilon,
    )


_MEASUREMENTS: Final[dict[str, Callable[[Any, Question], Any]]] = {
    "count": lambda dp, question: _count(dp, question.epsilon),
    "sum": lambda dp, question: _clamped_sum(dp, question.low, question.high, question.epsilon),
    "mean": _mean,
    "histogram": _histogram,
    "quantile": _quantile,
}
