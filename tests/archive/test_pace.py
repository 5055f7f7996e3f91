from hypothesis import given
from hypothesis import strategies as st

from agent.archive.pace import BURST_S, Pace

RATES = st.one_of(st.integers(1000, 100_000_000), st.just(0))


@given(
    caps=st.tuples(RATES, RATES),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 10_000_000), st.booleans()), min_size=1, max_size=60),
)
def test_no_more_leaves_than_the_caps_of_the_time_allow(caps: tuple[int, int], steps: list[tuple[float, int, bool]]) -> None:
    pace = Pace(caps[0], caps[1])
    now_s, sent, allowed = 100.0, 0, 0.0
    assert pace.allow(1, now_s) == 0
    for wait_s, wanted, hearing in steps:
        rate = pace.rate_bytes_s
        assert rate is not None
        now_s += wait_s
        allowed += rate * wait_s
        pace.set_hearing(now_s, hearing=hearing)
        granted = pace.allow(wanted, now_s)
        assert 0 <= granted <= wanted
        sent += granted
        assert sent <= allowed + max(caps) * BURST_S + 1


@given(rate=st.integers(1000, 100_000_000))
def test_who_waits_as_told_gets_the_whole_cap(rate: int) -> None:
    pace = Pace(rate)
    now_s, sent = 0.0, 0
    while now_s < 10:
        granted = pace.allow(65536, now_s)
        sent += granted
        if not granted:
            now_s += pace.wait_s(65536)
    assert 0.97 * rate * 10 <= sent <= rate * (10 + BURST_S) + 1


def test_the_lower_cap_holds_while_a_hearing_runs_and_no_longer() -> None:
    pace = Pace(10_000_000, 1_000_000)
    pace.allow(1, 0.0)
    pace.set_hearing(1.0, hearing=True)
    assert pace.allow(10_000_000, 1.0) <= 1_000_000 * BURST_S
    assert sum(pace.allow(10_000_000, 1.0 + tick / 10) for tick in range(1, 101)) <= 10_000_000
    pace.set_hearing(11.0, hearing=False)
    assert sum(pace.allow(10_000_000, 11.0 + tick / 10) for tick in range(1, 101)) >= 97_000_000


def test_no_cap_and_a_cap_of_nothing() -> None:
    assert Pace().allow(123_456_789, 0.0) == 123_456_789
    stopped = Pace(None, 0, hearing=True)
    assert [stopped.allow(10, float(second)) for second in range(100)] == [0] * 100
    assert stopped.wait_s(10) > 0
    stopped.set_hearing(100.0, hearing=False)
    assert stopped.allow(10, 100.0) == 10


def test_a_clock_that_goes_back_earns_nothing() -> None:
    pace = Pace(1000)
    pace.allow(1, 1000.0)
    assert pace.allow(1000, 10.0) == 0
    assert pace.allow(1000, 1000.1) == 100
