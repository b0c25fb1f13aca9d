"""Which times a file told already, so that none is counted twice.

A meter's file may have one stretch of time in hours and in quarters of them. Values of intervals are summed up, so of
two that overlap one counts, the first one told. The same interval again is a correction.
"""

import enum
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

__all__ = ("MAX_RUNS", "Intervals", "Told")

MAX_RUNS: Final = 20_000
"""Stretches without a hole of all series together. What comes beyond is not held against what was told."""


class Told(enum.Enum):
    """What was told before of an interval's time: nothing, that very interval, or others in its place."""

    NEW = "new"
    AGAIN = "again"
    OTHERWISE = "otherwise"


@dataclass(slots=True)
class _Run:
    """Intervals of one length, each of which begins where another ends."""

    begin: int
    end: int
    step: int


class Intervals:
    """The times that were told of each of several series."""

    __slots__ = ("_count", "_series")

    def __init__(self) -> None:
        self._count = 0
        self._series: dict[object, tuple[list[int], list[_Run]]] = {}

    def take(self, series: object, start: int, seconds: int) -> Told:
        """Note an interval, unless others were told in its place.

        In any order; it costs a search, and where a file jumps to and fro, moving at most `MAX_RUNS` places.
        """
        begins, runs = self._series.setdefault(series, ([], []))
        at = bisect_right(begins, start)
        before = runs[at - 1] if at else None
        after = runs[at] if at < len(runs) else None
        if before is not None and start < before.end:
            same = before.step == seconds and (start - before.begin) % seconds == 0
            return Told.AGAIN if same else Told.OTHERWISE
        end = start + seconds
        if after is not None and after.begin < end:
            return Told.OTHERWISE
        if before is not None and before.end == start and before.step == seconds:
            before.end = end
            if after is not None and after.begin == end and after.step == seconds:
                before.end = after.end
                del begins[at], runs[at]
                self._count -= 1
        elif after is not None and after.begin == end and after.step == seconds:
            after.begin = begins[at] = start
        elif self._count < MAX_RUNS:
            begins.insert(at, start)
            runs.insert(at, _Run(start, end, seconds))
            self._count += 1
        return Told.NEW
