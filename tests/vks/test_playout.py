"""A voice is played in order, without growing delay, whatever its clock and its losses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vks.mixing import BLOCK, RATE_HZ
from vks.playout import BRIDGED, MOST, SURPLUS, TARGET, Playout


def ramp(start: int, length: int = BLOCK) -> np.ndarray:
    return (np.arange(start, start + length) % 30_000).astype(np.int16)


def test_what_comes_evenly_is_played_as_it_came_after_a_short_wait() -> None:
    playout, heard = Playout(), []
    for number in range(50):
        playout.push(ramp(number * BLOCK), number * BLOCK)
        block = playout.pull()
        if block is not None:
            heard.append(block)
    assert np.array_equal(np.concatenate(heard), ramp(0, BLOCK * len(heard)))
    assert len(heard) == 50 - TARGET // BLOCK + 1
    assert (playout.cut_samples, playout.bridged_samples) == (0, 0)


def test_a_lost_packet_is_bridged_and_what_follows_keeps_its_time() -> None:
    playout, heard = Playout(), []
    for number in range(20):
        if number != 10:
            playout.push(np.full(BLOCK, 1_000 + number, np.int16), number * BLOCK)
        block = playout.pull()
        if block is not None:
            heard.append(int(block[0]))
    assert heard[8:13] == [1_008, 1_009, 504, 1_011, 1_012]
    assert playout.bridged_samples == BLOCK


def test_a_long_hole_is_not_made_up() -> None:
    playout = Playout()
    playout.push(ramp(0, TARGET), 0)
    assert playout.pull() is not None
    playout.push(ramp(0), RATE_HZ)
    assert playout.bridged_samples == BRIDGED
    assert playout.held_us < 200_000


def test_a_sender_whose_clock_is_fast_does_not_come_later_and_later() -> None:
    playout = Playout()
    timestamp = 0
    worst_us = 0
    for number in range(20_000):
        for _ in range(1 + (number % 100 == 0)):  # 1% too fast
            voice = 8_000 if number // 50 % 2 else 100
            playout.push(np.full(BLOCK, voice, np.int16), timestamp)
            timestamp += BLOCK
        playout.pull()
        worst_us = max(worst_us, playout.held_us)
    assert worst_us < (SURPLUS + 3 * BLOCK) * 1_000_000 // RATE_HZ


def test_a_word_is_not_cut_while_it_is_spoken() -> None:
    playout = Playout()
    playout.push(np.full(SURPLUS + 2 * BLOCK, 8_000, np.int16), 0)
    for _ in range(3):
        playout.pull()
    assert playout.cut_samples == 0


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 3_000), st.integers(0, 4)), max_size=60))
def test_whatever_timestamps_come_memory_and_delay_are_bounded(pushed: list[tuple[int, int, int]]) -> None:
    playout = Playout()
    for timestamp, length, pulls in pushed:
        playout.push(np.ones(length, np.int16), timestamp)
        assert playout.held_us <= (MOST + BRIDGED) * 1_000_000 // RATE_HZ
        for _ in range(pulls):
            block = playout.pull()
            assert block is None or (block.size == BLOCK and block.dtype == np.int16)
