"""A part of encoded sound holds the samples that the core asked for: not one more at its end, and what follows a gap at its own time."""

import io
import itertools

import av
import numpy as np
import numpy.typing as npt
import pytest

from recorder.children.opus_track import BLOCK, LOOKAHEAD, OpusTrack
from recorder.children.packet_track import Out
from recorder.contract import child

TRACK = "room-out"
RATE_HZ = 48_000


def start(from_us: int, part: int = 1) -> child.StartPart:
    return child.StartPart(from_mono_us=from_us, origin_mono_us=0, tracks={TRACK: part, "another": 9})


def tone(hz: int) -> npt.NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(BLOCK) / RATE_HZ)).astype(np.int16)


def fragments(out: list[Out], part: int = 1) -> list[child.Fragment]:
    return [message for message, _ in out if isinstance(message, child.Fragment) and message.part == part]


def ends(out: list[Out]) -> dict[int, int]:
    return {message.part: message.end_us or 0 for message, _ in out if isinstance(message, child.PartEnded)}


@pytest.mark.parametrize(("from_us", "stop_us"), [(500_000, 1_200_000), (513_333, 1_207_500)])
def test_a_part_begins_and_ends_with_the_samples_that_it_is_told(from_us: int, stop_us: int) -> None:
    track = OpusTrack(TRACK, "", 48_000, 450_000, 60_000_000)
    track.obey(start(from_us))
    track.obey(child.StopPart(at_mono_us=stop_us))
    out: list[Out] = []
    for n in range(100):
        out += track.add(tone(700), n * 20_000)
    assert fragments(out)[0].t0 == pytest.approx(from_us * 48 / 1000 - LOOKAHEAD, abs=1)
    assert ends(out) == pytest.approx({1: stop_us}, abs=50)


@pytest.mark.parametrize("told_at", [45, 60])
def test_a_new_level_takes_over_at_its_sample_however_far_ahead_of_the_sound_the_order_comes(told_at: int) -> None:
    track = OpusTrack(TRACK, "", 48_000, 450_000, 60_000_000)
    track.obey(start(20_000))
    out: list[Out] = []
    change_us = 1_203_333
    for n in range(120):
        if n == told_at:
            track.obey(start(change_us, part=2))
        out += track.add(tone(700), n * 20_000)
    track.obey(child.StopPart(at_mono_us=2_400_000))
    out += track.tick(9_000_000)
    assert ends(out) == pytest.approx({1: change_us, 2: 2_400_000}, abs=50)
    assert fragments(out, 2)[0].t0 == pytest.approx(change_us * 48 / 1000 - LOOKAHEAD, abs=1)


def test_a_part_without_any_sound_is_named_as_ended() -> None:
    track = OpusTrack(TRACK, "", 48_000, 450_000, 60_000_000)
    track.obey(start(20_000))
    track.obey(child.StopPart(at_mono_us=500_000))
    assert track.tick(9_000_000) == [(child.PartEnded(track=TRACK, part=1, end_us=None), b"")]


def test_sound_after_a_gap_stands_at_its_own_time() -> None:
    track = OpusTrack(TRACK, "", 48_000, 450_000, 60_000_000)
    track.obey(start(20_000))
    out: list[Out] = []
    for n in [*range(50), *range(100, 150)]:
        out += track.add(tone(700), n * 20_000)
    track.obey(child.StopPart(at_mono_us=3_000_000))
    out += track.tick(9_000_000)
    holes = [b.t0 - a.t0 - a.dur for a, b in itertools.pairwise(fragments(out))]
    assert [hole for hole in holes if hole] == [pytest.approx(48_000 - LOOKAHEAD, abs=LOOKAHEAD)]


def test_a_mute_ends_the_part_without_the_sound_that_was_not_handed_over() -> None:
    track = OpusTrack(TRACK, "", 48_000, 450_000, 60_000_000)
    track.obey(start(20_000))
    out: list[Out] = []
    for n in range(40):
        out += track.add(tone(700), n * 20_000)
    handed_over = fragments(out)
    out += track.mute()
    assert fragments(out) == handed_over
    assert list(ends(out)) == [1]
    assert not track.add(tone(700), 800_000)
    data = b"".join(body for message, body in out if isinstance(message, child.Init | child.Fragment))
    with av.open(io.BytesIO(data), "r") as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) <= 40 * BLOCK
