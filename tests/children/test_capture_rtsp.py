"""The capture child with a real network camera: GStreamer's RTSP server."""

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recorder.contract import child
from recorder.contract.bus_client import BusClient
from tests.children.linked import Linked, linked, wait_for
from tests.lab import frame_strip
from tests.lab.rtsp_camera import RtspCamera, elements, rtsp_camera

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not {"opusenc", "x264enc"} <= elements(), reason="needs GStreamer's RTSP server")]
CAPTURE = "recorder.children.capture"
KEY = child.MediaKey(key=bytes(range(16)), kid=bytes(16))
SMALL = {"width": 640, "height": 360, "fps": 10, "gop_s": 1}


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    with rtsp_camera(sound="opus", **SMALL) as running:
        yield running


def stanza(camera: RtspCamera, tmp_path: Path, **more: Any) -> dict[str, Any]:
    secret = tmp_path / "password"
    secret.write_text(camera.password)
    return {"id": "cam", "driver": "rtsp", "url": camera.url, "user": camera.user, "password_file": str(secret), "audio": True} | more


def now_us() -> int:
    return time.monotonic_ns() // 1000


def start(running: Linked, tracks: tuple[str, ...] = ("cam", "cam-sound")) -> int:
    from_us = now_us()
    running.tell(
        child.StartPart(from_mono_us=from_us, origin_mono_us=from_us, tracks=dict.fromkeys(tracks, 1), keys=dict.fromkeys(tracks, KEY))
    )
    return from_us


def recorded_s(running: Linked, track: str) -> float:
    return sum(m.dur / m.timescale for m in running.all(child.Fragment) if m.track == track)


def opened(running: Linked, track: str) -> Any:
    return av.open(io.BytesIO(running.media(track)), "r", options={"decryption_key": KEY.key.hex()})


def number_in(frame: av.VideoFrame) -> int | None:
    return frame_strip.read(frame.to_ndarray(format="gray").astype(np.uint8))


def numbers(running: Linked) -> list[int | None]:
    with opened(running, "cam") as file:
        return [number_in(frame) for frame in file.decode(video=0)]


def test_picture_and_sound_are_recorded_as_the_camera_made_them_and_together_in_time(camera: RtspCamera, tmp_path: Path) -> None:
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        says = running.first(child.Opened, 15)
        assert says.tracks == {"cam": "video", "cam-sound": "audio"}
        start(running)
        wait_for(lambda: recorded_s(running, "cam") > 5.3 and recorded_s(running, "cam-sound") > 5.3, "a flash", 15)
        running.tell(child.StopPart(at_mono_us=now_us()))
        wait_for(lambda: len(running.all(child.PartEnded)) == 2, "the end")
        got = numbers(running)
        assert got == list(range(got[0] or 0, (got[0] or 0) + len(got)))
        with opened(running, "cam") as file:
            flashes = [f.time for f in file.decode(video=0) if np.mean(f.to_ndarray(format="gray")[40:]) > 200]
        with opened(running, "cam-sound") as file:
            frames = list(file.decode(audio=0))
        inits = {m.track: m for m in running.all(child.Init)}
        stats = {track.track: track for track in running.all(child.Stats)[-1].tracks}
        all_said = repr([message for message, _ in running.said])
    assert (inits["cam"].codec, inits["cam"].width, inits["cam-sound"].codec) == ("h264", 640, "opus")
    sound = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames])
    loud = np.flatnonzero(np.abs(sound) > 0.2)
    beep_s = float(frames[0].time or 0) + loud[0] / frames[0].sample_rate
    assert min(abs(beep_s - flash_s) for flash_s in flashes) < 0.12, "lips: picture and sound belong together"
    assert stats["cam"].dropped == 0
    assert camera.password not in all_said
    assert camera.password not in says.address


def test_a_frozen_camera_is_noticed_in_two_seconds_and_a_killed_one_at_once_and_what_it_gave_is_kept(tmp_path: Path) -> None:
    for harm, limit_s in (("hang", 2.4), ("kill", 1.0)):
        with rtsp_camera(**SMALL) as camera, linked(CAPTURE, stanza(camera, tmp_path, audio=False), tmp_path) as running:
            running.first(child.Opened, 15)
            start(running, ("cam",))
            wait_for(lambda running=running: recorded_s(running, "cam") > 1, "a second")  # type: ignore[misc]
            getattr(camera, harm)()
            began = time.monotonic()
            lost = running.first(child.SourceLost, 10)
            assert time.monotonic() - began < limit_s
            assert lost.cause in ({"timeout"} if harm == "hang" else {"eof", "error"})
            assert running.ended.wait(5)
            kinds = [type(message) for message, _ in running.said]
            assert kinds.index(child.PartEnded) < kinds.index(child.SourceLost), "the last half second is handed over first"
            got = numbers(running)
            assert got == list(range(got[0] or 0, (got[0] or 0) + len(got)))


def test_a_mute_is_answered_while_the_camera_gives_nothing(camera: RtspCamera, tmp_path: Path) -> None:
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.first(child.Opened, 15)
        camera.hang()
        began = now_us()
        running.tell(child.StopPart(at_mono_us=began))
        running.tell(child.Mute(on=True))
        assert running.first(child.Muted).at_mono_us - began < 300_000


def test_a_mute_is_answered_while_the_camera_is_still_being_opened(camera: RtspCamera, tmp_path: Path) -> None:
    camera.hang()
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.tell(child.Mute(on=True))
        running.first(child.Muted, 3)
        assert not running.all(child.Opened)
        camera.resume()
        running.first(child.Stats, 15)
        with pytest.raises(Exception, match=r"timed out|describe"), BusClient(str(tmp_path), "cam", timeout_s=0.5) as viewer:
            viewer.read()


def test_a_refused_password_is_told_without_the_password(camera: RtspCamera, tmp_path: Path) -> None:
    device = stanza(camera, tmp_path)
    Path(device["password_file"]).write_text("not the password")
    with linked(CAPTURE, device, tmp_path) as running:
        lost = running.first(child.SourceLost, 15)
        assert running.ended.wait(5)
    assert lost.cause == "error"
    assert "not the password" not in lost.detail


def test_the_small_stream_is_fetched_only_while_somebody_watches_it(tmp_path: Path) -> None:
    log = tmp_path / "camera.log"
    with (
        rtsp_camera(log=log, **SMALL) as camera,
        linked(CAPTURE, stanza(camera, tmp_path, audio=False, sub_url=camera.sub_url), tmp_path) as running,
    ):
        running.first(child.Opened, 15)
        with BusClient(str(tmp_path), "cam.low") as viewer:
            assert (viewer.hello.width, viewer.hello.height) == (320, 180)
            decoder = av.CodecContext.create("h264", "r")
            decoder.extradata = viewer.hello.extradata
            assert isinstance(decoder, av.VideoCodecContext)
            shown: list[int | None] = []
            while len(shown) < 10:
                shown += [number_in(f) for f in decoder.decode(av.Packet(viewer.read()[1]))]
        assert all(b == (a or 0) + 1 for a, b in itertools.pairwise(shown))
        assert not running.all(child.SourceLost)


def test_the_camera_s_own_clock_comes_with_its_sender_reports(camera: RtspCamera, tmp_path: Path) -> None:
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.first(child.Opened, 15)
        report = running.first(child.SenderReportSeen, 20)
        assert abs(report.ntp_us - time.time_ns() // 1000) < 30_000_000
        assert abs(report.mono_us - now_us()) < 30_000_000


def test_the_pre_roll_of_encoded_picture_and_sound_is_the_head_of_the_record(camera: RtspCamera, tmp_path: Path) -> None:
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.first(child.Opened, 15)
        running.tell(child.ArmPreroll(seconds=10))
        armed_us = now_us()
        wait_for(lambda: now_us() - armed_us > 4_000_000, "four seconds that nobody asked for yet")
        assert not running.all(child.Fragment), "it is kept in memory alone"
        from_us = now_us() - 3_000_000
        tracks = ("cam", "cam-sound")
        running.tell(
            child.StartPart(from_mono_us=from_us, origin_mono_us=from_us, tracks=dict.fromkeys(tracks, 1), keys=dict.fromkeys(tracks, KEY))
        )
        wait_for(lambda: min(recorded_s(running, track) for track in tracks) > 4, "what was before, and more", 15)
        running.tell(child.StopPart(at_mono_us=now_us()))
        wait_for(lambda: len(running.all(child.PartEnded)) == 2, "the end")
        begins_s = {track: next(m.t0 / m.timescale for m in running.all(child.Fragment) if m.track == track) for track in tracks}
        got = numbers(running)
        with opened(running, "cam-sound") as file:
            holes = [b.pts - a.pts - a.samples for a, b in itertools.pairwise(file.decode(audio=0))]
    assert begins_s["cam"] < 1.3, "with the first keyframe of that time"
    assert begins_s["cam-sound"] < 0.1
    assert got == list(range(got[0] or 0, (got[0] or 0) + len(got)))
    assert max(map(abs, holes)) <= 5, "a tenth of a millisecond: no hole that anybody hears"


def test_a_pause_wipes_the_pre_roll_of_encoded_sound(camera: RtspCamera, tmp_path: Path) -> None:
    with linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.first(child.Opened, 15)
        running.tell(child.ArmPreroll(seconds=10))
        armed_us = now_us()
        wait_for(lambda: now_us() - armed_us > 2_000_000, "two seconds")
        running.tell(child.Mute(on=True))
        running.first(child.Muted)
        running.tell(child.Mute(on=False))
        told_us = now_us()
        from_us = told_us - 2_000_000
        running.tell(child.StartPart(from_mono_us=from_us, origin_mono_us=from_us, tracks={"cam-sound": 1}, keys={"cam-sound": KEY}))
        fragment = wait_for(lambda: running.all(child.Fragment), "a fragment")[0]
    assert fragment.t0 / fragment.timescale > 1.8, "nothing of before the pause is there"


def test_a_new_level_takes_the_sound_at_once_and_pictures_with_the_camera_s_next_keyframe(tmp_path: Path) -> None:
    tracks = ("cam", "cam-sound")
    with rtsp_camera(sound="opus", **SMALL | {"gop_s": 2}) as camera, linked(CAPTURE, stanza(camera, tmp_path), tmp_path) as running:
        running.first(child.Opened, 15)
        origin_us = start(running)
        wait_for(lambda: min(recorded_s(running, track) for track in tracks) > 1, "a second", 15)
        change_us = now_us()
        keys = dict.fromkeys(tracks, child.MediaKey(key=bytes(16), kid=bytes(16)))
        running.tell(child.StartPart(from_mono_us=change_us, origin_mono_us=origin_us, tracks=dict.fromkeys(tracks, 2), keys=keys))
        wait_for(lambda: {m.track for m in running.all(child.Fragment) if m.part == 2} == set(tracks), "the new part", 15)
        running.tell(child.StopPart(at_mono_us=now_us()))
        wait_for(lambda: len(running.all(child.PartEnded)) == 4, "the ends")
        pictures: list[int | None] = []
        for part, key in ((1, KEY.key), (2, bytes(16))):
            with av.open(io.BytesIO(running.media("cam", part)), "r", options={"decryption_key": key.hex()}) as file:
                pictures += [number_in(frame) for frame in file.decode(video=0)]
    change_s = (change_us - origin_us) / 1e6
    begins_s = {m.track: m.t0 / m.timescale for m in reversed(running.all(child.Fragment)) if m.part == 2}
    sound_ends_s = next(m.end_us or 0 for m in running.all(child.PartEnded) if (m.track, m.part) == ("cam-sound", 1)) / 1e6
    assert change_s - 0.005 <= begins_s["cam-sound"] < change_s + 0.1
    assert sound_ends_s == pytest.approx(begins_s["cam-sound"], abs=0.05)
    assert change_s <= begins_s["cam"] < change_s + 2.3
    assert pictures == list(range(pictures[0] or 0, (pictures[0] or 0) + len(pictures))), "none is lost between the levels"


def test_a_pause_before_the_new_level_s_keyframe_is_kept_by_the_pictures_too(tmp_path: Path) -> None:
    with rtsp_camera(**SMALL | {"gop_s": 5}) as camera, linked(CAPTURE, stanza(camera, tmp_path, audio=False), tmp_path) as running:
        running.first(child.Opened, 15)
        origin_us = start(running, ("cam",))
        wait_for(lambda: recorded_s(running, "cam") > 1, "a second", 15)
        pause_us = now_us()
        running.tell(child.StartPart(from_mono_us=pause_us - 1000, origin_mono_us=origin_us, tracks={"cam": 2}, keys={"cam": KEY}))
        running.tell(child.StopPart(at_mono_us=pause_us))
        wait_for(lambda: len(running.all(child.PartEnded)) == 2, "the ends of both", 3)
        ends_us = {m.part: m.end_us for m in running.all(child.PartEnded)}
    assert ends_us[1] is not None
    assert ends_us[1] <= pause_us - origin_us + 150_000, "but for the picture that stands"
    assert ends_us[2] is None


@pytest.mark.long
def test_h265_is_recorded_as_it_came(tmp_path: Path) -> None:
    if "x265enc" not in elements():
        pytest.skip("needs x265enc")
    with rtsp_camera(codec="h265", **SMALL) as camera, linked(CAPTURE, stanza(camera, tmp_path, audio=False), tmp_path) as running:
        running.first(child.Opened, 20)
        start(running, ("cam",))
        wait_for(lambda: recorded_s(running, "cam") > 2, "two seconds", 15)
        running.tell(child.StopPart(at_mono_us=now_us()))
        wait_for(lambda: running.all(child.PartEnded), "the end")
        got = numbers(running)
        assert running.all(child.Init)[0].codec == "hevc"
    assert got == list(range(got[0] or 0, (got[0] or 0) + len(got)))
