"""The counts behind locking: how long nobody was served, and how long a wrong passphrase makes wait."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.agent.idle import LONGEST_WAIT, Guesses, Idle, awake_clock

SECONDS = st.floats(0, 1e6)


@given(st.floats(1, 1e5), st.lists(st.tuples(st.sampled_from(["wait", "begin", "end", "touch"]), SECONDS)))
def test_it_is_idle_so_long_after_the_last_one_was_served(limit: float, steps: list[tuple[str, float]]) -> None:
    """Whatever comes and goes: while somebody is served never, and else exactly so long after the last end or touch."""
    now, served, last = 0.0, 0, 0.0
    idle = Idle(limit, now)
    for what, seconds in steps:
        now += seconds
        if what == "begin":
            served += 1
            idle.begin()
        elif what == "end" and served:
            served -= 1
            last = now
            idle.end(now)
        elif what == "touch":
            last = now
            idle.touch(now)
        assert idle.left(now) == (math.inf if served else max(0.0, last + limit - now))


@given(st.lists(st.booleans(), max_size=60), st.floats(0, 1e9))
def test_each_wrong_passphrase_makes_wait_twice_as_long(tries: list[bool], now: float) -> None:
    """1, 2, 4 seconds and so on up to a minute; a right one forgets that."""
    guesses, wrong = Guesses(), 0
    for right in tries:
        now += guesses.wait(now)
        assert guesses.wait(now) < 1e-6
        if right:
            guesses.right()
            wrong = 0
            assert guesses.wait(now) == 0
        else:
            guesses.wrong(now)
            assert guesses.wait(now) == pytest.approx(min(2.0**wrong, LONGEST_WAIT), abs=1e-6)
            wrong += 1


def test_the_clock_goes_on() -> None:
    """It never goes back."""
    first = awake_clock()
    assert awake_clock() >= first
