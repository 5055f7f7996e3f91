"""Tracks in this process: what devices do that the test devices never do."""

import io
import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cameras.frame_code import read_frame_number, write_frame_number
from drivers.capabilities import AudioFormat, Encoded, Picture, VideoFormat
from recorder.child_limits import ChildLimits
from recorder.child_process import ChildPlan
from recorder.children.audio_track import AudioTrack
from recorder.children.bus_server import BusServer
from recorder.children.encoder import choose_h264
from recorder.children.sound_packets import SoundPacketTrack
from recorder.children.video_track import VideoTrack
from recorder.children_plan import CAPTURE
from recorder.contract import child
from recorder.contract.bus_client import BusClient
from tests.children.linked import assert_boxes_say_what_their_messages_do

KEY = child.MediaKey(key=bytes(range(16)), kid=bytes(16))
Said = list[tuple[child.Message, bytes]]


def media(said: Said) -> bytes:
    return b"".join(body for message, body in said if isinstance(message, child.Init | child.Fragment))


def fragments(said: Said) -> list[child.Fragment]:
    return [message for message, _ in said if isinstance(message, child.Fragment)]


def start(track: str, part: int = 1, from_us: int = 0) -> child.StartPart:
    return child.StartPart(from_mono_us=from_us, origin_mono_us=0, tracks={track: part}, keys={track: KEY})


def opened(said: Said) -> Any:
    return av.open(io.BytesIO(media(said)), "r", options={"decryption_key": KEY.key.hex()})


@pytest.mark.parametrize("bits", [16, 24])
def test_samples_that_the_card_lost_leave_a_hole_in_time_and_all_others_are_bit_exact(bits: int, tmp_path: Path) -> None:
    said: Said = []
    track = AudioTrack("mic", "", 48_000, bits, BusServer(str(tmp_path), []), lambda m, body: said.append((m, body)), 60_000_000, 450_000)
    dice = np.random.default_rng(3)
    sent: list[Any] = []
    track.start(start("mic"))
    for number in [*range(40), *range(47, 90)]:
        block = dice.integers(-(2**15), 2**15 - 1, 960).astype(np.int16)
        block = block if bits == 16 else (block.astype(np.int32) << 16) + (dice.integers(0, 255, 960).astype(np.int32) << 8)
        sent.append(block)
        track.add(block, number * 20_000, 7 * 960 if number == 47 else 0)
    track.schedule.stop(90 * 20_000)
    track.expire(90 * 20_000)
    with opened(said) as file:
        got = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert np.array_equal(got, np.concatenate(sent))
    assert_boxes_say_what_their_messages_do(said)
    assert track.dropped == 7 * 960
    parts = fragments(said)
    holes = [(a.t0 + a.dur, b.t0) for a, b in itertools.pairwise(parts) if a.t0 + a.dur != b.t0]
    assert holes == [(40 * 960, 47 * 960)]
    assert next(m for m in parts if m.t0 == 47 * 960).new_segment
    assert said[-1][0] == child.PartEnded(track="mic", part=1, end_us=1_800_000)


def test_clipping_is_counted_sample_by_sample(tmp_path: Path) -> None:
    track = AudioTrack("mic", "", 48_000, 16, BusServer(str(tmp_path), []), lambda *_: None, 60_000_000, 450_000)
    samples = np.zeros(960, np.int16)
    track.add(samples, 0, 0)
    silent = track.meter.read("mic")
    assert (silent.rms_dbfs, silent.peak_dbfs, silent.clipped) == (-120, -120, 0)
    samples[10:13], samples[500] = 32767, -32768
    track.add(samples, 20_000, 0)
    level = track.meter.read("mic")
    assert level.clipped == 4
    assert level.peak_dbfs == pytest.approx(0, abs=0.001)


def camera(codec: str, options: dict[str, str], frames: int) -> tuple[av.VideoStream, list["av.Packet[Any]"]]:
    """A camera that delivers this codec at 25 pictures a second, each with its number in it."""
    container = av.open(io.BytesIO(), "w", format="null")
    stream = container.add_stream(codec, rate=Fraction(25), options=options)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = 320, 192, "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = Fraction(1, 25)
    stream.codec_context.flags |= 0x00400000
    container.start_encoding()
    packets: list[av.Packet[Any]] = []
    for number in range(frames):
        plane = np.full((192 * 3 // 2, 320), 128, np.uint8)
        write_frame_number(plane[:192], number)
        frame = av.VideoFrame.from_ndarray(plane, format="yuv420p").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.time_base = Fraction(1, 25)
    return stream, packets


def delivered(
    codec: str, options: dict[str, str], tmp_path: Path, lose: Callable[[int], bool] = lambda _: False
) -> tuple[Said, VideoTrack, Any]:
    stream, packets = camera(codec, options, 75)
    said: Said = []
    form = VideoFormat(codec="mjpeg" if codec == "mjpeg" else "h264", width=320, height=192, rate=Fraction(25), template=stream)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 1_000_000, 450_000)
    track.start(start("cam"))
    for place, packet in enumerate(packets):
        if not lose(place):
            at_us = (packet.pts or 0) * 40_000
            track.add_encoded(Encoded(stream="video", packet=packet, device_us=at_us, arrival_us=at_us), at_us + 500_000)
    track.finish()
    with opened(said) as file:
        shown = [(read_frame_number(f.to_ndarray(format="gray").astype(np.uint8)), float(f.time or 0)) for f in file.decode(video=0)]
    return said, track, shown


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"g": "25", "bf": "0"}), ("libx264", {"g": "25", "bf": "2"}), ("mjpeg", {"qmin": "2", "qmax": "2"})],
    ids=["h264", "b-frames", "mjpeg"],
)
def test_what_a_camera_encoded_is_recorded_whole_encrypted_and_at_its_time(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    said, track, shown = delivered(codec, options, tmp_path)
    assert [number for number, _ in shown] == list(range(75))
    assert_boxes_say_what_their_messages_do(said)
    # FFmpeg's reader shows streams with negative composition offsets one picture late; the boxes themselves are right.
    late_s = 0.04 if options.get("bf") == "2" else 0.0
    for number, at_s in shown:
        assert at_s == pytest.approx(0.5 + late_s + number / 25, abs=0.001)
    begins = [m.t0 / m.timescale for m in fragments(said) if m.new_segment]
    # A fragment of motion JPEG ends with the first picture behind 0.45 s, so that a segment of a second is three of them.
    assert begins == pytest.approx([0.5, 1.94, 3.38] if codec == "mjpeg" else [0.5, 1.5, 2.5], abs=0.001)
    assert track.dropped == 0


def test_a_picture_lost_on_the_way_is_counted_and_the_others_keep_their_time(tmp_path: Path) -> None:
    _, track, shown = delivered("mjpeg", {"qmin": "2", "qmax": "2"}, tmp_path, lambda place: place in {30, 50, 51})
    assert [number for number, _ in shown] == [n for n in range(75) if n not in {30, 50, 51}]
    assert all(at_s == pytest.approx(0.5 + number / 25, abs=0.001) for number, at_s in shown)
    assert track.dropped == 3


def test_a_record_begun_between_keyframes_begins_with_the_next_one(tmp_path: Path) -> None:
    _, _, shown = delivered("libx264", {"g": "25", "bf": "0"}, tmp_path, lambda place: place < 7)
    assert shown[0][0] == 25


def demuxed(codec: str, options: dict[str, str], fps: int, frames: int) -> tuple[av.VideoStream, list[bytes]]:
    """What a camera delivers, as its driver reads it."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), number, np.uint8), format="yuv420p").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    delivers = av.open(io.BytesIO(sink.getvalue()), "r")
    return delivers.streams.video[0], [bytes(packet) for packet in delivers.demux(video=0) if packet.size]


@pytest.mark.parametrize("fps", [25, 30, 50, 60, 75, 120])
@pytest.mark.parametrize(("codec", "options"), [("mjpeg", {}), ("libx264", {"g": "1", "bf": "0"})], ids=["mjpeg", "all-intra h264"])
def test_a_camera_whose_every_picture_is_a_keyframe_is_recorded_within_its_limits_whatever_its_rate(
    codec: str, options: dict[str, str], fps: int, tmp_path: Path
) -> None:
    template, pictures = demuxed(codec, options, fps, 40)
    said: Said = []
    form = VideoFormat(codec="mjpeg" if codec == "mjpeg" else "h264", width=64, height=48, rate=Fraction(fps), template=template)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    limits = ChildLimits(ChildPlan(name="cam", module=CAPTURE, device={"id": "cam"}))
    track.start(start("cam"))
    told = 0
    for number in range(fps * 90):
        at_us = number * 1_000_000 // fps
        packet: av.Packet[Any] = av.Packet(pictures[number % len(pictures)])
        packet.pts = packet.dts = at_us
        packet.time_base, packet.is_keyframe = Fraction(1, 1_000_000), True
        track.add_encoded(Encoded(stream="video", packet=packet, device_us=at_us, arrival_us=at_us), at_us)
        for message, body in said[told:]:
            limits.hold(message, len(body), at_us / 1e6)
        told = len(said)
    track.finish()
    assert all(m.key for m in fragments(said))
    assert max(m.dur for m in fragments(said)) <= 540_000 * 90 // 1000
    assert [m.t0 // 90_000 for m in fragments(said) if m.new_segment] == [0, 60]
    with opened(said) as file:
        assert sum(bool(packet.size) for packet in file.demux(video=0)) == fps * 90


@pytest.mark.parametrize("group", [12, 14, 25, 28, 55])
def test_each_keyframe_of_a_camera_that_sends_groups_of_pictures_begins_a_fragment(group: int, tmp_path: Path) -> None:
    template, pictures = demuxed("libx264", {"g": str(group), "bf": "0", "sc_threshold": "0"}, 25, 4 * group)
    said: Said = []
    form = VideoFormat(codec="h264", width=64, height=48, rate=Fraction(25), template=template)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    track.start(start("cam"))
    for number, picture in enumerate(pictures):
        packet: av.Packet[Any] = av.Packet(picture)
        packet.pts = packet.dts = number * 40_000
        packet.time_base, packet.is_keyframe = Fraction(1, 1_000_000), number % group == 0
        track.add_encoded(Encoded(stream="video", packet=packet, device_us=number * 40_000, arrival_us=number * 40_000), number * 40_000)
    track.finish()
    assert [m.t0 // 3600 for m in fragments(said) if m.key] == [0, group, 2 * group, 3 * group]


def opus(frames: int) -> tuple[av.AudioStream, list["av.Packet[Any]"]]:
    """A microphone that delivers Opus, 20 ms a packet."""
    container = av.open(io.BytesIO(), "w", format="null")
    stream = container.add_stream("libopus", rate=48_000, layout="mono")
    assert isinstance(stream, av.AudioStream)
    stream.codec_context.format = "s16"
    stream.codec_context.flags |= 0x00400000
    container.start_encoding()
    packets: list[av.Packet[Any]] = []
    for number in range(frames):
        wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(960) / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 960, Fraction(1, 48_000)
        packets += stream.encode(frame)
    return stream, packets


@pytest.mark.parametrize("leap_us", [-200_000, 0, 300_000], ids=["back", "none", "ahead"])
def test_sound_whose_time_leaps_goes_on_and_only_what_is_missing_is_counted_as_lost(leap_us: int, tmp_path: Path) -> None:
    stream, packets = opus(100)
    said: Said = []
    form = AudioFormat(codec="opus", rate_hz=48_000, channels=1, template=stream)
    track = SoundPacketTrack("mic", "", form, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    track.start(start("mic"))
    for number, packet in enumerate(packets):
        leapt_us = leap_us if number >= 50 else 0
        packet.pts = packet.dts = (packet.pts or 0) + leapt_us * 48 // 1000
        packet.time_base, packet.duration = Fraction(1, 48_000), 960
        at_us = number * 20_000 + leapt_us
        track.add_encoded(Encoded(stream="audio", packet=packet, device_us=at_us, arrival_us=at_us), at_us + 1_000_000)
    track.finish()
    parts = fragments(said)
    assert sum(m.dur for m in parts) == pytest.approx(len(packets) * 960, abs=960)
    assert all(a.t0 <= b.t0 for a, b in itertools.pairwise(parts))
    assert track.dropped == max(0, leap_us) * 48 // 1000


@pytest.mark.parametrize(
    ("codec", "told", "sent", "forwardable"),
    [
        ("libx264", {"bf": "0"}, {"bf": "0"}, True),
        ("libx264", {"bf": "2"}, {"bf": "2"}, False),
        ("libx264", {"bf": "0"}, {"bf": "2"}, False),
        ("mjpeg", {}, {}, False),
    ],
    ids=["h264", "b-frames", "b-frames that the camera does not tell of", "mjpeg"],
)
def test_viewers_are_told_which_pictures_no_browser_shows(
    codec: str, told: dict[str, str], sent: dict[str, str], forwardable: bool, tmp_path: Path
) -> None:
    template, _ = camera(codec, told, 1)
    _, packets = camera(codec, sent, 30)
    form = VideoFormat(codec="mjpeg" if codec == "mjpeg" else "h264", width=320, height=192, rate=Fraction(25), template=template)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda *_: None, 1_000_000, 450_000)
    for packet in packets:
        at_us = (packet.pts or 0) * 40_000
        track.add_encoded(Encoded(stream="video", packet=packet, device_us=at_us, arrival_us=at_us), at_us)
    with BusClient(str(tmp_path), "cam") as viewer:
        assert viewer.hello.forwardable is forwardable


def test_an_encoder_that_is_not_there_is_replaced_and_the_record_says_so() -> None:
    for wanted in ("auto", "h264_v4l2m2m"):
        name, why = choose_h264(wanted)
        if name == "libx264":
            assert "libx264" in why
            assert wanted == "auto" or wanted in why
        else:
            assert "decoded right" in why


def made(sound: "tuple[av.AudioStream, list[av.Packet[Any]]]", tmp_path: Path, said: Said) -> tuple[SoundPacketTrack, list[Encoded]]:
    stream, packets = sound
    form = AudioFormat(codec="opus", rate_hz=48_000, channels=1, template=stream)
    track = SoundPacketTrack("mic", "", form, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    heard = []
    for number, packet in enumerate(packets):
        packet.pts = packet.dts = number * 960
        packet.time_base, packet.duration = Fraction(1, 48_000), 960
        heard.append(Encoded(stream="audio", packet=packet, device_us=number * 20_000, arrival_us=number * 20_000))
    return track, heard


NEWEST_US = 49 * 20_000
"""When the newest of fifty packets was captured."""


@pytest.mark.parametrize(
    ("released_us", "stop_us", "recorded"),
    [
        (None, NEWEST_US + 1, 49),
        (None, NEWEST_US + 19_999, 49),
        (None, NEWEST_US + 20_000, 50),
        (NEWEST_US - 1, NEWEST_US + 1, 49),
        (NEWEST_US, NEWEST_US + 1, 50),
    ],
    ids=["the end lies within it", "at its end but one", "behind it", "it waited still", "it was written, for no other came"],
)
def test_sound_captured_behind_an_end_that_was_told_late_is_not_recorded(
    released_us: int | None, stop_us: int, recorded: int, tmp_path: Path
) -> None:
    said: Said = []
    track, heard = made(opus(60), tmp_path, said)
    track.start(start("mic"))
    for one in heard[:50]:
        track.add_encoded(one, one.device_us)
    if released_us is not None:
        track.release(released_us)
    track.schedule.stop(stop_us)
    track.expire(NEWEST_US + 20_000)
    assert sum(m.dur for m in fragments(said)) == recorded * 960


@pytest.mark.parametrize("raw", [True, False], ids=["encoded here", "encoded by the camera"])
def test_a_picture_captured_behind_an_end_that_was_told_late_is_not_recorded(raw: bool, tmp_path: Path) -> None:
    said: Said = []
    stream, packets = camera("libx264", {"g": "25", "bf": "0"}, 40)
    form = VideoFormat(codec="raw" if raw else "h264", width=320, height=192, rate=Fraction(25), template=None if raw else stream)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    track.start(start("cam"))
    for number in range(31):
        at_us = number * 40_000
        if raw:
            plane = np.full((192 * 3 // 2, 320), 128, np.uint8)
            write_frame_number(plane[:192], number)
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            track.add_picture(Picture(stream="video", frame=frame, sequence=number, device_us=at_us, arrival_us=at_us), at_us)
        else:
            track.add_encoded(Encoded(stream="video", packet=packets[number], device_us=at_us, arrival_us=at_us), at_us)
    track.schedule.stop(30 * 40_000 - 300)
    track.wipe()
    with opened(said) as file:
        shown = [read_frame_number(f.to_ndarray(format="gray").astype(np.uint8)) for f in file.decode(video=0)]
    assert shown == list(range(30))
    assert isinstance(said[-1][0], child.PartEnded)


def test_a_picture_left_out_takes_with_it_those_that_cannot_be_decoded_without_it(tmp_path: Path) -> None:
    """A camera with B-frames: the P picture from behind the end comes before the B pictures from before it, and the order between them."""
    said: Said = []
    stream, packets = camera("libx264", {"g": "25", "bf": "2", "b_strategy": "0"}, 40)
    form = VideoFormat(codec="h264", width=320, height=192, rate=Fraction(25), template=stream)
    track = VideoTrack("cam", "", form, {}, BusServer(str(tmp_path), []), lambda m, b: said.append((m, b)), 60_000_000, 450_000)
    track.start(start("cam"))
    shown_us = [(packet.pts or 0) * 40_000 for packet in packets]
    place = next(n for n in range(20, 40) if shown_us[n + 1] < shown_us[n])
    for number, packet in enumerate(packets[: place + 3]):
        if number == place + 1:
            track.schedule.stop(shown_us[place] - 300)
        track.add_encoded(Encoded(stream="video", packet=packet, device_us=shown_us[number], arrival_us=shown_us[number]), shown_us[number])
    track.finish()
    with opened(said) as file:
        numbers = [read_frame_number(f.to_ndarray(format="gray").astype(np.uint8)) for f in file.decode(video=0)]
    assert numbers == sorted(us // 40_000 for us in shown_us[:place])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 999_999), st.integers(2_000, 90_000), st.integers(100, 48_000))
def test_a_part_begins_at_the_very_sample_at_which_the_one_before_it_ended(since: int, ahead_us: int, count: int, more: int) -> None:
    """Whatever the session's origin: microseconds and samples do not meet, and neither a sample's overlap nor its gap comes of that."""
    said: Said = []

    def at_us(sample: int) -> int:
        return (since + sample) * 1_000_000 // 48_000

    with TemporaryDirectory() as folder:
        track = AudioTrack("mic", "", 48_000, 16, BusServer(folder, []), lambda m, body: said.append((m, body)), 60_000_000, 450_000)
        origin_us = at_us(0) - ahead_us
        for part, from_us, feed in ((1, at_us(0), range(0, 960, 960)), (2, at_us(count), range(960, count + more + 960, 960))):
            track.start(child.StartPart(from_mono_us=from_us, origin_mono_us=origin_us, tracks={"mic": part}, keys={}))
            for first in feed:
                track.add(np.zeros(960, np.int16), at_us(first), 0)
            track.release(at_us(960))
        track.schedule.stop(at_us(count + more))
        track.expire(at_us(count + more + 48_000))
    one, two = ([m for m in fragments(said) if m.part == part] for part in (1, 2))
    assert two[0].t0 == one[-1].t0 + one[-1].dur
