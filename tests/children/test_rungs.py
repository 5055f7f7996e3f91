"""The low rung of a real network camera that has no small stream: its own child reads the camera's bus stream and serves it smaller."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from recorder.children.bus_server import BusServer, BusStream
from recorder.children.rungs import LATE_US
from recorder.contract import bus, child
from recorder.contract.bus_client import BusClient, BusEndedError
from tests.children.linked import Linked, linked, wait_for
from tests.children.test_capture_rtsp import stanza
from tests.children.test_tracks import camera
from tests.lab import frame_strip
from tests.lab.rtsp_camera import elements, rtsp_camera

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not {"x264enc", "x265enc"} <= elements(), reason="needs GStreamer's RTSP server")]


@contextmanager
def camera_and_rungs(run_dir: Path, codec: str = "h264") -> Iterator[tuple[Linked, Linked]]:
    with (
        rtsp_camera(width=1600, height=900, fps=10, gop_s=1, kbps=3000, sound="none", codec=codec) as seen,
        linked("recorder.children.capture", stanza(seen, run_dir, audio=False), run_dir) as capture,
        linked("recorder.children.rungs", {"id": "rungs", "cameras": ["cam"]}, run_dir) as rungs,
    ):
        capture.first(child.Opened, 20)
        rungs.first(child.Opened)
        yield capture, rungs


def pictures(viewer: BusClient) -> Iterator[int | None]:
    """The frame numbers in all that come."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = viewer.hello.extradata
    assert isinstance(decoder, av.VideoCodecContext)
    while True:
        for frame in decoder.decode(av.Packet(viewer.read()[1])):
            assert (frame.width, frame.height) == (1280, 720)
            yield frame_strip.read(frame.to_ndarray(format="gray").astype(np.uint8))


def numbers(viewer: BusClient, count: int) -> list[int | None]:
    """The frame numbers in the next pictures."""
    return list(itertools.islice(pictures(viewer), count))


def longest_run(shown: list[int | None]) -> int:
    """How many pictures came in a row, none passed over."""
    longest = run = 1
    for earlier, later in itertools.pairwise(shown):
        run = run + 1 if later == (earlier or 0) + 1 else 1
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_viewer_sees_every_picture_smaller_in_a_codec_that_browsers_take(tmp_path: Path, codec: str) -> None:
    with camera_and_rungs(tmp_path, codec), BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
        assert (viewer.hello.codec, viewer.hello.width, viewer.hello.height) == ("h264", 1280, 720)
        shown: list[int | None] = []
        for number in pictures(viewer):
            shown.append(number)
            if longest_run(shown) == 15:
                break
            assert len(shown) < 150, shown  # on a busy machine late ones are passed over
        with BusClient(str(tmp_path), "cam") as reader:
            assert reader.hello.forwardable == (codec == "h264")


def test_the_small_rung_is_made_of_the_low_one_and_takes_a_sixth_of_it(tmp_path: Path) -> None:
    with (
        rtsp_camera(width=1600, height=900, fps=10, gop_s=1, kbps=3000, sound="none") as seen,
        linked("recorder.children.capture", stanza(seen, tmp_path, audio=False), tmp_path) as capture,
        linked("recorder.children.rungs", {"id": "rungs", "cameras": ["cam"], "small": ["cam"]}, tmp_path) as rungs,
    ):
        capture.first(child.Opened, 20)
        rungs.first(child.Opened)
        with BusClient(str(tmp_path), "cam.small", timeout_s=15) as viewer:
            assert (viewer.hello.codec, viewer.hello.width, viewer.hello.height) == ("h264", 480, 270)
            decoder = av.CodecContext.create("h264", "r")
            assert isinstance(decoder, av.VideoCodecContext)
            decoder.extradata = viewer.hello.extradata
            shown, size = 0, 0
            while shown < 20:
                _, body = viewer.read()
                size += len(body)
                shown += len(decoder.decode(av.Packet(body)))
    assert size * 8 / 2 < 500_000


@contextmanager
def bus_camera(run_dir: Path) -> Iterator[BusStream]:
    """A camera that gives two pictures every 80 ms, and says the same time of both."""
    template, packets = camera("libx264", {"g": "10", "bf": "0"}, 100)
    stream = BusServer(str(run_dir), []).stream(
        bus.Hello(stream="cam", kind="video", codec="h264", extradata=template.codec_context.extradata or b"", width=320, height=192)
    )
    done = threading.Event()

    def send() -> None:
        endless = itertools.cycle(packets)
        for pair in zip(endless, endless, strict=True):
            at_us = time.monotonic_ns() // 1000
            for packet in pair:
                stream.publish(at_us, 40_000, key=packet.is_keyframe, data=bytes(packet))
            if done.wait(0.08):
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield stream
    finally:
        done.set()
        sender.join()


def test_a_camera_that_says_the_same_time_of_two_pictures_is_seen_nevertheless(tmp_path: Path) -> None:
    with bus_camera(tmp_path), linked("recorder.children.rungs", {"id": "rungs", "cameras": ["cam"]}, tmp_path) as rungs:
        rungs.first(child.Opened)
        with BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
            times_us = [viewer.read()[0].mono_us for _ in range(15)]
    assert all(earlier < later for earlier, later in itertools.pairwise(times_us))


def all_stopped(pid: int) -> bool:
    """Whether every thread has come to stand: a signal is obeyed a moment after it was sent (proc(5), State)."""
    states = [(task / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


def test_a_picture_that_is_late_is_passed_over_where_another_follows_already(tmp_path: Path) -> None:
    template, packets = camera("libx264", {"g": "100", "bf": "0"}, 16)
    stream = BusServer(str(tmp_path), []).stream(
        bus.Hello(stream="cam", kind="video", codec="h264", extradata=template.codec_context.extradata or b"", width=320, height=192)
    )
    with linked("recorder.children.rungs", {"id": "rungs", "cameras": ["cam"]}, tmp_path) as rungs:
        rungs.first(child.Opened)
        first_us = time.monotonic_ns() // 1000 + 1_000_000  # so that a busy machine still takes it for fresh
        stream.publish(first_us, 40_000, key=True, data=bytes(packets[0]))
        with BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
            assert viewer.read()[0].mono_us == first_us
            os.kill(rungs.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: all_stopped(rungs.pid), "all its threads to stand")
                for number, packet in enumerate(packets[1:], 1):
                    stream.publish(first_us + number * 40_000, 40_000, key=False, data=bytes(packet))
                (reader,) = stream.readers
                wait_for(lambda: not reader.queue and reader.sending is None, "all pictures on their way")
                last_us = first_us + (len(packets) - 1) * 40_000
                wait_for(lambda: time.monotonic_ns() // 1000 > last_us + LATE_US, "the last picture to be late")
            finally:
                os.kill(rungs.pid, signal.SIGCONT)
            assert viewer.read()[0].mono_us == last_us


def test_the_camera_is_read_only_while_somebody_watches(tmp_path: Path) -> None:
    with bus_camera(tmp_path) as stream, linked("recorder.children.rungs", {"id": "rungs", "cameras": ["cam"]}, tmp_path) as rungs:
        rungs.first(child.Opened)
        for _ in range(2):
            assert not stream.watched
            with BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
                viewer.read()
                wait_for(lambda: stream.watched, "the rung at the camera")
            wait_for(lambda: not stream.watched, "the rung to leave the camera")


def test_a_mute_sends_viewers_away_at_once_and_they_may_come_back_after_it(tmp_path: Path) -> None:
    with camera_and_rungs(tmp_path) as (_, rungs), BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
        numbers(viewer, 3)
        began = time.monotonic_ns() // 1000
        rungs.tell(child.Mute(on=True))
        assert rungs.first(child.Muted).at_mono_us - began < 300_000
        with pytest.raises(BusEndedError):
            numbers(viewer, 1000)
        with pytest.raises(BusEndedError), BusClient(str(tmp_path), "cam.low", timeout_s=1) as refused:
            refused.read()
        rungs.tell(child.Mute(on=False))
        wait_for(lambda: len(rungs.all(child.Muted)) == 2, "the end of the mute")
        with BusClient(str(tmp_path), "cam.low", timeout_s=15) as again:
            assert len(numbers(again, 3)) == 3


def test_what_happens_to_the_rung_does_not_reach_the_record(tmp_path: Path) -> None:
    with camera_and_rungs(tmp_path) as (capture, rungs), BusClient(str(tmp_path), "cam.low", timeout_s=15) as viewer:
        from_us = time.monotonic_ns() // 1000
        capture.tell(child.StartPart(from_mono_us=from_us, origin_mono_us=from_us, tracks={"cam": 1}, keys={}))
        numbers(viewer, 3)
        os.kill(rungs.pid, signal.SIGSTOP)  # it hangs in a decoder
        try:
            wait_for(lambda: sum(m.dur / m.timescale for m in capture.all(child.Fragment)) > 3, "three seconds of the record")
        finally:
            os.kill(rungs.pid, signal.SIGCONT)
        assert capture.all(child.Stats)[-1].tracks[0].dropped == 0
        assert not capture.all(child.SourceLost)
