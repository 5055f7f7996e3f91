"""A camera whose sound is to be recorded, and that gives none: the record says so, the room is told, and its pictures are recorded."""

from pathlib import Path

import pytest

from recorder.contract import control
from recorder.record import entries
from recorder.tracks import NOT_GIVEN
from tests.lab.room import room
from tests.lab.rtsp_camera import elements, rtsp_camera
from tests.recorder.room_in_process import entries_of

pytestmark = [pytest.mark.lab, pytest.mark.skipif("x264enc" not in elements(), reason="needs GStreamer's RTSP server")]
DEVICES = """
[[camera]]
id = "cam"
driver = "rtsp"
url = "{url}"
user = "{user}"
password_file = "{password_file}"
audio = true
"""


def pictures(status: control.Status, least_us: int) -> bool:
    return any(one.track == "cam" and one.written_us >= least_us for one in status.channels)


def test_its_sound_is_missing_for_the_whole_session_while_its_pictures_are_recorded(tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    with rtsp_camera(width=320, height=180, fps=10, gop_s=1, sound="none") as camera:
        password_file.write_text(camera.password, encoding="utf-8")
        with room(tmp_path, DEVICES.format(url=camera.url, user=camera.user, password_file=password_file)) as it:
            it.wait_live("cam")
            status = it.wait(lambda status: any(one.track == "cam-sound" for one in status.alarms), "the alarm")
            assert [(one.code, one.track, one.detail) for one in status.alarms if one.track == "cam-sound"] == [
                ("source_lost", "cam-sound", NOT_GIVEN)
            ]
            record = it.begin()
            it.wait(lambda status: pictures(status, 1_000_000), "a second of pictures")
            assert it.do(control.PauseRequest(state="off_record", actor="clerk")).ok
            assert it.do(control.ResumeRequest(actor="clerk")).ok
            it.wait(lambda status: pictures(status, 3_000_000), "pictures after the pause")
            it.stop()
            said = [entry for entry in entries_of(record) if isinstance(entry, entries.Gap | entries.GapEnd) and entry.track == "cam-sound"]
            assert [type(entry) for entry in said] == [entries.Gap, entries.GapEnd] * 2, "missing but for the pause"
            assert {entry.detail for entry in said if isinstance(entry, entries.Gap)} == {NOT_GIVEN}
            assert it.verify(record).returncode == 0
