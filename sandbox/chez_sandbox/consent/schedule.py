"""When a schedule has a job run: its turns, which of them are due, and when there may be another.

A *turn* is the first day of a day, week or month, in which a job runs once, as on that day: its windows end
before it. Nothing is kept of turns: one is taken when the journal has a run of a day in it, whoever started
that. So no turn is taken twice, whatever is restarted or restored, and a run that was cut off was its turn's.

There is no clock here: days and times of the wall are arguments.
"""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, get_args

from chez.crypto import derive
from chez_sandbox.manifest import Manifest

__all__ = (
    "JITTER",
    "MOST",
    "CatchUp",
    "Repeated",
    "awaited",
    "due",
    "is_repeated",
    "jitter",
    "next_due",
    "turn_after",
    "turn_of",
)

Repeated = Literal["daily", "weekly", "monthly", "on-new-data"]
"""The schedules by which a device starts a job by itself. New data is looked for once a day."""

CatchUp = Literal["last", "all"]
"""What becomes of turns that passed while nothing could run: only the last one is taken, or all, in their order."""

JITTER: Final = 4 * 3600
"""Seconds after midnight within which a turn begins: not all devices run and send a job in one moment."""

MOST: Final = 400
"""Turns that are caught up with: more than a year of days. Older ones are let go of."""


def is_repeated(schedule: str) -> bool:
    """Whether a job of this schedule is started by the device."""
    return schedule in get_args(Repeated)


def jitter(seed: bytes) -> timedelta:
    """How long after midnight a grant's turns begin; follows from its seed, which only the person's devices know."""
    return timedelta(seconds=int.from_bytes(derive(seed, "chez/1 schedule jitter"), "big") % JITTER)


def turn_of(schedule: str, day: date) -> date:
    """The turn that a day is in. Weeks begin on Monday (ISO 8601)."""
    if schedule == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if schedule == "monthly" else day


def turn_after(schedule: str, turn: date) -> date:
    """The turn that follows. Raises OverflowError at the calendar's end."""
    if schedule == "monthly":
        return turn.replace(day=1, month=turn.month % 12 + 1, year=turn.year + turn.month // 12)
    return turn + timedelta(days=7 if schedule == "weekly" else 1)


def due(
    schedule: str, catch_up: CatchUp, *, since: date, ran: Iterable[date], now: datetime, after: timedelta
) -> list[date]:
    """The turns to be taken now, first to last.

    `since` is the day of the grant, whose turn is the first; `ran` are the days of all runs under it; `now` is the
    wall's clock, `after` the grant's `jitter`.
    """
    taken = {turn_of(schedule, day) for day in ran}
    newest = turn_of(schedule, (now - after).date())
    turn = turn_of(schedule, since) if catch_up == "all" else max(newest, turn_of(schedule, since))
    if catch_up == "last" and turn_after(schedule, turn) in taken:
        return []  # it was let go of then: the clock went back, as where summer time ends, or to the west
    found = []
    while turn <= newest:
        if turn not in taken:
            found.append(turn)
        turn = turn_after(schedule, turn)
    return found[-MOST:]


def next_due(schedule: str, *, now: datetime, after: timedelta) -> datetime:
    """When the turn begins that follows the one of now, by the wall's clock."""
    following = turn_after(schedule, turn_of(schedule, (now - after).date()))
    return datetime.combine(following, time()) + after


def awaited(manifest: Manifest) -> list[str]:
    """The collections whose new data a job waits for: those it names, or each whose window ends with the newest row."""
    latest = (one.collection for one in manifest.reads if one.window is not None and one.window.until == "latest")
    return manifest.new_data or list(latest)
