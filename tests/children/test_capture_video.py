"""The capture child with the test picture: what a recording must hold, told by the number in each picture."""

import io
import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from drivers.cameras.frame_code import read_frame_number
from drivers.capabilities import Captured, SourceLostError
from recorder.children.capture import Capture
from recorder.children.encoder import PictureEncoder
from recorder.children.link import Link
from recorder.contract import child
from recorder.contract.bus_client import BusClient
from tests.children.linked import Linked, linked, wait_for

pytestmark = pytest.mark.alone
CAPTURE = "recorder.children.capture"
FPS = 25
DEVICE = {"id": "cam", "driver": "test-pattern", "label": "Bench", "width": 640, "height": 360, "fps": FPS}
KEY = child.MediaKey(key=bytes(range(16)), kid=bytes(range(16, 32)))
OPTIONS: dict[str, Any] = {"encoding": {"h264": "libx264", "preset": "superfast", "crf": 23, "gop_s": 4.0}}


def now_us() -> int:
    return time.monotonic_ns() // 1000


def start(running: Linked, part: int, from_us: int, origin_us: int, key: child.MediaKey | None = None) -> None:
    running.tell(child.StartPart(from_mono_us=from_us, origin_mono_us=origin_us, tracks={"cam": part}, keys={"cam": key} if key else {}))


def ended(running: Linked, part: int, deadline_s: float = 10) -> child.PartEnded:
    return wait_for(lambda: [m for m in running.all(child.PartEnded) if m.part == part], f"the end of part {part}", deadline_s)[0]


def fragments(running: Linked, part: int) -> list[child.Fragment]:
    return [m for m in running.all(child.Fragment) if m.part == part]


def number_in(frame: av.VideoFrame) -> int | None:
    return read_frame_number(frame.to_ndarray(format="gray").astype(np.uint8))


def pictures(data: bytes, key: child.MediaKey | None = None) -> list[tuple[int | None, float, bool]]:
    """Number, session time in seconds and "is a keyframe" of each picture."""
    with av.open(io.BytesIO(data), "r", options={"decryption_key": key.key.hex()} if key else {}) as file:
        return [(number_in(f), float(f.time or 0), f.key_frame) for f in file.decode(video=0)]


def check(running: Linked, part: int, seconds: float, from_us: int, origin_us: int, key: child.MediaKey | None = None) -> None:
    """No picture is missing or doubled, each at its own time on the session clock, from the first due after the start."""
    got = pictures(running.media("cam", part), key)
    numbers = [number for number, _, _ in got]
    first = -(-from_us * FPS // 1_000_000)
    assert numbers == list(range(first, first + len(numbers)))
    assert len(numbers) == pytest.approx(seconds * FPS, abs=1)
    for number, at_s, _ in got:
        assert number is not None
        assert at_s == pytest.approx((number * 1_000_000 // FPS - origin_us) / 1e6, abs=0.0002)
    assert got[0][2], "a part begins with a picture that stands for itself"


def test_a_picture_that_was_encoded_before_the_order_to_end_came_is_not_in_the_record(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        for part in range(1, 20):
            from_us = now_us()
            start(running, part, from_us, from_us)
            number = (now_us() + 400_000) * FPS // 1_000_000
            captured_us = number * 1_000_000 // FPS
            time.sleep((captured_us + 20_000 - now_us()) / 1e6)
            running.tell(child.StopPart(at_mono_us=captured_us - 300))
            if now_us() < captured_us + 35_000:  # else the next picture may have come, and this one was written
                break
        ended(running, part)
        numbers = [shown for shown, _, _ in pictures(running.media("cam", part))]
    assert numbers[-1] == number - 1


class Nobody:
    """A core to which nothing matters."""

    def send(self, _: child.Message, __: bytes = b"") -> None:
        """Hear it."""


def test_an_order_to_end_is_heard_while_the_picture_of_that_moment_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bool] = []
    encode = PictureEncoder.encode

    def encoding(self: PictureEncoder, frame: av.VideoFrame, mono_us: int) -> "list[tuple[av.Packet[Any], int]]":
        order = threading.Thread(target=capture.obey, args=(child.StopPart(at_mono_us=mono_us),))
        order.start()
        order.join(5)
        heard.append(not order.is_alive())
        monkeypatch.setattr(PictureEncoder, "encode", encode)
        source.read = gone  # type: ignore[method-assign]
        return encode(self, frame, mono_us)

    def gone() -> Captured:
        raise SourceLostError("eof", "")

    monkeypatch.setattr(PictureEncoder, "encode", encoding)
    capture = Capture(cast("Link", Nobody()), child.Configure(device=DEVICE, run_dir=str(tmp_path), options=OPTIONS))
    source = capture.open()
    at_us = now_us()
    capture.obey(child.StartPart(from_mono_us=at_us, origin_mono_us=at_us, tracks={"cam": 1}))
    with pytest.raises(SourceLostError):
        capture.run(source)
    assert heard == [True]


def test_a_recording_misses_no_picture_lies_on_the_session_clock_and_is_encrypted(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS, segment_s=2) as running:
        opened = running.first(child.Opened)
        from_us = now_us() + 300_000
        origin_us = from_us - 5_000_000
        start(running, 1, from_us, origin_us, KEY)
        running.tell(child.StopPart(at_mono_us=from_us + 6_000_000))
        end = ended(running, 1)
        check(running, 1, 6, from_us, origin_us, KEY)
        stats = running.all(child.Stats)[-1].tracks[0]
        parts = fragments(running, 1)
    assert opened.tracks == {"cam": "video"}
    assert "libx264" in opened.detail
    assert end.end_us == pytest.approx(11_000_000, abs=40_000)
    assert stats.dropped == 0
    assert stats.bytes > 0
    assert [m.new_segment for m in parts].count(True) == 2, "segments begin with a keyframe: at 0 s, and at the first after 2 s"
    assert all(m.key for m in parts if m.new_segment)
    assert all(m.dur <= 0.53 * m.timescale for m in parts), "a power cut costs less than a second"
    assert all(a.t0 + a.dur == b.t0 for a, b in itertools.pairwise(parts))
    assert running.all(child.Init)[0].label == "Bench"


@pytest.mark.long
def test_a_long_recording_at_720p_misses_no_picture(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE | {"width": 1280, "height": 720}, tmp_path, options=OPTIONS, segment_s=10) as running:
        running.first(child.Opened)
        from_us = now_us() + 300_000
        start(running, 1, from_us, from_us, KEY)
        running.tell(child.StopPart(at_mono_us=from_us + 60_000_000))
        ended(running, 1, 70)
        check(running, 1, 60, from_us, from_us, KEY)


def test_the_first_picture_after_the_button_is_recorded_and_reaches_the_core_within_a_second(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Stats)
        from_us = now_us()
        start(running, 1, from_us, from_us)
        wait_for(lambda: fragments(running, 1), "a fragment")
        took_us = now_us() - from_us
        running.tell(child.StopPart(at_mono_us=now_us()))
        ended(running, 1)
        number = pictures(running.media("cam", 1))[0][0]
    assert number is not None
    # A picture captured while the order was on its way is not waited for.
    assert 0 <= number - -(-from_us * FPS // 1_000_000) <= 1
    assert took_us < 1_000_000


def test_a_new_level_goes_on_in_a_new_part_without_losing_a_picture(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        origin_us = now_us()
        from_us = origin_us + 200_000
        start(running, 1, from_us, origin_us, KEY)
        wait_for(lambda: fragments(running, 1), "part 1")
        change_us = now_us() + 100_000
        start(running, 2, change_us, origin_us)
        ended(running, 1)
        wait_for(lambda: fragments(running, 2), "part 2")
        running.tell(child.StopPart(at_mono_us=now_us()))
        ended(running, 2)
        one, two = pictures(running.media("cam", 1), KEY), pictures(running.media("cam", 2))
    numbers = [number for number, _, _ in one + two]
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers)))
    assert two[0][0] == -(-change_us * FPS // 1_000_000)


def test_muted_nothing_more_is_seen_by_anyone_and_the_record_ends_there(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        from_us = now_us()
        start(running, 1, from_us, from_us)
        wait_for(lambda: fragments(running, 1), "a fragment")
        with BusClient(str(tmp_path), "cam", timeout_s=1.0) as viewer:
            viewer.read()
            asked_us = now_us()
            running.tell(child.StopPart(at_mono_us=asked_us))
            running.tell(child.Mute(on=True))
            muted = running.first(child.Muted)
            assert muted.at_mono_us - asked_us < 200_000
            ended(running, 1)
            seen: list[int] = []
            with pytest.raises(TimeoutError):
                seen.extend(iter(lambda: viewer.read()[0].mono_us, -1))
            assert all(mono_us <= muted.at_mono_us for mono_us in seen)
        with pytest.raises(Exception, match=r"describe|timed out"), BusClient(str(tmp_path), "cam", timeout_s=0.5) as joiner:
            joiner.read()
        last = pictures(running.media("cam", 1))[-1][0]
        assert last is not None
        assert last * 1_000_000 // FPS < asked_us
        running.tell(child.Mute(on=False))
        resumed_us = now_us()
        start(running, 2, resumed_us, from_us)
        wait_for(lambda: fragments(running, 2), "part 2")
        running.tell(child.StopPart(at_mono_us=now_us()))
        ended(running, 2)
        again = pictures(running.media("cam", 2))
        dropped = running.all(child.Stats)[-1].tracks[0].dropped
    assert 0 <= (again[0][0] or 0) - -(-resumed_us * FPS // 1_000_000) <= 1
    assert again[0][2]
    # The mute took a dozen pictures at least; a busy machine's camera may miss one by itself.
    assert dropped < 5, "what was dropped on purpose is no loss"


def test_the_armed_pre_roll_becomes_the_beginning_of_the_record(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        running.tell(child.ArmPreroll(seconds=10))
        armed_us = now_us()
        wait_for(lambda: now_us() > armed_us + 2_700_000, "something to keep")
        pressed_us = now_us()
        start(running, 1, pressed_us - 2_500_000, pressed_us - 2_500_000, KEY)
        wait_for(lambda: sum(m.dur for m in fragments(running, 1)) > 3.5 * 90_000, "the part")
        running.tell(child.StopPart(at_mono_us=now_us()))
        ended(running, 1)
        got = pictures(running.media("cam", 1), KEY)
    numbers = [number or 0 for number, _, _ in got]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert pressed_us - 2_500_000 <= numbers[0] * 1_000_000 // FPS <= pressed_us - 1_400_000
    assert got[0][1] == pytest.approx(numbers[0] / FPS - (pressed_us - 2_500_000) / 1e6, abs=0.001)


def test_a_viewer_gets_the_picture_and_a_small_one_that_is_made_only_while_it_is_watched(tmp_path: Path) -> None:
    device = DEVICE | {"width": 1920, "height": 1080, "fps": 5}
    with linked(CAPTURE, device, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        for stream, size in (("cam", (1920, 1080)), ("cam.low", (1280, 720))):
            with BusClient(str(tmp_path), stream) as viewer:
                decoder = av.CodecContext.create("h264", "r")
                decoder.extradata = viewer.hello.extradata
                assert isinstance(decoder, av.VideoCodecContext)
                shown: list[av.VideoFrame] = []
                while len(shown) < 5:
                    packet, data = viewer.read()
                    assert abs(packet.mono_us - now_us()) < 1_000_000
                    shown += decoder.decode(av.Packet(data))
            assert (viewer.hello.width, viewer.hello.height) == size == (shown[0].width, shown[0].height)
            numbers = [number_in(frame) or 0 for frame in shown]
            assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_a_late_viewer_costs_the_record_no_keyframe_and_one_that_asks_gets_one(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        from_us = now_us()
        start(running, 1, from_us, from_us)
        wait_for(lambda: sum(m.dur for m in fragments(running, 1)) > 90_000, "a second")
        keys = sum(m.key for m in fragments(running, 1))
        with BusClient(str(tmp_path), "cam") as viewer:
            assert viewer.read()[0].key
            count = len(fragments(running, 1))
            wait_for(lambda: len(fragments(running, 1)) > count + 1, "what was captured since")
            assert sum(m.key for m in fragments(running, 1)) == keys
            viewer.request_keyframe()
            wait_for(lambda: sum(m.key for m in fragments(running, 1)) == keys + 1, "a keyframe before the 4 s are over", 1.5)
        running.tell(child.RequestKeyframe(track="cam"))
        wait_for(lambda: sum(m.key for m in fragments(running, 1)) == keys + 2, "the core's keyframe", 1.5)


def test_when_the_core_is_gone_so_is_the_child(tmp_path: Path) -> None:
    running = Linked(CAPTURE)
    running.tell(child.Configure(device=DEVICE, run_dir=str(tmp_path), options=OPTIONS))
    running.first(child.Opened)
    os.kill(running.pid, 15)
    os.kill(running.pid, 2)
    before = len(running.all(child.Stats))
    wait_for(lambda: len(running.all(child.Stats)) > before + 1, "it lives on: only the core ends it")
    assert running.close() == 0


def test_an_unknown_device_is_refused_in_words(tmp_path: Path) -> None:
    with linked(CAPTURE, {"id": "cam", "driver": "telepathy"}, tmp_path) as running:
        lost = running.first(child.SourceLost)
        assert lost.cause == "missing"
        assert "telepathy" in lost.detail
        assert running.ended.wait(5)


def test_the_flash_is_where_the_clock_says(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, options=OPTIONS) as running:
        running.first(child.Opened)
        flash_us = -(-(now_us() + 500_000) // 5_000_000) * 5_000_000
        start(running, 1, flash_us - 400_000, flash_us - 400_000)
        running.tell(child.StopPart(at_mono_us=flash_us + 400_000))
        ended(running, 1)
        with av.open(io.BytesIO(running.media("cam", 1)), "r") as file:
            bright = [float(f.time or 0) for f in file.decode(video=0) if np.mean(f.to_ndarray(format="gray")[40:]) > 200]
    assert bright == pytest.approx([0.4], abs=0.001)
