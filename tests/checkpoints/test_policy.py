"""When a device makes a checkpoint by itself."""

from hypothesis import given
from hypothesis import strategies as st

from chez.sync.checkpoints.policy import ENOUGH, worth

SIZES = st.integers(0, 2**40)


def test_small_spaces_are_left_alone() -> None:
    """Nothing is made of a few megabytes, nor of less than a checkpoint that is there."""
    assert not worth(ENOUGH, 0, 0) and worth(ENOUGH + 1, 0, 0)
    assert not worth(2 * ENOUGH, 2 * ENOUGH, 0) and worth(4 * ENOUGH + 1, 2 * ENOUGH, 0)


@given(SIZES, SIZES, st.integers(0, 50))
def test_who_comes_later_waits_for_more(growth: int, held: int, rank: int) -> None:
    """If it is worth it for one device it is for each before it, and the more there is the sooner."""
    if worth(growth, held, rank + 1):
        assert worth(growth, held, rank) and worth(growth + 1, held, rank + 1)
