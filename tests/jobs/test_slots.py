"""When messages leave: the time follows from the grant and the run's beginning, not from what the run did."""

from hypothesis import given
from hypothesis import strategies as st

from chez_sandbox.consent.pace import Pace
from chez_sandbox.consent.slots import ANSWER, MARGIN, STEPS, Plan, Slots, leaves_at, make_plan, slot_after

MOMENTS = st.integers(0, 4 * 10**12)
SLOTS: st.SearchStrategy[Slots] = st.sampled_from(("hour", "day"))
SEEDS = st.binary(min_size=32, max_size=32)


@given(MOMENTS, st.sampled_from([3600, 86_400]), st.integers(0, 86_399))
def test_a_slot_is_the_first_on_the_grid_that_is_not_over(moment: int, step: int, offset: int) -> None:
    """A slot is less than one step away, never before the moment, and on the grid; a slot is its own next slot."""
    slot = slot_after(moment, step, offset)
    assert 0 <= slot - moment < step and (slot - offset) % step == 0
    assert slot_after(slot, step, offset) == slot


@given(SLOTS, SEEDS, st.floats(0.1, 300), st.booleans(), st.integers(0, 720), MOMENTS, st.data())
def test_the_time_tells_nothing_of_how_long_a_run_took(
    slots: Slots, seed: bytes, seconds: float, asked: bool, hold: int, begun: int, data: st.DataObject
) -> None:
    """However long a run takes within its limit, and a person to answer, the message leaves at one time."""
    plan = make_plan(slots, seed, seconds=seconds, asked=asked, hold_hours=hold)
    took = data.draw(st.integers(0, int(1000 * (seconds + MARGIN + (ANSWER if asked else 0)))))
    assert leaves_at(plan, begun, begun + took) == leaves_at(plan, begun, begun)


@given(st.sampled_from(list(STEPS)), SEEDS, st.floats(0.1, 300), st.integers(1, 720), MOMENTS, st.integers(0, 10**9))
def test_a_held_message_stays_as_long_as_was_said(
    slots: Slots, seed: bytes, seconds: float, hold: int, begun: int, took: int
) -> None:
    """Whatever the slots, what is held is here for all its hours, and then leaves within a step."""
    plan = make_plan(slots, seed, seconds=seconds, asked=False, hold_hours=hold)
    leaves = leaves_at(plan, begun, begun + took)
    assert leaves >= begun + 1000 * (seconds + hold * 3600) and leaves >= begun + took
    assert leaves <= max(begun + 1000 * plan.wait, begun + took) + 1000 * STEPS[slots]


@given(st.lists(st.tuples(st.integers(1, 360), st.floats(0, 1), st.integers(0, 600)), min_size=1, max_size=9))
def test_a_run_counts_as_begun_when_those_before_it_had_their_longest(turns: list[tuple[int, float, int]]) -> None:
    """However long each of them took, with whatever was done between them; after a pause that is longer than all they
    had left, a run counts as begun when it begins."""
    pace, now, counted = Pace(), 1000.0, 1000.0
    for longest, share, between in turns:
        assert abs(now + pace.begin(now, longest) - counted) < 1e-6
        now += longest * share
        pace.passed(now, now + between)
        now, counted = now + between, counted + longest + between
    assert pace.begin(counted + 1, 20) == 0


def test_each_grant_has_slots_of_its_own() -> None:
    """A hundred grants' slots are spread over the hour, and one grant's stay the same."""
    offsets = [make_plan("hour", bytes([n]) * 32, seconds=20, asked=False, hold_hours=0).offset for n in range(100)]
    assert len(set(offsets)) > 90 and min(offsets) < 600 and max(offsets) > 3000
    assert offsets[7] == make_plan("hour", bytes([7]) * 32, seconds=5, asked=True, hold_hours=3).offset


def test_at_once_is_when_the_message_is_made() -> None:
    """Who chose so has no slots and no wait."""
    plan = make_plan("at-once", bytes(32), seconds=20, asked=True, hold_hours=0)
    assert plan == Plan(0, 0, 0) and leaves_at(plan, 100_000, 107_500) == 107_500
