"""The cutting of participants' packets into fragments: what their sender says of them makes no time, and no flood of fragments."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recorder.children.packet_track import MOST_LEAD_US, SOUND_GAP_US, Out, PacketTrack, opus_dur_us
from recorder.contract.child import Fragment
from tests.vks.browsers import PictureEncoder

LONGEST_US = 120_000
TICK_US = 21
"""Of 48 kHz: what a packet lasts at least."""
FRAGMENTS_PER_S = 12
"""A fragment each 100 ms at the most, and those at a part's and a gap's ends."""


def opus(frame_ms: int, frames: int) -> bytes:
    """A packet of two bytes that says to hold so many frames (RFC 6716, section 3.2.5)."""
    return bytes([({10: 0, 20: 1, 40: 2, 60: 3}[frame_ms] << 3) | 3, frames])


def started(channels: int) -> PacketTrack:
    track = PacketTrack("remote-p", channels=channels)
    track.start(0, 0, 0, None)
    return track


def fragments(out: list[Out]) -> list[Fragment]:
    return [message for message, _ in out if isinstance(message, Fragment)]


@given(st.lists(st.tuples(st.sampled_from([opus(20, 1), opus(60, 2), opus(10, 1), opus(40, 3)]), st.integers(1, 300_000)), max_size=200))
@example([(opus(60, 2), 20_000)] * 500)
@example([(opus(60, 2), 100)] * 5_000)
def test_sound_lies_where_its_times_say_whatever_its_packets_say_to_hold(packets: list[tuple[bytes, int]]) -> None:
    track, at_us, end = started(2), 0, 0
    for packet, step_us in packets:
        at_us += step_us
        for one in fragments(track.add_sound(packet, at_us)):
            assert one.t0 >= end, "no fragment reaches into the next"
            end = one.t0 + one.dur
            assert end * 1000 // 48 <= at_us + LONGEST_US + MOST_LEAD_US + TICK_US * len(packets)
    for one in fragments(track.stop()):
        assert one.t0 >= end
        assert (one.t0 + one.dur) * 1000 // 48 <= at_us + LONGEST_US + MOST_LEAD_US + TICK_US * len(packets)


@pytest.mark.parametrize("ppm", [-300, -100, 0, 100, 300])
def test_the_sound_of_a_card_that_is_fast_or_slow_stays_in_fragments_and_with_its_times(ppm: int) -> None:
    track, packet = started(2), opus(20, 1)
    count, at_us = 0, 0
    for number in range(50 * 60 * 30):
        at_us = round(number * 20_000 / (1 + ppm / 1e6))
        for one in fragments(track.add_sound(packet, at_us)):
            count += 1
            assert abs((one.t0 + one.dur) * 1000 // 48 - at_us) <= SOUND_GAP_US + 2 * 20_000
    assert count <= at_us / 1e6 * 2.3, "as many as of a card that is neither"


def test_sound_that_was_held_back_by_the_network_is_right_again_without_a_syllable_that_lasts_no_time() -> None:
    """What lay 180 ms too late by a full link catches up when the link is free."""
    track, packet, said, at_us = PacketTrack("remote-p", channels=2, fragment_us=1), opus(20, 1), list[Fragment](), 0
    track.start(0, 0, 0, None)
    for number in range(50 * 10):
        at_us = max(at_us + 1, 200_000 + number * 20_000 + (180_000 if number < 250 else 0))
        said += fragments(track.add_sound(packet, at_us))
    said += fragments(track.stop())
    assert len(said) == 500, "each packet is a fragment of its own"
    assert min(one.dur for one in said) >= 15 * 48
    assert abs((said[-1].t0 + said[-1].dur) * 1000 // 48 - at_us) <= SOUND_GAP_US + 2 * 20_000


@pytest.mark.parametrize(("packets_per_s", "packet"), [(500, opus(60, 2)), (10_000, opus(60, 2)), (400, opus(10, 1))])
def test_a_flood_of_small_packets_of_sound_is_no_flood_of_fragments(packets_per_s: int, packet: bytes) -> None:
    track, said = started(2), 0
    for number in range(packets_per_s * 5):
        said += len(fragments(track.add_sound(packet, 1 + number * 1_000_000 // packets_per_s)))
    assert 5 <= said <= FRAGMENTS_PER_S * 5


def test_a_flood_of_keyframes_is_no_flood_of_fragments() -> None:
    track, said = started(0), 0
    assert track.add_picture(PictureEncoder().units(100, key=True), 1, 4_000)
    for number in range(240 * 5):
        said += len(fragments(track.add_picture([b"\x65\x88\x84"], 4_000 + number * 1_000_000 // 240, 4_000)))
    assert 5 <= said <= FRAGMENTS_PER_S * 5


def test_a_packet_says_how_long_it_lasts() -> None:
    assert [opus_dur_us(opus(60, 2)), opus_dur_us(opus(20, 1))] == [120_000, 20_000]
