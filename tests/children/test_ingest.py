import io
import itertools
import socket
import time
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from recorder.cenc import clear_fragment
from recorder.contract import child, h264, ingest
from recorder.contract.framing import FrameReader, pack
from tests.children.linked import Linked, assert_boxes_say_what_their_messages_do, linked, peer, wait_for

QUOTA_BYTES_PER_S = 1_500_000
DEVICE = {"id": "ingest", "enabled": True, "max_tracks": 40, "track_bytes_per_s": QUOTA_BYTES_PER_S, "user": ""}
KEY = child.MediaKey(key=bytes(range(16)), kid=bytes(range(16, 32)))


def now_us() -> int:
    return time.monotonic_ns() // 1000


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Linked]:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as child_:
        child_.first(child.Opened)
        yield child_


def say(sock: socket.socket, message: ingest.Message, body: bytes = b"") -> None:
    sock.sendall(pack(ingest.encoder.encode(message), body))


def hear(sock: socket.socket) -> list[ingest.Message]:
    """All that the child says until it closes."""
    frames, heard = FrameReader(), []
    try:
        while data := sock.recv(65536):
            heard += [ingest.from_ingest.decode(head) for head, _ in frames.feed(data)]
    except ConnectionResetError:
        pass
    return heard


def encode(size: tuple[int, int], count: int, slice_blocks: int = 0) -> list[bytes]:
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height = size
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    codec.options = {"tune": "zerolatency", "profile": "baseline", "preset": "ultrafast", "g": "20"}
    codec.options["x264-params"] = f"slice-max-mbs={slice_blocks}"
    rng = np.random.default_rng(0)
    units = []
    for n in range(count):
        frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (*reversed(size), 3)).astype(np.uint8), "rgb24")
        frame.pts = n
        units += [bytes(packet) for packet in codec.encode(frame)]
    return units


def opus(count: int) -> list[bytes]:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "s16"
    packets = []
    for n in range(count):
        wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(n * 960, (n + 1) * 960) / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, n * 960
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def pictures_of(units: list[bytes]) -> list[npt.NDArray[Any]]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit))] + decoder.decode(None)
    return [frame.to_ndarray() for frame in frames]


@pytest.mark.parametrize("key", [None, KEY])
def test_a_participant_s_picture_and_sound_are_recorded_packet_by_packet(
    running: Linked, tmp_path: Path, key: child.MediaKey | None
) -> None:
    pictures = encode((320, 180), 50) + encode((160, 90), 25)
    sounds = opus(150)
    with peer(tmp_path / "ingest.sock") as sock:
        say(sock, ingest.TrackStart(track="p1-video", kind="video", codec="h264", label="Witness"))
        say(sock, ingest.TrackStart(track="p1-audio", kind="audio", codec="opus", label="Witness"))
        wait_for(lambda: len(running.all(child.TrackOpened)) == 2, "both tracks")
        start_us = now_us() - 5_000_000
        tracks = {"remote-p1-video": 1, "remote-p1-audio": 1}
        keys = dict.fromkeys(tracks, key) if key else {}
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us - 1_000_000, tracks=tracks, keys=keys))
        frames = FrameReader()
        wanted = [ingest.from_ingest.decode(head) for head, _ in frames.feed(sock.recv(65536))]
        assert wanted == [ingest.KeyframeWanted(track="p1-video")]
        for n, unit in enumerate(pictures):
            at_us = start_us + n * 40_000
            head = ingest.MediaPacket(track="p1-video", mono_us=at_us, dur_us=40_000, key=n % 20 == 0)
            say(sock, head, unit)
        for n, packet in enumerate(sounds):
            late_us = 1_000_000 if n >= 100 else 0
            head = ingest.MediaPacket(track="p1-audio", mono_us=start_us + n * 20_000 + late_us, dur_us=20_000, key=True)
            say(sock, head, packet)
        say(sock, ingest.TrackStop(track="p1-audio", cause="left"))
        wait_for(lambda: running.all(child.TrackClosed), "the track's end")
    wait_for(lambda: len(running.all(child.PartEnded)) == 2, "both parts' ends")
    assert_boxes_say_what_their_messages_do(running.said)
    options = {"decryption_key": key.key.hex()} if key else {}
    with av.open(io.BytesIO(running.media("remote-p1-audio")), "r", options=options) as file:
        assert [bytes(packet) for packet in file.demux(audio=0) if packet.size] == sounds
    with av.open(io.BytesIO(running.media("remote-p1-video")), "r", options=options) as file:
        decoded = [frame.to_ndarray() for frame in file.decode(video=0)]
    reference = pictures_of(pictures)
    assert len(decoded) == len(reference) == 75
    assert all((a == b).all() for a, b in zip(decoded, reference, strict=True))
    sound = [m for m in running.all(child.Fragment) if m.track == "remote-p1-audio"]
    assert sound[0].t0 == 48_000
    assert sum(m.dur for m in sound) == 150 * 960
    holes = [b.t0 - a.t0 - a.dur for a, b in itertools.pairwise(sound)]
    assert max(holes) == 48_000, "the second without packets is a second without media"
    assert sum(holes) == 48_000
    picture = [m for m in running.all(child.Fragment) if m.track == "remote-p1-video"]
    assert picture[0].key
    assert picture[0].new_segment
    assert picture[0].t0 == 90_000
    assert sum(m.dur for m in picture) == 75 * 3600
    for track, packets in (("remote-p1-audio", sounds), ("remote-p1-video", pictures)):
        readable = sum(packet[-16:] in running.media(track) for packet in packets)
        assert readable == (0 if key else len(packets)), "without the key no packet can be read, without encryption all"


@pytest.mark.parametrize("key", [None, KEY])
def test_a_picture_of_many_slices_is_recorded_whole(running: Linked, tmp_path: Path, key: child.MediaKey | None) -> None:
    pictures = encode((320, 1920), 10, slice_blocks=20)
    assert max(len(h264.nal_units(unit)) for unit in pictures) > 100
    with peer(tmp_path / "ingest.sock") as sock:
        say(sock, ingest.TrackStart(track="v", kind="video", codec="h264", label=""))
        running.first(child.TrackOpened)
        start_us = now_us() - 1_000_000
        keys = {"remote-v": key} if key else {}
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-v": 1}, keys=keys))
        frames = FrameReader()
        assert frames.feed(sock.recv(65536))
        for n, unit in enumerate(pictures):
            say(sock, ingest.MediaPacket(track="v", mono_us=start_us + n * 40_000, dur_us=40_000, key=n == 0), unit)
        say(sock, ingest.TrackStop(track="v", cause="left"))
        running.first(child.PartEnded)
    options = {"decryption_key": key.key.hex()} if key else {}
    with av.open(io.BytesIO(running.media("remote-v")), "r", options=options) as file:
        recorded = [frame.to_ndarray() for frame in file.decode(video=0)]
    shown = pictures_of(pictures)
    assert len(recorded) == len(shown) == 10
    assert all(np.array_equal(a, b) for a, b in zip(recorded, shown, strict=True))
    if key is not None:
        media = running.media("remote-v")
        piece = pictures[0][len(pictures[0]) // 2 :][:64]
        assert piece not in media, "a slice lies in the clear"
        header, fragments = b"", [body for message, body in running.said if isinstance(message, child.Fragment)]
        assert piece in header.join(clear_fragment(body, key.key) for body in fragments)


def test_a_flood_of_start_codes_takes_no_memory_before_it_is_refused() -> None:
    flood = b"\0\0\1\x65" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(h264.H264Error, match="more than 600"):
            h264.nal_units(flood)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_new_level_loses_no_sound_that_was_on_its_way_and_leaves_no_picture_in_the_old_part(running: Linked, tmp_path: Path) -> None:
    pictures, sounds = encode((320, 180), 100), opus(200)
    with peer(tmp_path / "ingest.sock") as sock:
        for track, kind, codec in (("v", "video", "h264"), ("a", "audio", "opus")):
            say(sock, ingest.TrackStart(track=track, kind=kind, codec=codec, label=""))  # type: ignore[arg-type]
        wait_for(lambda: len(running.all(child.TrackOpened)) == 2, "both tracks")
        start_us = now_us() - 4_000_000
        change_us = start_us + 2_100_000
        tracks = ("remote-v", "remote-a")
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks=dict.fromkeys(tracks, 1)))
        frames = FrameReader()
        assert frames.feed(sock.recv(65536))
        for n in range(200):
            if n == 90:  # 0.3 s before the sound of that moment has come
                wait_for(lambda: 90 in [track.units for m in running.all(child.Stats) for track in m.tracks], "what was sent")
                running.tell(child.StartPart(from_mono_us=change_us, origin_mono_us=start_us, tracks=dict.fromkeys(tracks, 2)))
                assert frames.feed(sock.recv(65536)), "a keyframe is asked for"
            at_us = start_us + n * 20_000
            say(sock, ingest.MediaPacket(track="a", mono_us=at_us, dur_us=20_000, key=True), sounds[n])
            if n % 2 == 0:
                say(sock, ingest.MediaPacket(track="v", mono_us=at_us, dur_us=40_000, key=n % 40 == 0), pictures[n // 2])
        for track in ("v", "a"):
            say(sock, ingest.TrackStop(track=track, cause="left"))
        wait_for(lambda: len(running.all(child.PartEnded)) == 4, "the ends")
    ends_us = {(m.track, m.part): m.end_us for m in running.all(child.PartEnded)}
    begins_us = {(m.track, m.part): m.t0 * 1_000_000 // m.timescale for m in reversed(running.all(child.Fragment))}
    assert ends_us["remote-a", 1] == pytest.approx(2_100_000, abs=50)
    assert begins_us["remote-a", 2] == pytest.approx(2_100_000, abs=50)
    assert ends_us["remote-v", 1] == pytest.approx(2_120_000, abs=50), "the picture that was seen at that moment lasts until the next"
    assert begins_us["remote-v", 2] == pytest.approx(2_400_000, abs=50), "the next keyframe"


@pytest.mark.parametrize("count", [31, 23], ids=["amid a fragment", "the fragment's last packet"])
def test_what_was_captured_behind_an_end_that_was_told_late_is_not_recorded(running: Linked, tmp_path: Path, count: int) -> None:
    pictures, sounds = encode((320, 180), count), opus(count)
    with peer(tmp_path / "ingest.sock") as sock:
        for track, kind, codec in (("v", "video", "h264"), ("a", "audio", "opus")):
            say(sock, ingest.TrackStart(track=track, kind=kind, codec=codec, label=""))  # type: ignore[arg-type]
        wait_for(lambda: len(running.all(child.TrackOpened)) == 2, "both tracks")
        start_us = now_us() - count * 20_000 + 400_000
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-v": 1, "remote-a": 1}))
        assert FrameReader().feed(sock.recv(65536))
        for n in range(count):
            say(sock, ingest.MediaPacket(track="a", mono_us=start_us + n * 20_000, dur_us=20_000, key=True), sounds[n])
            say(sock, ingest.MediaPacket(track="v", mono_us=start_us + n * 20_000, dur_us=20_000, key=n == 0), pictures[n])
        wait_for(lambda: {track.units for m in running.all(child.Stats)[-1:] for track in m.tracks} == {count}, "what was sent")
        running.tell(child.StopPart(at_mono_us=start_us + (count - 1) * 20_000 - 300))
        wait_for(lambda: len(running.all(child.PartEnded)) == 2, "the ends")
    held = [sum(m.dur for m in running.all(child.Fragment) if m.track == track) for track in ("remote-a", "remote-v")]
    assert held == [(count - 2) * 960, ((count - 1) * 20_000 - 300) * 9 // 100], "a packet of sound that reaches behind it is left out"


def test_a_still_is_out_at_once_and_waits_for_no_other_picture(running: Linked, tmp_path: Path) -> None:
    still = encode((320, 180), 1)[0]
    with peer(tmp_path / "ingest.sock") as sock:
        say(sock, ingest.TrackStart(track="p1-identity", kind="video", codec="h264", label="", level="identity"))
        running.first(child.TrackOpened)
        start_us = now_us()
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-p1-identity": 1}))
        assert sock.recv(65536), "the record asks for the picture"
        said_us = now_us()
        say(sock, ingest.MediaPacket(track="p1-identity", mono_us=said_us, dur_us=1_000_000, key=True), still)
        fragment = running.first(child.Fragment, deadline_s=1)
        assert (fragment.key, fragment.new_segment, fragment.dur) == (True, True, 90_000)
        say(sock, ingest.MediaPacket(track="p1-identity", mono_us=said_us + 100_000, dur_us=1_000_000, key=True), still)
        wait_for(lambda: len(running.all(child.Fragment)) == 2, "the next one", deadline_s=1)
    first, second = running.all(child.Fragment)
    assert second.t0 == first.t0 + first.dur, "none lies within another"
    assert (second.key, second.dur) == (True, 9_000)


def test_while_muted_nothing_of_a_participant_is_kept(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        say(sock, ingest.TrackStart(track="a", kind="audio", codec="opus", label=""))
        running.first(child.TrackOpened)
        start_us = now_us() - 5_000_000
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-a": 1}))
        running.tell(child.Mute(on=True))
        assert running.first(child.Muted).on
        for n, packet in enumerate(opus(50)):
            say(sock, ingest.MediaPacket(track="a", mono_us=start_us + n * 20_000, dur_us=20_000, key=True), packet)
        say(sock, ingest.TrackStop(track="a", cause="left"))
        running.first(child.TrackClosed)
    assert running.all(child.PartEnded)[0].end_us is None
    assert not running.all(child.Fragment)


def test_the_picture_size_is_read_from_real_parameter_sets() -> None:
    for size in ((320, 180), (1280, 720), (638, 358)):
        units = h264.nal_units(encode(size, 1)[0])
        sps = next(unit for unit in units if h264.kind(unit) == h264.SPS)
        assert h264.picture_size(sps) == h264.Size(*size)
        for cut in range(len(sps)):
            try:
                h264.picture_size(sps[:cut])
            except h264.H264Error:
                continue
