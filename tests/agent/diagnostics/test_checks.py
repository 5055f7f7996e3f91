"""What the checks of clock, capture and disk health say of what they see, without devices."""

import json
from pathlib import Path

import pytest

from agent.centre_clock import CentreClock, Difference
from agent.diagnostics.capture import devices, judge
from agent.diagnostics.check import Outcome
from agent.diagnostics.clock import ClockCheck
from agent.diagnostics.rate import bytes_per_s
from agent.diagnostics.smart import SmartCheck, block_device
from agent.diagnostics.smart import judge as judge_smart
from agent.upstream.contract import ClockQuality
from recorder.contract.control import Alarm
from tests.agent.diagnostics.contexts import channel, config, context, status

HERE = {"disk": "primary", "device": "/dev/sda"}


def codes(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.result, one.code) for one in outcome.found]


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (ClockQuality(source="chrony", stratum=3, error_us=5_000), ("good", "clock_good")),
        (ClockQuality(source="chrony", stratum=3, error_us=400_000), ("warning", "clock_wide")),
        (ClockQuality(source="chrony", stratum=3, error_us=4_000_000), ("bad", "clock_wide")),
        (ClockQuality(source="timesyncd"), ("warning", "clock_unbounded")),
        (ClockQuality(source="undisciplined"), ("warning", "clock_undisciplined")),
    ],
)
async def test_a_clock_is_worth_its_bound(tmp_path: Path, quality: ClockQuality, expected: tuple[str, str]) -> None:
    assert codes(await ClockCheck().run(context(config(tmp_path), quality=quality))) == [expected]


@pytest.mark.parametrize(
    ("ahead_us", "error_us", "expected"),
    [(900_000, 10_000, []), (3_000_000, 5_000_000, []), (-3_000_000, 10_000, ["warning"]), (90_000_000, 10_000, ["bad"])],
)
async def test_the_centres_clock_counts_as_far_as_the_way_to_it_allows(
    tmp_path: Path, ahead_us: int, error_us: int, expected: list[str]
) -> None:
    outcome = await ClockCheck().run(context(config(tmp_path), centre=Difference(ahead_us, error_us)))
    assert [one.result for one in outcome.found if one.code == "clock_apart"] == expected


def test_the_centres_word_grows_old() -> None:
    clock = CentreClock()
    assert clock.difference(0.0) is None
    clock.said(1_000_000, 20_000, own_utc_us=1_520_000, now_s=10.0)
    assert clock.difference(20.0) == Difference(500_000, 20_000)
    assert clock.difference(611.0) is None


def test_all_that_delivers_is_good(tmp_path: Path) -> None:
    now = status([channel("cam", 50), channel("judge", 50, rms_dbfs=-40.0, device="table")])
    assert codes(judge(devices(config(tmp_path)), now, {"cam", "judge"}, {"judge": -40.0})) == [("good", "capture_good")]


def test_a_device_that_is_missing_is_named_by_its_label(tmp_path: Path) -> None:
    lost = [Alarm(code="source_lost", track="cam", detail="", since_us=0)]
    now = status([channel("judge", 50, rms_dbfs=-40.0, device="table")], alarms=lost)
    (found,) = judge(devices(config(tmp_path)), now, {"judge"}, {"judge": -40.0}).found
    assert (found.result, found.code, found.values["label"]) == ("bad", "device_missing", "Bench camera")


def test_a_network_camera_that_is_missing_is_named_without_the_secrets_of_its_address(tmp_path: Path) -> None:
    camera = {"id": "door", "driver": "rtsp", "url": "rtsp://192.0.2.7/stream?token=s3cret"}
    (found,) = judge(devices(config(tmp_path, camera=[camera], microphone=[])), status([]), set(), {}).found
    assert (found.code, found.values["host"]) == ("device_unreached", "192.0.2.7")
    assert "s3cret" not in str(found)


def test_a_camera_that_is_open_and_sends_nothing_is_bad(tmp_path: Path) -> None:
    now = status([channel("cam", 50), channel("judge", 50, rms_dbfs=-40.0, device="table")])
    assert codes(judge(devices(config(tmp_path)), now, {"judge"}, {"judge": -40.0})) == [("bad", "track_still")]


def test_digital_silence_is_told_of_one_microphone_and_is_bad_of_all(tmp_path: Path) -> None:
    two = [{"id": "table", "driver": "test-tone", "channels": [{"id": "judge", "number": 1}, {"id": "witness", "number": 2}]}]
    room = devices(config(tmp_path, camera=[], microphone=two))
    now = status([channel("judge", 5, rms_dbfs=-100.0, device="table"), channel("witness", 5, rms_dbfs=-50.0, device="table")])
    assert codes(judge(room, now, {"judge", "witness"}, {"judge": -100.0, "witness": -50.0})) == [("warning", "microphone_dead")]
    dead = judge(room, now, {"judge", "witness"}, {"judge": -100.0, "witness": -120.0})
    assert dead.result == "bad"
    assert ("bad", "room_dead") in codes(dead)


def test_a_drifting_device_and_an_alarm_of_the_recorder_are_told(tmp_path: Path) -> None:
    now = status(
        [channel("cam", 50), channel("judge", 50, rms_dbfs=-40.0, device="table", drift_ppb=-300_000)],
        alarms=[Alarm(code="frozen", track="cam", detail="the picture stands still", since_us=0)],
    )
    outcome = judge(devices(config(tmp_path)), now, {"cam", "judge"}, {"judge": -40.0})
    assert codes(outcome) == [("warning", "track_drifts"), ("warning", "recorder_alarm")]


@pytest.mark.parametrize(
    ("said", "exit_status", "expected"),
    [
        ({"smart_status": {"passed": True}, "temperature": {"current": 41}}, 0, ("good", "smart_good")),
        ({"smart_status": {"passed": True}}, 0x40, ("warning", "smart_worn")),
        ({"smart_status": {"passed": False}}, 0x08, ("bad", "smart_failing")),
        ({}, 2, ("unknown", "smart_silent")),
        ([], 0, ("unknown", "smart_silent")),
    ],
)
def test_a_disks_own_word_is_understood(said: object, exit_status: int, expected: tuple[str, str]) -> None:
    values: dict[str, float] = {}
    found = judge_smart(json.dumps(said).encode(), exit_status, HERE, values)
    assert (found.result, found.code) == expected
    assert values == ({"primary_celsius": 41.0} if "temperature" in str(said) else {})


async def test_without_smartctl_health_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.diagnostics.smart._PATHS", str(tmp_path))
    assert codes(await SmartCheck().run(context(config(tmp_path)))) == [("unknown", "smart_missing")]


def test_a_file_system_without_a_disk_has_none_to_ask() -> None:
    assert block_device(Path("/proc")) is None


def test_the_rate_of_the_last_session_replaces_typical_figures(tmp_path: Path) -> None:
    room = config(tmp_path)
    typical = bytes_per_s(room, None)
    measured = channel("cam", 1)
    long = type(measured)(
        track="cam", kind="video", device="cam", live=True, units=1, dropped=0, bytes_written=60_000_000, written_us=60_000_000
    )
    assert bytes_per_s(room, status([measured])) == typical, "nothing was recorded yet"
    assert bytes_per_s(room, status([long])) == pytest.approx(typical - 320 * 180 * 25 * 0.01 + 1_000_000)
