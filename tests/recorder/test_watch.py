"""What is wrong with picture and sound on the disk is told, within ten seconds where the processor is free, and ends when it ends."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab.participants import participants
from tests.lab.room import Room, room
from tests.lab.rtsp_camera import RtspCamera, elements, rtsp_camera

pytestmark = [
    pytest.mark.alone,  # the watch works when nobody else does: on a busy machine it takes as long as it takes
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif("x264enc" not in elements(), reason="the lab's Debian packages are missing"),
]
WITHIN_S = 10.0


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Room, RtspCamera]]:
    with rtsp_camera(width=320, height=180, fps=25, gop_s=2, kbps=500, sound="opus") as camera:
        password = tmp_path / "password"
        password.write_text(camera.password)
        devices = (
            f'[[camera]]\nid = "cam"\ndriver = "rtsp"\nurl = "{camera.url}"\nuser = "{camera.user}"\n'
            f'password_file = "{password}"\naudio = true\n'
        )
        with room(tmp_path / "room", devices, watch=True) as it:
            it.wait_live("cam", "cam-sound")
            yield it, camera


def test_a_still_a_black_and_a_silent_source_raise_their_alarms_and_end_them(watched: tuple[Room, RtspCamera]) -> None:
    it, camera = watched
    record = it.begin()
    it.recorded(5)
    assert not it.wait(lambda _: True, "status").alarms
    for faults in ((("still", "cam", "frozen"), ("silent", "cam-sound", "silent")), (("black", "cam", "black"),)):
        began = time.monotonic()
        for command, _, _ in faults:
            camera.tell(command)  # type: ignore[arg-type]
        for _, track, code in faults:
            it.wait(lambda status, c=code, t=track: any((a.code, a.track) == (c, t) for a in status.alarms), code, timeout_s=WITHIN_S)  # type: ignore[misc]
            assert time.monotonic() - began <= WITHIN_S
        camera.tell("go")
        it.wait(lambda status: not status.alarms, f"the end of {faults}")
    it.stop()
    told = [(entry.code, entry.on) for _, entry in read_journal(record) if isinstance(entry, entries.Alarm)]
    for code in ("frozen", "black", "silent"):
        assert told.count((code, True)) == 1
        assert told.count((code, False)) == 1


def test_bytes_that_rot_on_the_disk_are_noticed_while_recording(tmp_path: Path) -> None:
    with room(tmp_path, watch=True) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        header = record / "tracks" / "judge" / "init-00.mp4"
        assert header.exists()
        segment = record / "tracks" / "judge" / "seg-000000.m4s"
        end = time.monotonic() + WITHIN_S
        # What the disk hands back differs from what was written, as of a failing disk: each new fragment's head is overwritten at once.
        while time.monotonic() < end and not any(a.code == "unreadable" for a in it.wait(lambda _: True, "status").alarms):
            size = segment.stat().st_size
            with segment.open("r+b") as file:
                file.seek(max(0, size - 6000))
                file.write(b"\0" * 6000)
        assert any(alarm.code == "unreadable" for alarm in it.wait(lambda _: True, "status").alarms)


def test_participants_are_watched_as_they_lie_encrypted_on_the_disk(tmp_path: Path) -> None:
    with room(tmp_path, watch=True, extra="[ingest]\nenabled = true\n") as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        with participants(it.run_dir / "ingest.sock", 1) as tracks:
            it.wait(
                lambda status: sum(c.written_us > 4_000_000 for c in status.channels if c.track in tracks) == 2, "their media on the disk"
            )
            segment = record / "tracks" / "remote-p0-audio" / "seg-000000.m4s"
            assert not it.wait(lambda _: True, "status").alarms
            end = time.monotonic() + WITHIN_S
            while time.monotonic() < end and not it.wait(lambda _: True, "status").alarms:
                size = segment.stat().st_size
                with segment.open("r+b") as file:
                    file.seek(max(0, size - 6000))
                    file.write(b"\0" * 6000)
            alarms = it.wait(lambda _: True, "status").alarms
        # Opus packets of zeros are silence, or none at all.
        assert alarms
        assert {alarm.track for alarm in alarms} == {"remote-p0-audio"}
        assert {alarm.code for alarm in alarms} <= {"silent", "unreadable"}
