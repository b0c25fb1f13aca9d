"""The wall's clock is believed as long as one that nobody sets lets it be."""

from hypothesis import given
from hypothesis import strategies as st

from chez_sandbox.consent.clocks import AHEAD, HOLD, NEWS, Kept, WallClock

STEPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(-(10**6), int(AHEAD))), max_size=8)
"""By how much the clock that nobody sets goes on from one reading to the next, and the wall's beside it."""
LITTLE = st.lists(st.tuples(st.integers(0, int(HOLD)), st.integers(1, int(AHEAD))), min_size=2, max_size=30)


def read_on(clock: WallClock, wall: int, boot: int, steps: list[tuple[int, int]]) -> tuple[int, int]:
    """Read both clocks after each step; they are at last where this says."""
    assert clock.believed(wall, boot)
    for passed, set_by in steps:
        boot, wall = boot + passed, wall + passed + set_by
        assert clock.believed(wall, boot)
        boot, wall = boot + int(HOLD), wall + int(HOLD)
        assert clock.believed(wall, boot)
    return wall, boot


@given(STEPS)
def test_a_clock_that_is_put_right_or_back_is_believed(steps: list[tuple[int, int]]) -> None:
    """However long it sleeps, drifts or is set back, and ahead by an hour at most, where it stands: turns begin."""
    read_on(WallClock(), 10**9, 50, steps)


def test_the_time_is_that_of_before_until_it_is_believed() -> None:
    """While a clock is not believed it is as late as it would be without; then it is as late as it says."""
    clock = WallClock()
    assert (clock.time(1000, 0), clock.time(1060, 60), clock.time(90_000, 120)) == (1000, 1060, 1120)
    assert clock.time(90_000 + HOLD, 120 + HOLD) == 90_000 + HOLD


def test_a_clock_that_is_set_again_has_to_stand_anew() -> None:
    """Ahead for most of an hour and then less ahead, it is believed an hour after it stood so, not before."""
    clock, day = WallClock(), 86_400.0
    assert clock.believed(1e9, 0)
    for boot, ahead, believed in ((10, 9 * day, False), (HOLD, 2 * day, False), (HOLD + 10, 2 * day, False),
                                  (2 * HOLD - 1, 2 * day, False), (2 * HOLD, 2 * day, True)):  # fmt: skip
        assert clock.believed(1e9 + boot + ahead, boot) is believed, boot


@given(STEPS, st.integers(1, 10**9), st.integers(0, int(HOLD) - 1), st.booleans())
def test_a_process_goes_on_with_what_the_one_before_it_knew(
    steps: list[tuple[int, int]], ahead: int, passed: int, again: bool
) -> None:
    """A clock that was set ahead between two processes is not believed by the second, nor by a third, until it stood
    so; after a start of the machine, or where there is no telling, the first reading is."""
    clock = WallClock()
    wall, boot = read_on(clock, 10**9, 50, steps)
    jumped = wall + int(AHEAD) + int(NEWS) + ahead
    clock = WallClock.gone_on(clock.keep("one"), "one")
    assert not clock.believed(jumped, boot)
    clock = WallClock.gone_on(clock.keep("one"), "one")
    assert not clock.believed(jumped + passed, boot + passed)
    if again:
        clock = WallClock.gone_on(clock.keep("one"), "one")
        assert clock.believed(jumped + HOLD, boot + HOLD)
    for kept, start in ((clock.keep("one"), "another"), (clock.keep(""), ""), (None, "one")):
        assert WallClock.gone_on(kept, start).believed(jumped + passed, boot)


def test_what_is_known_of_a_clock_is_kept_when_it_is_news() -> None:
    """Seconds of drift are none; another start of the machine, a clock that was put back or set ahead is."""
    clock = WallClock()
    assert clock.keep("one") is None
    clock.believed(10_000, 10)
    kept = clock.keep("one")
    assert kept is not None and kept.is_news(None) and kept.is_news(Kept("another", kept.offset))
    for drift in (-50, 0, 50):
        clock.believed(10_100 + drift, 110)
        known = clock.keep("one")
        assert known is not None and not known.is_news(kept)
    for wall in (9_000, 90_000):
        clock.believed(wall, 210)
        known = clock.keep("one")
        assert known is not None and known.is_news(kept)


@given(LITTLE)
def test_a_clock_that_is_set_ahead_little_by_little_is_as_far_ahead(steps: list[tuple[int, int]]) -> None:
    """By steps of an hour and less it gets no farther than by one, but for two in each hour that goes by."""
    clock, boot, ahead, most = WallClock(), 0, 0, 0
    assert clock.believed(0, 0)
    for passed, set_by in steps:
        boot, ahead = boot + passed, ahead + set_by
        if clock.believed(boot + ahead, boot):
            most = ahead
        assert most <= AHEAD * (1 + 2 * boot / HOLD)


@given(STEPS, st.integers(1, 10**9), st.lists(st.integers(0, int(HOLD)), max_size=5))
def test_a_clock_that_is_set_ahead_is_not_believed_until_it_stood_so(
    steps: list[tuple[int, int]], ahead: int, looks: list[int]
) -> None:
    """Whatever was before, it is not believed within the hold, however often it is read; then it is, and at once when
    it is put right before."""
    clock = WallClock()
    wall, boot = read_on(clock, 10**9, 50, steps)
    jumped = wall + int(AHEAD) + ahead
    for passed in [0, *sorted(passed for passed in looks if passed < HOLD)]:
        assert not clock.believed(jumped + passed, boot + passed)
    if len(looks) % 2:
        assert clock.believed(wall + HOLD, boot + HOLD)
        assert not clock.believed(jumped + HOLD, boot + HOLD)
    else:
        assert clock.believed(jumped + HOLD, boot + HOLD)


def test_a_clock_that_is_set_ahead_again_has_to_stand_anew() -> None:
    """Who sets it far ahead, and later farther, is not believed for how long the first of both stood."""
    clock, far, farther = WallClock(), int(3 * AHEAD), int(10 * AHEAD)
    assert clock.believed(0, 0)
    assert not clock.believed(far, 0)
    for boot in (HOLD - 1, HOLD, 2 * HOLD - 2):
        assert not clock.believed(farther + boot, boot)
    assert clock.believed(farther + 2 * HOLD, 2 * HOLD)
