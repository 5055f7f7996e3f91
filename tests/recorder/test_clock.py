"""Steps of the wall clock are seen; slewing is not taken for one."""

from recorder.clock import STEP_US, SessionClock, StepDetector, told_by_kernel
from recorder.record.entries import ClockState


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


def test_an_offset_in_nanoseconds_is_told_in_microseconds_and_no_bound_where_nobody_knows_one() -> None:
    nano = 0x2001  # adjtimex(2): STA_NANO and STA_PLL
    assert told_by_kernel(nano, 1_500_000, 20, by_timesyncd=False) == ClockState(source="kernel", offset_us=1_500, error_us=20)
    assert told_by_kernel(0x0001, 1_500, 20, by_timesyncd=False) == ClockState(source="kernel", offset_us=1_500, error_us=20)
    assert told_by_kernel(nano, 1_500_000, 0, by_timesyncd=True) == ClockState(source="timesyncd", offset_us=1_500)
    assert told_by_kernel(0x0040, 0, 0, by_timesyncd=True) == ClockState(source="undisciplined")
