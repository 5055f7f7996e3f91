"""Sound of a network camera beside its picture."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from drivers.cameras.rtsp import continued


@given(st.lists(st.integers(-2, 2), min_size=10, max_size=200))
def test_a_wall_clock_that_rounds_is_no_loss_and_no_sample_is_doubled(wobble: list[int]) -> None:
    positions: list[int] = []
    expected: int | None = None
    for number, off in enumerate(wobble):
        positions.append(continued(number * 160 + off, expected, 8000))
        expected = positions[-1] + 160
    assert {b - a for a, b in itertools.pairwise(positions)} == {160}


def test_a_packet_that_is_missing_is_a_hole() -> None:
    assert continued(480, 320, 8000) == 480
