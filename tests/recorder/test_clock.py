"""Steps of the wall clock are seen; slewing is not taken for one."""

from recorder.clock import STEP_US, SessionClock, StepDetector


def test_a_step_of_an_hour_and_back_is_seen_once_each() -> None:
    detector, hour_us = StepDetector(), 3_600_000_000
    assert detector.step_us(0, 1_000) is None
    assert detector.step_us(1_000_000, 1_001_000 + hour_us) == hour_us
    assert detector.step_us(2_000_000, 2_001_000 + hour_us) is None
    assert detector.step_us(3_000_000, 3_001_000) == -hour_us


def test_a_clock_that_a_daemon_slews_does_not_step() -> None:
    detector = StepDetector()
    drift_us = 0
    for second in range(1000):
        drift_us += 500
        assert detector.step_us(second * 1_000_000, second * 1_000_000 + drift_us) is None
    assert drift_us > STEP_US


def test_session_time_is_never_negative() -> None:
    assert SessionClock(origin_mono_us=5_000).t_us(4_000) == 0
    assert SessionClock(origin_mono_us=5_000).t_us(7_500) == 2_500
