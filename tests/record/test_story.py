"""Which holes in the media the entries explain, however many there are of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.record import entries
from recorder.record.entries import Line
from recorder.record.story import HOLE_US, MARGIN_US, Story
from recorder.record.verdict import Findings

S_US = 1_000_000
times = st.integers(0, 60).map(lambda half: half * S_US // 2)
stretches = st.lists(st.tuples(st.sampled_from(["cam", "mic"]), times, st.none() | times), max_size=8)


def line(seq: int) -> Line:
    return Line(v=1, seq=seq, prev="", mono_us=0, utc_us=0, t_us=0, type="gap")


def gaps(story: Story, stretches: list[tuple[str, int, int | None]]) -> None:
    for seq, (track, from_us, to_us) in enumerate(stretches):
        story.take(line(2 * seq), entries.Gap(track=track, cause="eof", detail="", from_us=from_us))
        if to_us is not None:
            story.take(line(2 * seq + 1), entries.GapEnd(track=track, from_us=from_us, to_us=to_us))


def unexplained(story: Story) -> list[tuple[str, int, int | None]]:
    story.finish()
    return sorted((one.track, one.from_us, one.to_us) for one in story.intervals if not one.declared)


def explains(stretches: list[tuple[str, int, int | None]], track: str, from_us: int, to_us: int) -> bool:
    """Step by step: what begins soon enough carries on to its end."""
    at_us = from_us
    for of, begin_us, end_us in sorted(stretches, key=lambda one: one[1]):
        if of == track and begin_us - MARGIN_US <= at_us:
            at_us = max(at_us, to_us if end_us is None else end_us)
    return at_us + MARGIN_US >= to_us


@given(said=stretches, holes=st.lists(st.tuples(st.sampled_from(["cam", "mic"]), times, times), max_size=6))
def test_a_hole_is_explained_by_what_begins_with_it_and_carries_on_to_its_end(
    said: list[tuple[str, int, int | None]], holes: list[tuple[str, int, int]]
) -> None:
    story = Story(Findings())
    gaps(story, said)
    for track, from_us, to_us in holes:
        story.media_hole(track, from_us, to_us, "entry 1")
    wanted = [(t, a, b) for t, a, b in holes if b - a > HOLE_US and not explains(said, t, a, b)]
    assert unexplained(story) == sorted(wanted)


@pytest.mark.timeout(20)
def test_a_device_that_came_and_went_all_day_is_judged_at_once() -> None:
    story, number = Story(Findings()), 40_000
    stretch_us = 3 * S_US
    gaps(story, [("cam", at * stretch_us, at * stretch_us + 3 * S_US // 2) for at in range(number)])
    for at in range(number):
        story.media_hole("cam", at * stretch_us, at * stretch_us + 3 * S_US // 2, "entry 1")
    story.media_hole("mic", 0, stretch_us, "entry 2")
    assert unexplained(story) == [("mic", 0, stretch_us)]
