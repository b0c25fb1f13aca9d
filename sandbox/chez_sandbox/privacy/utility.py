"""How far off a noised value is at its epsilon, before anything is drawn: from the declaration alone.

Discrete Laplace noise of scale s takes the value k with a chance in proportion to e^(-|k|/s) (Ghosh, Roughgarden
and Sundararajan 2009). For a quantile, the error is in ranks: permute-and-flip is never farther off than the
exponential mechanism (McKenna and Sheldon 2020), whose bound is used (McSherry and Talwar 2007).
"""

import math
from typing import Final

import msgspec

from chez_sandbox.privacy.statistics import Measured, question

__all__ = ("USUAL", "Utility", "laplace_beyond", "utility")

USUAL: Final = 0.95
"""How often an error is at most `Utility.usually`."""


class Utility(msgspec.Struct, frozen=True):
    """The size of an error: in the field's unit, or for a quantile in rows by which its rank is off."""

    usually: float
    """At most so much in 95 of 100 draws."""
    typical: float | None
    """The mean size, where it is known: of a mean, an upper bound of it."""
    ranks: bool = False


def utility(measured: Measured, rows: int) -> Utility:
    """The error that noise makes, of a value over so many rows (which only a mean depends on).

    Besides noise, clamping and rounding move a value; they are the declaration's, and not counted here.
    """
    asked = question(measured)
    match asked.statistic:
        case "count" | "histogram":
            scale, unit = 1 / asked.epsilon, 1.0
        case "quantile":
            # A row more moves a point's score by no more than the larger of both shares.
            moved, points = max(asked.at, 1 - asked.at), asked.high - asked.low + 1
            return Utility(2 * moved * math.log(points / (1 - USUAL)) / asked.epsilon, None, ranks=True)
        case "sum":
            scale, unit = max(abs(asked.low), abs(asked.high)) / asked.epsilon, float(measured.step or 1)
        case _:
            return _of_mean(measured, rows)
    return Utility(_usually(scale, USUAL) * unit, _typical(scale) * unit)


def _of_mean(measured: Measured, rows: int) -> Utility:
    """Noise on the sum, over the rows; and on the count, by as much as a mean at its bound lies off the middle."""
    asked, unit = question(measured), float(measured.step or 1)
    half = math.ceil((asked.high - asked.low) / 2)
    total, count = 2 * half / asked.epsilon, 2 / asked.epsilon
    # Each part holds in all but half of the draws that are let off.
    each = 1 - (1 - USUAL) / 2
    usually = (_usually(total, each) + half * _usually(count, each)) / max(rows, 1)
    typical = (_typical(total) + half * _typical(count)) / max(rows, 1)
    most = asked.high - asked.low
    return Utility(min(usually, most) * unit, min(typical, most) * unit)


def laplace_beyond(size: int, scale: float) -> float:
    """How often discrete Laplace noise of this scale is farther from 0 than `size`."""
    ratio = math.exp(-1 / scale)
    return 2 * ratio ** (size + 1) / (1 + ratio)


def _typical(scale: float) -> float:
    ratio = math.exp(-1 / scale)
    return 2 * ratio / (1 - ratio**2)


def _usually(scale: float, how_often: float) -> int:
    """The least size that noise exceeds no more often than that."""
    size = max(0, math.floor(scale * math.log(2 / (1 - how_often))) - 1)
    while laplace_beyond(size, scale) > 1 - how_often:
        size += 1
    while size and laplace_beyond(size - 1, scale) <= 1 - how_often:
        size -= 1
    return size
