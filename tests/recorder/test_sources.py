"""Cameras and sound servers that freeze, die and come back: a gap with its cause on their tracks, nothing lost on the others."""

import os
import time
from pathlib import Path

import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback, sound
from tests.lab.room import TEST_DEVICES, Room, room
from tests.lab.rtsp_camera import RtspCamera, elements, rtsp_camera

pytestmark = [
    pytest.mark.alone,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif("x264enc" not in elements() or bool(sound.missing_tools()), reason="the lab's Debian packages are missing"),
]

HOUR_S = 3600


def with_camera(camera: RtspCamera, base: Path) -> str:
    password = base / "password"
    password.write_text(camera.password)
    return (
        f'{TEST_DEVICES}[[camera]]\nid = "ipcam"\ndriver = "rtsp"\nurl = "{camera.url}"\nuser = "{camera.user}"\n'
        f'password_file = "{password}"\n'
    )


def others_are_whole(it: Room, record: Path) -> bool:
    seen = [number for _, number, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
    return it.is_whole([number for number in seen if number is not None])


def gaps(record: Path, track: str) -> list[entries.Gap]:
    return [entry for _, entry in read_journal(record) if isinstance(entry, entries.Gap) and entry.track == track]


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_camera_that_freezes_or_dies_is_told_within_two_seconds_and_comes_back(tmp_path: Path, fault: str) -> None:
    with (
        rtsp_camera(width=320, height=180, fps=25, gop_s=1, kbps=500, sound="none") as camera,
        room(tmp_path, with_camera(camera, tmp_path)) as it,
    ):
        it.wait_live("cam", "judge", "ipcam")
        record = it.begin()
        it.recorded(2)
        if fault == "freeze":
            camera.tell("freeze")
        else:
            camera.kill()
        it.wait(lambda status: any(alarm.track == "ipcam" for alarm in status.alarms), "the alarm", timeout_s=2.5)
        if fault == "freeze":
            camera.tell("go")
            it.wait(lambda status: not status.alarms, "the camera's return")
            it.recorded(2)
        it.stop()
        causes = [gap.cause for gap in gaps(record, "ipcam") if gap.cause != "awaiting_keyframe"]
        assert causes[0] in ({"frozen", "timeout"} if fault == "freeze" else {"eof", "missing", "error"})
        assert others_are_whole(it, record)
        assert (done := it.verify(record)).returncode == 0, done.stdout


def test_a_sound_server_that_dies_costs_its_channels_only(tmp_path: Path) -> None:
    devices = (
        f'{TEST_DEVICES}[[microphone]]\nid = "card"\ndriver = "alsa"\ndevice = "{sound.PCM}"\nchannels = [ {{ id = "m1", number = 1 }} ]\n'
    )
    with sound.sound_lab() as card, room(tmp_path, devices, environment=card.environment) as it:
        it.wait_live("cam", "judge", "m1")
        record = it.begin()
        it.recorded(2)
        card.kill_server()
        it.wait(lambda status: any(alarm.track == "m1" for alarm in status.alarms), "the alarm", timeout_s=2.5)
        it.stop()
        assert gaps(record, "m1")
        assert not gaps(record, "judge")
        assert others_are_whole(it, record)


@pytest.mark.long
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the machine's clock is set forward for some seconds, and back")
def test_a_stepped_wall_clock_is_told_and_disturbs_no_track(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        step_clock(HOUR_S)
        try:
            it.recorded(2)
        finally:
            step_clock(-HOUR_S)
        it.recorded(2)
        it.stop()
        steps = [entry.delta_us for _, entry in read_journal(record) if isinstance(entry, entries.ClockStep)]
        assert [round(step / 1e6 / HOUR_S) for step in steps] == [1, -1]
        assert others_are_whole(it, record)
        assert not gaps(record, "judge")
        assert (done := it.verify(record)).returncode == 0, done.stdout


def step_clock(seconds: int) -> None:
    time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + seconds * 1_000_000_000)
