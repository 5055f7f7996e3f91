"""The capture child with the test tone: channels as tracks, cut to the sample."""

import io
import itertools
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from drivers.microphones.test_tone import block
from recorder.contract import bus, child
from recorder.contract.bus_client import BusClient
from tests.children.linked import Linked, linked, wait_for

CAPTURE = "recorder.children.capture"
DEVICE = {
    "id": "array",
    "driver": "test-tone",
    "channels": [{"id": "judge", "label": "Judge", "number": 1}, {"id": "witness", "label": "Witness", "number": 3}],
}
TRACKS = ("judge", "witness")
NUMBERS = {"judge": 1, "witness": 3}
KEYS = {track: child.MediaKey(key=bytes([n]) * 16, kid=bytes([n]) * 16) for n, track in enumerate(TRACKS, 1)}


def now_us() -> int:
    return time.monotonic_ns() // 1000


def start(running: Linked, part: int, from_us: int, origin_us: int, *, secret: bool = False) -> None:
    keys = KEYS if secret else {}
    running.tell(child.StartPart(from_mono_us=from_us, origin_mono_us=origin_us, tracks=dict.fromkeys(TRACKS, part), keys=keys))


def ended(running: Linked, part: int) -> list[child.PartEnded]:
    wait_for(lambda: sum(m.part == part for m in running.all(child.PartEnded)) == len(TRACKS), f"the end of part {part}")
    return [m for m in running.all(child.PartEnded) if m.part == part]


def sound(running: Linked, track: str, part: int, *, secret: bool = False) -> npt.NDArray[Any]:
    options = {"decryption_key": KEYS[track].key.hex()} if secret else {}
    with av.open(io.BytesIO(running.media(track, part)), "r", options=options) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def expected(track: str, from_us: int, samples: int) -> npt.NDArray[Any]:
    """What the tone sounded like from then on, sample by sample."""
    return block(-(-from_us * 48_000 // 1_000_000), 3, samples)[:, NUMBERS[track] - 1]


def test_each_channel_is_recorded_bit_by_bit_cut_to_the_sample_and_under_its_own_key(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path, segment_s=1) as running:
        assert running.first(child.Opened).tracks == dict.fromkeys(TRACKS, "audio")
        from_us = now_us() + 103_457
        origin_us = from_us - 2_000_000
        start(running, 1, from_us, origin_us, secret=True)
        running.tell(child.StopPart(at_mono_us=from_us + 3_000_000))
        for end in ended(running, 1):
            assert end.end_us == pytest.approx(5_000_000, abs=50)
        for track in TRACKS:
            got = sound(running, track, 1, secret=True)
            assert abs(len(got) - 3 * 48_000) <= 1
            assert np.array_equal(got, expected(track, from_us, len(got)))
            parts = [m for m in running.all(child.Fragment) if m.track == track]
            assert parts[0].t0 == pytest.approx(2 * 48_000, abs=1)
            assert all(abs(a.t0 + a.dur - b.t0) <= 2 for a, b in itertools.pairwise(parts))
            assert [m.new_segment for m in parts].count(True) == 3
            assert all(m.dur <= 0.5 * 48_000 for m in parts)
        init = next(m for m in running.all(child.Init) if m.track == "judge")
        assert (init.codec, init.rate_hz, init.channels, init.label) == ("flac", 48_000, 1, "Judge")
        assert all(stats.dropped == 0 for stats in running.all(child.Stats)[-1].tracks)


def test_pause_and_resume_lose_not_one_sample_on_either_side(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path) as running:
        running.first(child.Opened)
        from_us = now_us()  # the orders say "now", and "a moment ago": not one sample may fall to the time they take
        start(running, 1, from_us, from_us)
        pause_us, resume_us, end_us = from_us + 700_003, from_us + 900_007, from_us + 1_500_011
        wait_for(lambda: now_us() > pause_us, "the pause")
        running.tell(child.StopPart(at_mono_us=pause_us))
        start(running, 2, resume_us, from_us)
        running.tell(child.StopPart(at_mono_us=end_us))
        ended(running, 2)
        for part, (begin, end) in {1: (from_us, pause_us), 2: (resume_us, end_us)}.items():
            for track in TRACKS:
                got = sound(running, track, part)
                assert abs(len(got) - (end - begin) * 48 / 1000) <= 1.01
                assert np.array_equal(got, expected(track, begin, len(got)))


def test_muted_meters_bus_and_record_are_silent_at_once(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path) as running:
        running.first(child.Levels)
        from_us = now_us()
        start(running, 1, from_us, from_us)
        wait_for(lambda: running.all(child.Fragment), "sound")
        with BusClient(str(tmp_path), "judge.pcm", timeout_s=0.5) as listener:
            listener.read()
            running.tell(child.Mute(on=True))
            muted = running.first(child.Muted)
            for end in ended(running, 1):
                assert end.end_us is not None
                assert end.end_us <= muted.at_mono_us - from_us
            heard: list[int] = []
            with pytest.raises(TimeoutError):
                heard.extend(iter(lambda: listener.read()[0].mono_us, -1))
            assert all(mono_us < muted.at_mono_us for mono_us in heard)
        place = next(index for index, (m, _) in enumerate(running.said) if isinstance(m, child.Muted))
        assert not [m for m, _ in running.said[place:] if isinstance(m, child.Levels | child.Fragment)]
        assert [m for m, _ in running.said[place:] if isinstance(m, child.Stats)], "the device is alive, and the core sees it"
        running.tell(child.Mute(on=False))
        wait_for(lambda: [m for m, _ in running.said[place:] if isinstance(m, child.Levels)], "levels again")
        assert all(stats.dropped == 0 for stats in running.all(child.Stats)[-1].tracks)


def test_the_pre_roll_is_the_head_of_the_record_and_is_gone_after_a_mute(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path) as running:
        running.first(child.Levels)
        for part, mute in ((1, False), (2, True)):
            running.tell(child.ArmPreroll(seconds=5))
            armed_us = now_us()
            wait_for(lambda armed_us=armed_us: now_us() > armed_us + 800_000, "something to keep")  # type: ignore[misc]
            if mute:
                running.tell(child.Mute(on=True))
                wait_for(lambda: running.all(child.Muted), "the mute")
                running.tell(child.Mute(on=False))
            pressed_us = now_us()
            start(running, part, pressed_us - 500_000, pressed_us - 500_000)
            wait_for(lambda part=part: [m for m in running.all(child.Fragment) if m.part == part], "sound")  # type: ignore[misc]
            running.tell(child.StopPart(at_mono_us=now_us()))
            ended(running, part)
            first = next(m for m in running.all(child.Fragment) if m.part == part)
            got = sound(running, "judge", part)
            begin = first.t0 + (pressed_us - 500_000) * 48 // 1000
            assert np.array_equal(got, block(begin, 3, len(got))[:, 0]) or np.array_equal(got, block(begin + 1, 3, len(got))[:, 0])
            if mute:
                assert first.t0 >= 0.45 * 48_000
            else:
                assert first.t0 <= 0.03 * 48_000


def test_meters_tell_the_level_and_the_bus_gives_the_samples(tmp_path: Path) -> None:
    with linked(CAPTURE, DEVICE, tmp_path) as running:
        began = time.monotonic()
        wait_for(lambda: len(running.all(child.Levels)) >= 12, "levels")
        assert time.monotonic() - began < 4, "at least five a second"
        levels = running.all(child.Levels)[-1].channels
        assert [level.track for level in levels] == list(TRACKS)
        with BusClient(str(tmp_path), "witness.pcm") as listener:
            assert (listener.hello.codec, listener.hello.rate_hz) == ("pcm_s16le", 48_000)
            packet, data = listener.read()
        assert isinstance(packet, bus.Packet)
        begin = round(packet.mono_us * 48 / 1000)
        assert np.array_equal(np.frombuffer(data, "<i2"), block(begin, 3)[:, 2])
    quiet = [level for m in running.all(child.Levels) for level in m.channels if level.peak_dbfs < -15]
    assert all(level.rms_dbfs == pytest.approx(-23, abs=0.2) for level in quiet), "a sine at -20 dBFS"
    assert all(level.peak_dbfs == pytest.approx(-20, abs=0.2) for level in quiet)
    assert all(level.clipped == 0 for level in quiet)


def test_a_channel_that_the_device_has_not_is_refused_in_words() -> None:
    from drivers.capabilities import AudioFormat
    from recorder.children.capture import Capture

    capture = Capture.__new__(Capture)
    form = AudioFormat(codec="pcm", rate_hz=48_000, channels=2)
    with pytest.raises(Exception, match="'witness' is number 3, but the device has 2"):
        capture._tracks({"id": "array", "channels": DEVICE["channels"][1:]}, form, child.Configure(device={}, run_dir=""))
