"""Which turns of a schedule are due, as a function of days and times."""

from datetime import date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chez_sandbox.consent import schedule as turns
from chez_sandbox.consent.at_work import MOST, OUT_OF_STEP, wait
from chez_sandbox.consent.schedule import JITTER, Repeated, due, jitter, next_due, turn_after, turn_of
from chez_sandbox.consent.scheduler import Look
from tests.tries import tries

SINCE = date(2026, 11, 25)
"""A Wednesday."""

schedules = st.sampled_from(get_args(Repeated))
afters = st.integers(0, JITTER - 1).map(lambda seconds: timedelta(seconds=seconds))


@given(schedules, st.dates(date(1900, 1, 1), date(2200, 1, 1)))
def test_every_day_is_in_one_turn(schedule: str, day: date) -> None:
    """Turns follow each other without a gap, and each day is in the one that began last."""
    turn = turn_of(schedule, day)
    following = turn_after(schedule, turn)
    assert turn <= day < following and turn_of(schedule, turn) == turn
    assert turn_of(schedule, following) == following and turn_of(schedule, following - timedelta(days=1)) == turn


@settings(max_examples=tries(40))
@example("daily", timedelta(hours=3), "last", [0, 4])  # granted before the hour at which its turns begin
@given(schedules, afters, st.sampled_from(["last", "all"]), st.lists(st.integers(0, 500), min_size=1, max_size=12))
def test_no_turn_is_taken_twice_and_none_is_passed_over(
    schedule: Any, after: timedelta, catch_up: Any, hours: list[int]
) -> None:
    """Whenever the device is on, and however often it is restarted, it takes each turn once and in order: all of them,
    or those that were the last ones when it was on; never one from before the grant, or one that has not begun."""
    ran: list[date] = []
    now, lasts = datetime.combine(SINCE, datetime.min.time()), set()
    for step in hours:
        now += timedelta(hours=step)
        found = due(schedule, catch_up, since=SINCE, ran=ran, now=now, after=after)
        newest = turn_of(schedule, (now - after).date())
        lasts |= {newest} if newest >= turn_of(schedule, SINCE) else set()
        assert found == sorted(set(found)) and not set(found) & {turn_of(schedule, day) for day in ran}
        ran += found
        assert due(schedule, catch_up, since=SINCE, ran=ran, now=now, after=after) == []
        following = next_due(schedule, now=now, after=after)
        assert now < following <= now + timedelta(days=31)
        assert ran == sorted(ran)
    if catch_up == "last":
        assert set(ran) == lasts
    else:
        turn, whole = turn_of(schedule, SINCE), []
        while turn <= turn_of(schedule, (now - after).date()):
            whole.append(turn)
            turn = turn_after(schedule, turn)
        assert ran == whole


def test_of_years_in_which_nothing_ran_the_last_turns_are_caught_up_with() -> None:
    """Who catches up with all takes a bounded number, in order: the older ones are let go of."""
    now = datetime.combine(SINCE + timedelta(days=turns.MOST + 100), datetime.min.time())
    found = due("daily", "all", since=SINCE, ran=[], now=now, after=timedelta())
    assert found == [SINCE + timedelta(days=101 + number) for number in range(turns.MOST)]


@given(schedules, afters)
def test_a_turn_that_was_let_go_of_is_not_taken_when_the_clock_goes_back(schedule: Any, after: timedelta) -> None:
    """Summer time ends, or the device travels west, when a turn has just begun: the one before it, which nobody took
    and which was let go of, does not begin then, but those that follow do. Who catches up with all takes it."""
    first = turn_of(schedule, SINCE)
    missed = turn_after(schedule, first)
    turn = turn_after(schedule, missed)
    begun = datetime.combine(turn, datetime.min.time()) + after
    assert due(schedule, "last", since=SINCE, ran=[first], now=begun, after=after) == [turn]
    back = begun - timedelta(hours=1)
    assert due(schedule, "last", since=SINCE, ran=[first, turn], now=back, after=after) == []
    assert due(schedule, "all", since=SINCE, ran=[first, turn], now=back, after=after) == [missed]
    following = turn_after(schedule, turn)
    later = datetime.combine(following, datetime.min.time()) + after
    assert due(schedule, "last", since=SINCE, ran=[first, turn], now=later, after=after) == [following]


@given(schedules, st.integers(0, 60))
def test_a_run_that_the_person_started_takes_its_turn(schedule: Any, days: int) -> None:
    """A run of any day in a turn is that turn's: nothing is due until the next one."""
    now = datetime.combine(SINCE + timedelta(days=days), datetime.min.time())
    today = now.date()
    assert due(schedule, "last", since=SINCE, ran=[today], now=now, after=timedelta()) == []
    following = datetime.combine(turn_after(schedule, turn_of(schedule, today)), datetime.min.time())
    (turn,) = due(schedule, "last", since=SINCE, ran=[today], now=following, after=timedelta())
    assert turn == following.date()


def test_turns_begin_at_another_time_for_each_grant() -> None:
    """The time follows from the grant's seed, lies within some hours of midnight, and is the same after a restart."""
    times = [jitter(bytes([number]) * 32) for number in range(50)]
    assert times == [jitter(bytes([number]) * 32) for number in range(50)]
    assert len(set(times)) == 50 and all(timedelta() <= time < timedelta(seconds=JITTER) for time in times)


@pytest.mark.parametrize(
    ("last", "seconds"),
    [(None, OUT_OF_STEP), (Look(), MOST), (Look(next=datetime(2026, 11, 25, 12, 1)), 60.0),
     (Look(next=datetime(2026, 11, 25, 11)), 0.0), (Look(next=datetime(2026, 12, 1)), MOST)],
)  # fmt: skip
def test_the_next_look_is_in_time(last: Look | None, seconds: float) -> None:
    """It is at the next turn, at most so much later, and soon where the home was not in step."""
    assert wait(last, datetime(2026, 11, 25, 12)) == seconds
