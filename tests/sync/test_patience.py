"""When a relay is tried again, and when a connection that seems to stand is looked at."""

import math

from hypothesis import given
from hypothesis import strategies as st

from chez.sync.network import ways_out
from chez.sync.patience import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_SILENCE,
    SLOWEST_BYTES,
    STEADY,
    Backoff,
    Pace,
    Silence,
    Sleep,
)
from chez_wire.limits import MAX_FRAME

jitters = st.floats(0, 1)


@given(st.lists(jitters, min_size=1, max_size=3000))
def test_pauses_grow_and_are_bounded(jitters: list[float]) -> None:
    """Each failure doubles the span up to the longest, and a pause is in the upper half of its span."""
    backoff = Backoff()
    for number, jitter in enumerate(jitters):
        span = min(FIRST_PAUSE * 2.0 ** min(number, 60), LONGEST_PAUSE)
        assert math.isclose(backoff.pause(0, jitter), span * (1 + jitter) / 2)


def test_a_night_without_a_network_is_a_few_attempts() -> None:
    """Eight hours in which no relay is reached are at most two hundred attempts, and most of them early ones apart."""
    backoff, passed, attempts = Backoff(), 0.0, 0
    while passed < 8 * 3600:
        passed += backoff.pause(0, 0.0)
        attempts += 1
    assert attempts < 210


def test_a_connection_that_ends_as_soon_as_it_is_made_is_a_failure() -> None:
    """Only one that stood for a while begins the pauses anew, or the surroundings that changed."""
    backoff = Backoff()
    pauses = [backoff.pause(stood, 1.0) for stood in (0, 0, STEADY / 2, STEADY / 2)]
    assert pauses == [FIRST_PAUSE * 2 ** number for number in range(4)]
    assert backoff.pause(STEADY, 1.0) == FIRST_PAUSE
    backoff.pause(0, 1.0)
    backoff.begin_anew()
    assert backoff.pause(0, 1.0) == FIRST_PAUSE


@given(st.floats(0, 1e6), st.lists(st.floats(0, 4), max_size=20))
def test_a_busy_loop_did_not_sleep(begin: float, late: list[float]) -> None:
    """Ticks that are a little late, by both clocks alike, are no sleep."""
    sleep, now = Sleep(20), begin
    assert not sleep.tick(now, now * 3)
    for delay in late:
        before, now = now, now + 20 + delay
        assert not sleep.tick(now, begin * 3 + (now - begin)), (before, now)


@given(st.floats(6, 1e6))
def test_a_device_that_slept_is_noticed(slept: float) -> None:
    """The clock that goes on meanwhile is ahead of the one that stands still, or both jumped: a program was held."""
    asleep, held = Sleep(20), Sleep(20)
    for one in (asleep, held):
        one.tick(100, 5000)
        assert not one.tick(120, 5020)
    assert asleep.tick(140, 5040 + slept)
    assert held.tick(140 + slept, 5040 + slept)


def test_a_clock_that_is_set_back_is_no_sleep() -> None:
    """The wall clock may be put right at any time."""
    sleep = Sleep(20)
    sleep.tick(100, 5000)
    assert not sleep.tick(120, 1000) and not sleep.tick(140, 1020)


def test_the_ways_out_are_addresses() -> None:
    """The routing table gives the same answer twice while nothing changes, at most one for each family."""
    assert ways_out() == ways_out() and len(ways_out()) <= 2


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 3000)), max_size=60))
def test_reading_takes_no_more_spans_than_it_has_parts(steps: list[tuple[float, int]]) -> None:
    """Whatever comes when: who is not given up brought enough in each span, so the whole is bounded by its size."""
    pace, now, came = Pace(100.0, 1000), 0.0, 0
    assert pace.left(now) == 100.0
    for wait, size in steps:
        now += wait
        if pace.left(now) == 0.0:
            return
        pace.came(now, size)
        came += size
        assert now <= 100.0 * (1 + came / 1000)


@given(st.integers(0, 1 << 30), st.integers(0, 999))
def test_a_large_answer_may_be_under_way_for_longer(under_way: int, size: int) -> None:
    """As long as it comes as fast as all else has to; what was no part of it has brought nothing."""
    pace = Pace(100.0, 1000)
    assert pace.left(0.0) == 100.0
    allowed = 100.0 * (1 + min(under_way, MAX_FRAME) / 1000)
    assert math.isclose(pace.left(0.0, under_way), allowed)
    assert pace.left(allowed - 1.0, under_way) > 0.0 == pace.left(allowed + 1.0, under_way)
    pace.came(200.0, size)
    assert pace.left(200.0) == 0.0, "it is what came of that answer alone"
    pace.came(200.0, 1000)
    assert pace.left(200.0) == 100.0


def test_a_relay_that_was_asked_may_take_its_time_and_no_more() -> None:
    """Two minutes without a word, and as much for each 128 KiB that the connection carries meanwhile; half an hour."""
    silence = Silence()
    assert not silence.over(0.0, asked=True, heard=0, carried=0)
    assert not silence.over(119.0, asked=True, heard=0, carried=0)
    assert silence.over(120.0, asked=True, heard=0, carried=0)
    assert not silence.over(359.0, asked=True, heard=0, carried=2 * SLOWEST_BYTES)
    assert silence.over(360.0, asked=True, heard=0, carried=2 * SLOWEST_BYTES)
    assert silence.over(LONGEST_SILENCE, asked=True, heard=0, carried=1 << 40)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_a_word_or_nothing_to_be_asked_begins_the_wait_anew(steps: list[tuple[bool, bool]]) -> None:
    """However long it goes on: only a hundred and twenty seconds on end of being asked and hearing nothing count."""
    silence, waited, heard = Silence(), None, 0
    for number, (asked, hears) in enumerate(steps):
        now, heard = number * 60.0, heard + hears
        waited = 0.0 if asked and (waited is None or hears) else None if not asked else waited + 60.0
        assert silence.over(now, asked=asked, heard=heard, carried=0) == (waited is not None and waited >= 120.0)
