"""Windows: which whole days, weeks or months a run reads, and where they begin and end.

A window's ends lie on its grid and are over when the job runs. So two runs on one day read
the same rows, and what two runs on different days read differs by whole steps of the grid:
a job can't slide a window by a minute to learn of that minute.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from chez.errors import NotAllowed
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.manifest import Window

__all__ = ("Period", "bounds", "closed_day", "day_of", "on_grid", "period_of", "shortest")

_LATE: Final = timedelta(hours=-10)
"""Zones further behind than this end a day when in the first ones (+14 hours) the next day is over, too."""


class Period(msgspec.Struct, frozen=True):
    """Whole days from `first` to before `end`."""

    first: date
    end: date


def on_grid(window: Window, day: date) -> date:
    """The last begin of a day, week or month that is not after `day`."""
    match window.grid:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def period_of(window: Window, before: date) -> Period:
    """The last whole steps of a window's grid that end at or before the beginning of the day `before`.

    Raises OverflowError, ValueError when they would begin before the year 1.
    """
    end = on_grid(window, before)
    if window.grid == "month":
        months = end.year * 12 + end.month - 1 - window.last
        return Period(date(months // 12, months % 12 + 1, 1), end)
    return Period(end - timedelta(days=window.last * (7 if window.grid == "week" else 1)), end)


def closed_day(window: Window, today: date) -> date:
    """The day before which every day is over, given the device's day.

    A device's day may begin while the day before still goes on in another zone: for an instant's
    field it is the day before that counts, and one more for the zones that come last.
    """
    if window.zone == "local":
        return today
    before = today - timedelta(days=1)
    offset = datetime.combine(before, time(), _zone(window.zone)).utcoffset()
    return before if offset is not None and offset >= _LATE else before - timedelta(days=1)


def bounds(window: Window, period: Period) -> tuple[str, str]:
    """The texts between which a window's field lies: from the first, to before the second.

    ISO text compares like time. A day stands before every time on it, and an instant without its
    "Z", milliseconds or seconds before the same one with them: rows are compared with a bound's
    `shortest` text. Raises OverflowError at the calendar's ends.
    """
    if window.zone == "local":
        return period.first.isoformat(), period.end.isoformat()
    zone = _zone(window.zone)
    first, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (period.first, period.end))
    return first.replace(tzinfo=None).isoformat(), end.replace(tzinfo=None).isoformat()


def shortest(bound: str) -> str:
    """The shortest text of a bound's instant: no text of that instant stands before it, nor one of an earlier after."""
    for nothing in (":00", ":00", "T00"):
        if not bound.endswith(nothing):
            break
        bound = bound.removesuffix(nothing)
    return bound


def day_of(window: Window, text: str) -> date:
    """The day, in the window's zone, of a field's text; a day alone is its midnight in UTC, as it is compared.

    Raises ValueError.
    """
    if window.zone == "local":
        return date.fromisoformat(text[:10])
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(_zone(window.zone)).date()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise refused(NotAllowed, "zone", zone=name) from None
