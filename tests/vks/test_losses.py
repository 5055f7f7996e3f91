"""A share of packets lost means something only over enough of them."""

from hypothesis import given
from hypothesis import strategies as st

from vks.losses import LEAST_PACKETS, LEAST_US, Losses


def test_many_small_reports_make_one_share() -> None:
    losses = Losses()
    reports = [(1_000 + 5 * number, number) for number in range(LEAST_PACKETS // 5 + 1)]
    told = [losses.take(highest, lost, number * LEAST_US) for number, (highest, lost) in enumerate(reports)]
    assert told[:-1] == [None] * (len(told) - 1)
    assert told[-1] == 0.2


def test_many_packets_in_a_moment_make_no_share() -> None:
    losses = Losses()
    losses.take(0, 0, 0)
    assert losses.take(100, 50, LEAST_US - 1) is None
    assert losses.take(200, 50, LEAST_US) == 0.25


def test_what_was_lost_before_is_not_told_again() -> None:
    losses = Losses()
    losses.take(0, 0, 0)
    assert losses.take(100, 50, LEAST_US) == 0.5
    assert losses.take(200, 50, 2 * LEAST_US) == 0.0


def test_a_receiver_that_counts_anew_is_counted_anew() -> None:
    losses = Losses()
    losses.take(10_000, 400, 0)
    assert losses.take(20, 0, LEAST_US) is None
    assert losses.take(120, 10, 2 * LEAST_US) == 0.1


def test_what_was_lost_of_something_else_is_not_counted() -> None:
    losses = Losses()
    losses.take(0, 0, 0)
    losses.begin_anew()
    assert losses.take(100, 90, LEAST_US) is None
    assert losses.take(200, 95, 2 * LEAST_US) == 0.05


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(-(1 << 23), (1 << 23) - 1), st.integers(0))))
def test_whatever_a_receiver_says_it_is_a_share(reports: list[tuple[int, int, int]]) -> None:
    losses = Losses()
    for highest, lost, now_us in reports:
        share = losses.take(highest, lost, now_us)
        assert share is None or 0 <= share <= 1
