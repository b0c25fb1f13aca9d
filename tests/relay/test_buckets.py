"""Token buckets against the plainest model, and what they keep of names."""

from hypothesis import given
from hypothesis import strategies as st

from chez_relay.buckets import Bucket, Buckets

steps = st.lists(st.integers(0, 40).map(lambda quarter: quarter / 4), max_size=60)


@given(steps, st.integers(1, 5), st.sampled_from([0.25, 0.5, 2.0]))
def test_no_stretch_of_time_lets_through_more_than_allowed(pauses: list[float], burst: int, rate: float) -> None:
    """Between any two moments at most burst + rate * seconds are let through, and one that may pass is not held."""
    bucket, now, passed = Bucket(burst, rate), 100.0, []
    left, last = float(burst), now
    for pause in pauses:
        now += pause
        left, last = min(burst, left + (now - last) * rate), now
        assert bucket.take(now) is (left >= 1)
        if left >= 1:
            left -= 1
            passed.append(now)
    for at, first in enumerate(passed):
        for count, then in enumerate(passed[at:], 1):
            assert count <= burst + (then - first) * rate


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    """Time that goes back counts as none."""
    bucket = Bucket(2, 1)
    assert [bucket.take(now) for now in (10.0, 5.0, 5.0, 5.5, 6.0)] == [True, True, False, False, True]


def test_what_takes_more_than_there_can_be_is_owed() -> None:
    """It is let through where the bucket is full, and nothing else before it came back."""
    bucket = Bucket(5, 1)
    assert bucket.take(0.0) and not bucket.take(0.0, 8)
    assert bucket.take(1.0, 8)
    assert not bucket.take(4.0, 1) and bucket.take(5.0, 1) and not bucket.take(5.0, 1)
    assert not bucket.full(9.0) and bucket.full(10.0)


def test_names_have_their_own_buckets_which_outlive_their_use() -> None:
    """One name's flood leaves another its burst; a bucket is kept until it is as good as new."""
    buckets = Buckets(2, 1)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0.0)
    buckets.forget_full(1.0)
    assert len(buckets) == 1 and [buckets.take("a", 1.0), buckets.take("a", 1.0)] == [True, False]
    buckets.forget_full(3.0)
    assert len(buckets) == 0
