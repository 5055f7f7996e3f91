"""No more comes out of a bucket than it holds and what has come back, and what has come back comes out."""

from hypothesis import given
from hypothesis import strategies as st

from recorder.contract.bucket import Bucket

START_US = 10**15
"""A clock that has run for long."""


@given(
    per_s=st.floats(0.1, 1e6), burst=st.floats(1, 1e6),
    steps=st.lists(st.tuples(st.integers(0, 10_000_000), st.floats(0, 1e6)), max_size=50),
)  # fmt: skip
def test_in_no_time_comes_more_than_the_burst_and_what_came_back(per_s: float, burst: float, steps: list[tuple[int, float]]) -> None:
    bucket, now_us, taken = Bucket(per_s, burst), START_US, 0.0
    for later_us, amount in steps:
        now_us += later_us
        taken += amount if bucket.take(now_us, amount) else 0.0
        assert taken <= (burst + per_s * (now_us - START_US) / 1e6) * 1.000001


def test_it_is_full_at_first_and_whoever_waits_finds_it_full_again() -> None:
    bucket = Bucket(2, 4)
    assert [bucket.take(START_US) for _ in range(5)] == [True] * 4 + [False]
    assert [bucket.take(START_US + 500_000), bucket.take(START_US + 500_000)] == [True, False]
    assert [bucket.take(START_US + 10_000_000) for _ in range(5)] == [True] * 4 + [False]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Bucket(1, 2)
    assert bucket.take(START_US)
    assert bucket.take(START_US - 5_000_000)
    assert not bucket.take(START_US - 5_000_000)
