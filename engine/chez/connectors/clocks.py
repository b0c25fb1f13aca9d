"""The clock of the wall as ESPI writes it: seconds ahead of UTC, and rules for the half year in which it is ahead more.

A rule is a number of 32 bits, in hexadecimal (NAESB ESPI, espi.xsd, `DstRuleType`):

    bits 0-11   seconds of the hour         bits 20-24  day of the month, 0 for none
    bits 12-16  hour                        bits 25-27  which day, see `_day`
    bits 17-19  weekday, Monday is 1        bits 28-31  month
"""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

__all__ = ("Clock",)

RULE: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
WIDEST: Final = 24 * 3600
LAST: Final = 7


class Clock:
    """Tells what a wall's clock showed at an instant; raises `ValueError` for rules that can't be.

    `offset` and `ahead` are seconds: that of the standard time before UTC (west is negative), and
    what is added in summer; a rule that is empty, or adds nothing, means that nothing changes.
    """

    __slots__ = ("_ahead", "_end", "_offset", "_start", "_years")

    def __init__(self, offset: int, ahead: int, start: str, end: str) -> None:
        if not (-WIDEST < offset < WIDEST and -WIDEST < ahead < WIDEST):
            raise ValueError("the clock is more than a day from UTC")
        self._offset, self._ahead = offset, ahead
        changes = bool(ahead and start and end)
        self._start, self._end = (_rule(start), _rule(end)) if changes else (0, 0)
        self._years: dict[int, tuple[datetime, datetime]] = {}

    def wall(self, at: datetime) -> tuple[datetime, int]:
        """What the clock showed at an instant, without zone, and how many minutes it was ahead of UTC then."""
        seconds = self._offset
        standard = at.astimezone(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
        if self._start:
            begins, ends = self._changes(standard.year)
            # South of the equator summer goes over the turn of the year.
            if begins <= standard < ends if begins < ends else not ends <= standard < begins:
                seconds += self._ahead
        return standard + timedelta(seconds=seconds - self._offset), seconds // 60

    def _changes(self, year: int) -> tuple[datetime, datetime]:
        """When summer begins and ends in a year, both on the clock of winter."""
        if year not in self._years:
            # The end is told on the clock that is in force then, which is summer's.
            self._years[year] = (_moment(self._start, year), _moment(self._end, year) - timedelta(seconds=self._ahead))
        return self._years[year]


def _rule(written: str) -> int:
    if not RULE.fullmatch(written):
        raise ValueError("the rule of summer time is not a number of 32 bits")
    rule = int(written, 16)
    _moment(rule, 2000)
    return rule


def _moment(rule: int, year: int) -> datetime:
    return datetime.combine(_day(rule, year), time()) + timedelta(hours=(rule >> 12) & 31, seconds=rule & 0xFFF)


def _day(rule: int, year: int) -> date:
    """The day a rule means: a date, the first such weekday on or after it, the nth of the month, or the last."""
    month, which, day, weekday = rule >> 28, (rule >> 25) & 7, (rule >> 20) & 31, (rule >> 17) & 7
    if not 1 <= month <= 12:
        raise ValueError("the rule of summer time has no such month")
    length = calendar.monthrange(year, month)[1]
    if which == 0 or weekday == 0:
        if not day:
            raise ValueError("the rule of summer time has no day")
        return date(year, month, min(day, length))
    from_day = min(max(day, 1), length) if which == 1 else 1
    first = date(year, month, from_day)
    first += timedelta(days=(weekday - 1 - first.weekday()) % 7)
    if which == 1:
        return first
    if which == LAST:
        return first + timedelta(weeks=(length - first.day) // 7)
    return min(first + timedelta(weeks=which - 2), date(year, month, length))
