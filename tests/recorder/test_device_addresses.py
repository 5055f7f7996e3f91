"""A camera whose password stands in the query of its address: neither the signed journal nor a log or a status may hold it for ever."""

from pathlib import Path

import msgspec
import pytest

from tests.lab.room import room
from tests.lab.rtsp_camera import elements, rtsp_camera

pytestmark = [pytest.mark.lab, pytest.mark.skipif("x264enc" not in elements(), reason="needs GStreamer's RTSP server")]
SECRET = "S3cret-0f-the-camera"
DEVICES = """
[[camera]]
id = "cam"
driver = "rtsp"
url = "{url}?user=admin&password={secret}"
user = "{user}"
password_file = "{password_file}"

[[camera]]
id = "gone"
driver = "rtsp"
url = "rtsp://127.0.0.1:9/gone?user=admin&password={secret}"
"""


def test_no_secret_of_an_address_reaches_journal_log_or_status(tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    with rtsp_camera(width=320, height=180, fps=10, gop_s=1) as camera:
        password_file.write_text(camera.password, encoding="utf-8")
        devices = DEVICES.format(url=camera.url, secret=SECRET, user=camera.user, password_file=password_file)
        with room(tmp_path, devices) as it:
            it.wait_live("cam")
            status = it.wait(
                lambda status: any(alarm.track == "gone" for alarm in status.alarms), "the alarm of the camera that is not there"
            )
            record = it.begin()
            it.wait(lambda status: any(one.track == "cam" and one.written_us > 1_000_000 for one in status.channels), "a second of it")
            it.stop()
    journal = (record / "journal.jsonl").read_bytes()
    assert camera.url.encode() in journal, "the address itself is told"
    said = [journal, it.log.read_bytes(), msgspec.json.encode(status)]
    assert not any(SECRET.encode() in one for one in said)
