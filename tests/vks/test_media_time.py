"""Where a participant's sound and pictures lie on the record's clock, whatever the network did to them."""

import random

from hypothesis import given
from hypothesis import strategies as st

from vks.media_time import JUMP_US, MediaTime

TICK_US = 20_000


def placed(drift_ppm: float, delays_us: list[int], clock_hz: int = 48_000) -> list[int]:
    """By how much each unit is placed away from its true time, where the least delay is 0."""
    clock, away = MediaTime(clock_hz), []
    for number, delay_us in enumerate(delays_us):
        true_us = number * TICK_US
        timestamp = round(true_us * (1 + drift_ppm / 1e6) * clock_hz / 1e6)
        away.append(clock.place(timestamp, true_us + delay_us + 10**9) - true_us - 10**9)
    return away


def test_jitter_does_not_move_what_was_captured() -> None:
    rng = random.Random(1)
    away = placed(0, [0, *[rng.choice([0, 5_000, 60_000, 150_000]) for _ in range(5_000)]])
    assert max(map(abs, away)) < 1_000


def test_a_peers_clock_that_runs_slow_or_fast_is_followed() -> None:
    rng = random.Random(2)
    for drift_ppm in (-100, 100):
        away = placed(drift_ppm, [rng.choice([0, 2_000, 10_000]) for _ in range(180_000)])  # an hour
        assert max(map(abs, away)) < 5_000


def test_after_a_pause_or_new_timestamps_what_comes_lies_at_its_arrival() -> None:
    clock = MediaTime(90_000)
    clock.place(1_000, 10**9)
    assert clock.place(4_000_000_000, 10**9 + 40_000) == 10**9 + 40_000
    assert clock.place(4_000_003_600, 10**9 + 2 * JUMP_US) == 10**9 + 2 * JUMP_US


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 500_000)), min_size=1, max_size=100))
def test_times_rise_and_never_lie_in_the_future(units: list[tuple[int, int]]) -> None:
    clock, arrival_us, last_us = MediaTime(48_000), 10**9, -1
    for number, (timestamp, later_us) in enumerate(units):
        arrival_us += later_us
        mono_us = clock.place(timestamp, arrival_us)
        assert mono_us > last_us
        assert mono_us <= arrival_us + number
        last_us = mono_us
