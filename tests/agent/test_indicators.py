"""Indicators: right rates, nothing invented, one table for everything that tells them."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import indicators
from agent.host import HostReader
from agent.indicators import INDICATORS, HostFacts, OutboxFacts, SessionFacts, compose, named, of_delivery, page
from agent.outbox import rolled_up
from agent.rollup import Rollup
from agent.status_history import StatusHistory
from agent.upstream.contract import ClockQuality
from tests.agent.statuses import alarm, disk, sound, status, video

ROOT = Path(__file__).parents[2]
CLOCK = ClockQuality(source="chrony", stratum=2, error_us=2_500)


def minute(history: StatusHistory, seconds: int = 30, fps: int = 25, start_s: float = 0.0) -> float:
    """A camera and a microphone as they should be, five states a second; returns the last moment."""
    for step in range(seconds * 5 + 1):
        at_s = start_s + step / 5
        since_s = step / 5
        camera = video(units=int(since_s * fps), written_us=int(since_s * 1e6), bytes_written=int(since_s * 500_000))
        history.feed(status(camera, sound(units=step, written_us=int(since_s * 1e6)), t_us=int(since_s * 1e6)), at_s)
    return start_s + seconds


def test_rates_are_those_of_the_last_minute() -> None:
    history = StatusHistory()
    values = history.values(minute(history))
    assert values["frames_per_s.cam"] == pytest.approx(25, rel=0.05)
    assert values["track_bytes_per_s.cam"] == pytest.approx(500_000, rel=0.05)
    assert values["dropped_per_min.cam"] == 0
    assert values["write_p99_ms"] == 9.0
    assert values["disk_hours_left"] == 10.0
    assert "frames_per_s.judge" not in values, "sound has no frames"


def test_what_is_not_known_is_absent() -> None:
    history = StatusHistory()
    assert compose(history, 0.0) == {}
    history.feed(status(video(units=5), state="idle", record="", disks=[disk("ready", None)]), 0.0)
    values = history.values(0.0)
    assert "disk_hours_left" not in values
    assert "frames_per_s.cam" not in values, "one look is no rate"
    assert "session_duration_s" not in values


def test_sound_and_picture_lie_as_far_apart_as_their_worst_clocks_let_them() -> None:
    history = StatusHistory()
    microphones = [sound("judge", misplaced_us=900), sound("party", misplaced_us=2_000), sound("room-out", misplaced_us=9_000)]
    cameras = [video("bench", misplaced_us=5_000), video("hall", misplaced_us=700), video("gone", misplaced_us=80_000, live=False)]
    history.feed(status(*cameras, *microphones), 0.0)
    assert history.values(0.0)["av_skew_ms"] == 7.0
    history.feed(status(*cameras, sound("judge")), 1.0)
    assert "av_skew_ms" not in history.values(1.0), "of no microphone the clock was measured"


def test_a_device_that_was_started_anew_makes_no_negative_rate() -> None:
    history = StatusHistory()
    at_s = minute(history, 10)
    history.feed(status(video(units=3, written_us=10_000_000, bytes_written=10**9), sound()), at_s + 1)
    values = history.values(at_s + 1)
    assert "frames_per_s.cam" not in values
    history.feed(status(video(units=103, written_us=10_000_000, bytes_written=10**9), sound()), at_s + 5)
    assert history.values(at_s + 5)["frames_per_s.cam"] == 25, "it is counted from its new start"
    assert all(value >= 0 for key, value in values.items() if not key.startswith("rms_dbfs"))


def test_a_new_session_does_not_inherit_the_gaps_of_the_one_before() -> None:
    history = StatusHistory()
    history.feed(status(video(gap="source_lost")), 0.0)
    history.feed(status(video(gap="source_lost")), 4.0)
    assert history.values(4.0)["longest_gap_ms"] == 4000
    history.feed(status(video()), 5.0)
    assert history.values(5.0)["longest_gap_ms"] == 4000, "it stays the longest of this session"
    history.feed(status(video(), record="/records/two"), 6.0)
    assert history.values(6.0)["longest_gap_ms"] == 0


def test_silence_and_stillness_count_from_their_first_alarm_and_end_with_it() -> None:
    history = StatusHistory()
    for at_s in range(10):
        history.feed(status(video(), sound(), alarms=[alarm("silent", "judge"), alarm("room_silent"), alarm("frozen", "cam")]), float(at_s))
    values = history.values(9.0)
    assert (values["silence_s.judge"], values["silence_s.room"], values["picture_still_s.cam"]) == (9.0, 9.0, 9.0)
    history.feed(status(video(), sound()), 10.0)
    assert not any(key.startswith("silence_s") for key in history.values(10.0))


def test_clipping_is_the_share_of_looks_in_which_it_was_too_loud() -> None:
    history = StatusHistory()
    for step in range(100):
        history.feed(status(sound(clipped=3 if step % 4 == 0 else 0)), step / 5)
    assert history.values(20.0)["clipping_percent.judge"] == pytest.approx(25, abs=1)


def test_a_recorder_that_was_away_leaves_no_rates_behind() -> None:
    history = StatusHistory()
    at_s = minute(history, 10)
    history.away()
    assert history.values(at_s) == {}


def test_every_value_that_the_room_composes_is_in_the_table() -> None:
    history = StatusHistory()
    at_s = minute(history, 5)
    history.feed(status(video(), sound(), alarms=[alarm("source_lost", "cam"), alarm("record_damaged")]), at_s + 1)
    session = SessionFacts(late_start_s=3, start_delay_s=0.2, scheduled_not_recorded=0, recorded_unscheduled=1, pauses=2, offset_lag_s=4)
    outbox = OutboxFacts(outbox_depth=7, outbox_oldest_s=12.5, outbox_quarantined=0)
    delivery = {"upload_pending_records": 1.0, "upload_pending_gib": 0.5, "upload_oldest_pending_h": 2.0, "upload_rate_mib_s": 3.0}
    values = compose(history, at_s + 1, session=session, outbox=outbox, host=HostReader(None).read(CLOCK), told=delivery)
    assert values["outbox_depth"] == 7.0
    assert values["hash_mismatches"] == 1.0
    assert values["clock_error_ms"] == 2.5
    assert all(math.isfinite(value) for value in values.values())
    with pytest.raises(KeyError):
        compose(history, at_s, told={"invented": 1.0})


def test_the_delivery_tells_its_own_values_and_no_others() -> None:
    told = {"upload_pending_records": 1.0, "invented": 1.0, "cpu_percent": 5.0, "upload_rate_mib_s.track": 2.0, "": 1.0}
    assert of_delivery(told) == {"upload_pending_records": 1.0}
    assert compose(StatusHistory(), 0.0, told=of_delivery(told)) == {"upload_pending_records": 1.0}


def test_facts_and_table_have_the_same_names() -> None:
    for facts in (SessionFacts, OutboxFacts, HostFacts):
        assert set(facts.__dataclass_fields__) <= set(indicators.BY_NAME)


def test_names_are_unique_and_end_in_their_unit_for_prometheus() -> None:
    assert len({one.metric for one in INDICATORS}) == len({one.name for one in INDICATORS}) == len(INDICATORS)
    for one in INDICATORS:
        assert one.metric.startswith("courtroom_")
        assert not one.metric.endswith(("_ms", "_gib", "_percent", "_h")), "base units"


def test_the_page_of_indicators_is_current() -> None:
    said = "run: python -m agent.indicators > docs/indicators.md"
    assert (ROOT / "docs/indicators.md").read_text(encoding="utf-8") == page(), said


KEYS = st.sampled_from(["outbox_depth", "disk_hours_left", "rms_dbfs.judge", "silence_s.room"])
LOOKS = st.lists(st.dictionaries(KEYS, st.integers(-100, 100).map(float), min_size=1), min_size=1, max_size=20)


@given(LOOKS)
def test_a_span_tells_mean_and_worst_of_what_was_looked_at(looks: list[dict[str, float]]) -> None:
    rollup = Rollup(0)
    for look in looks:
        rollup.add(look)
    measured = rollup.take(60_000_000)
    assert measured is not None
    for key in {key for look in looks for key in look}:
        seen = [look[key] for look in looks if key in look]
        assert measured.values[key] == pytest.approx(sum(seen) / len(seen), abs=0.001)
        end = named(key)[0].worst
        assert measured.values.get(f"{key}_max") == (max(seen) if end == "high" else None)
        assert measured.values.get(f"{key}_min") == (min(seen) if end == "low" else None)
    assert rollup.take(120_000_000) is None, "nothing is told twice"


@given(st.lists(LOOKS, min_size=1, max_size=4))
def test_spans_that_wait_in_the_outbox_keep_their_worst(parts: list[list[dict[str, float]]]) -> None:
    spans = []
    rollup = Rollup(0)
    for number, looks in enumerate(parts, start=1):
        for look in looks:
            rollup.add(look)
        taken = rollup.take(number * 60_000_000)
        assert taken is not None
        spans.append(taken)
    merged = rolled_up(spans)
    silences = [look["silence_s.room"] for looks in parts for look in looks if "silence_s.room" in look]
    assert merged.values.get("silence_s.room_max") == (max(silences) if silences else None)
    hours = [look["disk_hours_left"] for looks in parts for look in looks if "disk_hours_left" in look]
    assert merged.values.get("disk_hours_left_min") == (min(hours) if hours else None)
