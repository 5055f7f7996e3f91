import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.children.drift import DriftFit


def fitted(ppm: float, jitter_us: float, seconds: int, seed: int, latency_us: int = 3_000) -> tuple[DriftFit, float]:
    """A device whose clock runs ``ppm`` fast; blocks of 20 ms arrive late by an exponential jitter."""
    dice = random.Random(seed)
    fitting = DriftFit()
    for block in range(seconds * 50):
        true_us = 5_000_000 + block * 20_000
        late_us = min(200_000.0, dice.expovariate(1 / jitter_us))
        fitting.add(round(block * 20_000 * (1 + ppm / 1e6)), round(true_us + latency_us + late_us))
    return fitting, 5_000_000 + latency_us


@settings(max_examples=15)
@given(ppm=st.floats(-300, 300), jitter_us=st.floats(1, 8_000), seed=st.integers(0, 1000))
def test_drift_is_measured_through_the_jitter_of_a_loaded_machine(ppm: float, jitter_us: float, seed: int) -> None:
    fitting, offset_us = fitted(ppm, jitter_us, 120, seed)
    fit = fitting.fit()
    assert fit is not None
    assert fit.drift_ppb() / 1000 == pytest.approx(ppm, abs=2 + jitter_us / 300)
    for true_s in (60, 119):
        device_us = round(true_s * 1e6 * (1 + ppm / 1e6))
        assert fit.mono_us(device_us) == pytest.approx(true_s * 1e6 + offset_us, abs=500 + jitter_us / 10)


@settings(max_examples=15)
@given(ppm=st.floats(-300, 300), jitter_us=st.floats(1, 8_000), seed=st.integers(0, 1000))
def test_later_at_the_device_is_never_earlier_on_the_room_s_clock(ppm: float, jitter_us: float, seed: int) -> None:
    fitting, _ = fitted(ppm, jitter_us, 30, seed)
    fit = fitting.fit()
    assert fit is not None
    times = [fit.mono_us(device_us) for device_us in range(0, 30_000_000, 99_991)]
    assert times == sorted(times)


def test_the_first_block_has_a_time_at_once() -> None:
    fitting = DriftFit()
    assert fitting.fit() is None
    fitting.add(1_000, 501_000)
    fit = fitting.fit()
    assert fit is not None
    assert fit.mono_us(1_000) == 501_000


def test_the_reported_error_grows_with_what_the_line_does_not_explain() -> None:
    steady, shaken = (fitted(20, jitter_us, 60, 1)[0].fit() for jitter_us in (1, 200_000))
    assert steady is not None
    assert shaken is not None
    assert steady.error_us < 200 < shaken.error_us
