"""The lab's camera is what it says it is; else no measurement with it means anything."""

import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.lab import frame_strip
from tests.lab.rtsp_camera import RtspCamera, elements, rtsp_camera

HAVE = elements()
pytestmark = [pytest.mark.lab, pytest.mark.skipif("x264enc" not in HAVE, reason="GStreamer's RTSP server is not installed")]
OPTIONS = {"rtsp_transport": "tcp"}


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[RtspCamera]:
    with rtsp_camera(log=tmp_path / "sent") as camera:
        yield camera


def luma(frame: av.VideoFrame) -> frame_strip.Luma:
    return np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)


def open_url(url: str) -> "av.container.InputContainer":
    return av.open(url, options=OPTIONS, timeout=(10.0, 1.5))


@pytest.mark.parametrize("number", [0, 1, 0x55555555, 2**32 - 1])
@pytest.mark.parametrize("size", [(180, 320), (90, 160), (1080, 1920)])
def test_the_number_drawn_is_the_number_read(number: int, size: tuple[int, int]) -> None:
    picture = np.full(size, 90, np.uint8)
    frame_strip.draw(picture, number)
    assert frame_strip.read(picture) == number


def test_a_picture_without_a_number_gives_none() -> None:
    assert frame_strip.read(np.full((180, 320), 16, np.uint8)) is None
    assert frame_strip.read(np.full((180, 320), 235, np.uint8)) is None


def test_pictures_are_numbered_without_a_gap_and_flash_together_with_the_beep(camera: RtspCamera) -> None:
    numbers: list[int | None] = []
    flashes: list[float] = []
    beeps: list[float] = []
    with open_url(camera.authorised_url) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        deadline = time.monotonic() + 20
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                numbers.append(frame_strip.read(luma(frame)))
                # FFmpeg gives no time to pictures before the first sender report has related the two clocks.
                if frame.time is not None and luma(frame)[20:].mean() > 220:
                    flashes.append(frame.time)
            elif isinstance(frame, av.AudioFrame) and frame.time is not None:
                loud = np.flatnonzero(np.abs(frame.to_ndarray()).reshape(-1, frame.layout.nb_channels).max(axis=1) > 0.25)
                if loud.size:
                    beeps.append(frame.time + int(loud[0]) / frame.sample_rate)
            if (len(flashes) > 2 and beeps and max(beeps) > flashes[0] + 0.3) or len(numbers) > 180:
                break
            assert time.monotonic() < deadline
    known = [number for number in numbers if number is not None]
    assert len(known) == len(numbers) > 20
    assert known == list(range(known[0], known[0] + len(known)))
    sent = [int(line.split()[0]) for line in camera.log.read_text().splitlines()] if camera.log else []
    assert set(known) <= set(sent)
    assert min(abs(flash - beep) for flash in flashes for beep in beeps) < 0.04


def test_a_wrong_password_is_refused(camera: RtspCamera) -> None:
    with pytest.raises(av.error.HTTPUnauthorizedError):
        open_url(camera.url)
    with pytest.raises(av.error.HTTPUnauthorizedError):
        open_url(camera.url.replace("://", f"://{camera.user}:guess@"))


def test_the_sub_stream_is_the_same_scene_at_half_the_size(camera: RtspCamera) -> None:
    with open_url(camera.authorised_url.replace("/main", "/sub")) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (160, 90)
        assert frame_strip.read(luma(frame)) is not None


@pytest.mark.parametrize("how", ["freeze", "hang"])
def test_a_frozen_camera_sends_nothing_and_stays_connected(camera: RtspCamera, how: str) -> None:
    with open_url(camera.authorised_url) as container:
        packets = container.demux()
        next(packets)
        if how == "hang":
            camera.hang()
        else:
            camera.tell("freeze")
        with pytest.raises((av.error.ExitError, av.error.TimeoutError)):
            for _ in packets:
                pass


def test_a_still_camera_shows_the_same_number_again_and_again(camera: RtspCamera) -> None:
    with open_url(camera.authorised_url) as container:
        frames = container.decode(video=0)
        first = frame_strip.read(luma(next(frames)))
        camera.tell("still")
        recent: list[int | None] = [first]
        deadline = time.monotonic() + 10
        while len(recent) < 10 or len(set(recent[-10:])) > 1:
            recent.append(frame_strip.read(luma(next(frames))))
            assert time.monotonic() < deadline
        assert recent[-1] is not None


def test_a_killed_camera_ends_the_connection_at_once(camera: RtspCamera) -> None:
    with open_url(camera.authorised_url) as container:
        packets = container.demux()
        next(packets)
        camera.kill()
        killed = time.monotonic()
        for _ in packets:
            pass
        assert time.monotonic() - killed < 2


@pytest.mark.skipif("x265enc" not in HAVE, reason="x265enc is not installed")
def test_h265_and_pcm_are_to_be_had_too() -> None:
    with rtsp_camera(codec="h265", sound="pcmu", fps=10) as camera, open_url(camera.authorised_url) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["hevc", "pcm_mulaw"]
        assert frame_strip.read(luma(next(container.decode(video=0)))) is not None
