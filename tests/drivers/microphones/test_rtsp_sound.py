"""Sound of a real RTSP server with digest authentication: tests/lab/rtsp_camera.py."""

import collections
import itertools
import time
from pathlib import Path

import pytest

from drivers.capabilities import Encoded, Sound, SourceLostError
from drivers.registry import open_source
from tests.lab.rtsp_camera import RtspCamera, elements, rtsp_camera

pytestmark = [pytest.mark.lab, pytest.mark.skipif("opusenc" not in elements(), reason="needs GStreamer's RTSP server")]
SMALL = {"width": 320, "height": 180, "fps": 5}


def stanza(camera: RtspCamera, tmp_path: Path, password: str | None = None) -> dict[str, object]:
    secret = tmp_path / "password"
    secret.write_text(password or camera.password)
    return {
        "driver": "rtsp",
        "url": camera.url,
        "user": camera.user,
        "password_file": str(secret),
        "channels": [{"id": "mic", "number": 1}],
    }


def test_opus_is_passed_on_as_it_came_and_a_killed_server_is_told_at_once(tmp_path: Path) -> None:
    with rtsp_camera(sound="opus", **SMALL) as camera:
        source = open_source(stanza(camera, tmp_path))
        packets = [source.read() for _ in range(50)]
        assert source.formats["audio"].codec == "opus"
        times = [packet.device_us for packet in packets if isinstance(packet, Encoded)]
        steps = [b - a for a, b in itertools.pairwise(times)]
        assert steps[1:] == [20_000] * 48, "after the first, which GStreamer shortens by its encoder's delay"
        assert len(times) == 50
        assert camera.password not in source.address
        killed = time.monotonic()
        camera.kill()
        with pytest.raises(SourceLostError) as lost:
            collections.deque(iter(source.read, None), maxlen=0)
        assert lost.value.cause in {"eof", "error"}
        assert time.monotonic() - killed < 2
        source.close()


def test_g711_which_mp4_cannot_hold_is_decoded_to_samples_without_a_hole(tmp_path: Path) -> None:
    with rtsp_camera(sound="pcmu", **SMALL) as camera:
        source = open_source(stanza(camera, tmp_path))
        blocks = [block for block in (source.read() for _ in range(50)) if isinstance(block, Sound)]
        assert source.formats["audio"].codec == "pcm"
        assert len(blocks) == 50
        assert all(b.position == a.position + len(a.samples) for a, b in itertools.pairwise(blocks))
        source.close()


def test_a_frozen_server_is_a_timeout(tmp_path: Path) -> None:
    with rtsp_camera(sound="opus", **SMALL) as camera:
        source = open_source(stanza(camera, tmp_path))
        source.read()
        camera.hang()
        frozen = time.monotonic()
        with pytest.raises(SourceLostError) as lost:
            collections.deque(iter(source.read, None), maxlen=0)
        assert lost.value.cause == "timeout"
        assert time.monotonic() - frozen < 3
        camera.resume()
        source.close()


def test_a_wrong_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    with rtsp_camera(sound="opus", **SMALL) as camera, pytest.raises(SourceLostError) as lost:
        open_source(stanza(camera, tmp_path, "wrong secret"))
    assert "secret" not in lost.value.detail
