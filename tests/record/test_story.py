"""Which holes in the media the entries explain, however many there are of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.record import entries
from recorder.record.entries import Line
from recorder.record.story import HOLE_US, MARGIN_US, Story
from recorder.record.verdict import Findings

S_US = 1_000_000
FRAGMENT_US = S_US // 2
times = st.integers(0, 60).map(lambda half: half * S_US // 2)
stretches = st.lists(st.tuples(st.sampled_from(["cam", "mic"]), times, st.none() | times), max_size=8)


fragments = st.lists(st.tuples(st.sampled_from(["cam", "mic"]), times), max_size=8)


def line(seq: int, t_us: int = 0) -> Line:
    return Line(v=1, seq=seq, prev="", mono_us=0, utc_us=0, t_us=t_us, type="gap")


def gaps(story: Story, stretches: list[tuple[str, int, int | None]]) -> None:
    for seq, (track, from_us, to_us) in enumerate(stretches):
        story.take(line(2 * seq), entries.Gap(track=track, cause="eof", detail="", from_us=from_us))
        if to_us is not None:
            story.take(line(2 * seq + 1), entries.GapEnd(track=track, from_us=from_us, to_us=to_us))


def unexplained(story: Story) -> list[tuple[str, int, int | None]]:
    story.finish()
    return sorted((one.track, one.from_us, one.to_us) for one in story.intervals if not one.declared)


def next_media_us(media: list[tuple[str, int]], track: str, at_us: int) -> int | None:
    """Where the track's media goes on: where a run of fragments begins, or goes on, that devices' margin does not account for."""
    runs: list[tuple[int, int]] = []
    for start_us in sorted(start_us for of, start_us in media if of == track):
        joined = runs.pop()[0] if runs and start_us - runs[-1][1] <= HOLE_US else start_us
        runs.append((joined, start_us + FRAGMENT_US))
    return next((max(at_us, start_us) for start_us, end_us in runs if end_us > at_us + MARGIN_US), None)


def explains(stretches: list[tuple[str, int, int | None]], media: list[tuple[str, int]], track: str, from_us: int, to_us: int) -> bool:
    """Step by step: what begins soon enough carries on to its end, or where none is told to the track's next media."""
    at_us = from_us
    for of, begin_us, told_us in sorted(stretches, key=lambda one: one[1]):
        if of == track and begin_us - MARGIN_US <= at_us:
            end_us = next_media_us(media, track, begin_us) if told_us is None else told_us
            at_us = max(at_us, to_us if end_us is None else end_us)
    return at_us + MARGIN_US >= to_us


@given(said=stretches, media=fragments, holes=st.lists(st.tuples(st.sampled_from(["cam", "mic"]), times, times), max_size=6))
def test_a_hole_is_explained_by_what_begins_with_it_and_carries_on_to_its_end_or_to_the_next_media(
    said: list[tuple[str, int, int | None]], media: list[tuple[str, int]], holes: list[tuple[str, int, int]]
) -> None:
    story = Story(Findings())
    gaps(story, said)
    for track, start_us in media:
        story.media_at(track, start_us, start_us + FRAGMENT_US)
    for track, from_us, to_us in holes:
        story.media_hole(track, from_us, to_us, "entry 1")
    wanted = [(t, a, b) for t, a, b in holes if b - a > HOLE_US and not explains(said, media, t, a, b)]
    assert unexplained(story) == sorted(wanted)


def recovered(from_us: int, to_us: int | None) -> entries.Recovered:
    return entries.Recovered(last=0, boot="b", same_boot=False, torn=[], damaged=[], from_us=from_us, to_us=to_us, origin_mono_us=0)


def test_a_recovery_of_unknown_length_explains_what_lies_before_the_moment_at_which_session_time_stood_still() -> None:
    story = Story(Findings())
    story.take(line(0, 9 * S_US), entries.Checkpoint(at=0, head="", sig="", key_id=""))
    story.take(line(1, 10 * S_US), recovered(5 * S_US, None))
    story.media_hole("cam", 5 * S_US, 10 * S_US, "entry 2")
    story.media_hole("mic", 5 * S_US, 11 * S_US, "entry 3")
    assert unexplained(story) == [("mic", 5 * S_US, 11 * S_US)]
    assert [one.to_us for one in story.intervals if one.cause == "recorder_down"] == [None]


def test_a_pause_that_another_one_begins_in_ends_there() -> None:
    story = Story(Findings())
    for seq, (from_us, to_us) in enumerate([(0, 0), (10 * S_US, 20 * S_US)]):
        story.take(line(seq), entries.Pause(state="privileged", actor="", reason="", order="", from_us=from_us))
        if to_us:
            story.take(line(seq + 1), entries.Resume(state="privileged", actor="", from_us=from_us, to_us=to_us))
    story.media_hole("cam", 0, 20 * S_US, "entry 4")
    story.media_hole("cam", 21 * S_US, 60 * S_US, "entry 5")
    assert unexplained(story) == [("cam", 21 * S_US, 60 * S_US)]
    assert [(one.from_us, one.to_us) for one in story.intervals if one.declared] == [(0, 10 * S_US), (10 * S_US, 20 * S_US)]


@pytest.mark.timeout(20)
def test_a_device_that_came_and_went_all_day_is_judged_at_once() -> None:
    story, number = Story(Findings()), 40_000
    stretch_us = 3 * S_US
    gaps(story, [("cam", at * stretch_us, at * stretch_us + 3 * S_US // 2) for at in range(number)])
    for at in range(number):
        story.media_hole("cam", at * stretch_us, at * stretch_us + 3 * S_US // 2, "entry 1")
    story.media_hole("mic", 0, stretch_us, "entry 2")
    assert unexplained(story) == [("mic", 0, stretch_us)]


def paused(story: Story, pauses: list[tuple[int, int]]) -> None:
    for at, (from_us, to_us) in enumerate(pauses):
        story.take(line(2 * at), entries.Pause(state="privileged", actor="", reason="", order="", from_us=from_us))
        story.take(line(2 * at + 1), entries.Resume(state="privileged", actor="", from_us=from_us, to_us=to_us))


def in_pauses(findings: Findings) -> list[str]:
    return [finding.place for finding in findings.all() if finding.code == "media_in_pause"]


pauses = st.lists(st.integers(0, 20).map(lambda half: half * S_US // 2), max_size=12).map(
    lambda steps: [sum(steps[: at + 1]) for at in range(len(steps) // 2 * 2)]
)


@given(edges=pauses, media=fragments, told_first=st.booleans())
def test_media_from_within_a_pause_is_told_whenever_it_was_journaled(
    edges: list[int], media: list[tuple[str, int]], told_first: bool
) -> None:
    findings = Findings(limit=1000)
    story, times_us = Story(findings), list(zip(edges[::2], edges[1::2], strict=True))
    if told_first:
        paused(story, times_us)
    for track, start_us in media:
        story.media_at(track, start_us, start_us + FRAGMENT_US)
    if not told_first:
        paused(story, times_us)
    story.finish()

    def within(at_us: int) -> bool:
        return all(
            any(from_us <= at_us + way_us <= to_us for from_us, to_us in times_us) for way_us in range(-MARGIN_US, MARGIN_US + 1, S_US // 4)
        )

    deep = [(track, start_us) for track, start_us in media if within(start_us + FRAGMENT_US // 2)]
    assert bool(deep) <= bool(in_pauses(findings))
    if not any(from_us - FRAGMENT_US < start_us < to_us for _, start_us in media for from_us, to_us in times_us):
        assert not in_pauses(findings)


def test_of_devices_margins_at_the_edges_of_a_pause_nothing_is_told() -> None:
    findings = Findings()
    story = Story(findings)
    paused(story, [(10 * S_US, 12 * S_US), (20 * S_US, 30 * S_US), (30 * S_US, 30 * S_US)])
    for start_us, end_us in (
        (0, 10 * S_US + MARGIN_US),
        (10 * S_US + MARGIN_US, 20 * S_US + MARGIN_US),
        (30 * S_US - MARGIN_US, 60 * S_US),
    ):
        story.media_at("cam", start_us, end_us)
    story.finish()
    assert not findings.all()


@pytest.mark.timeout(20)
def test_many_tracks_through_many_pauses_are_judged_at_once() -> None:
    findings = Findings()
    story, number = Story(findings), 20_000
    paused(story, [(at * 10 * S_US, at * 10 * S_US + 5 * S_US) for at in range(number)])
    for track in range(1000):
        story.media_at(f"remote-{track}-audio", 0, number * 10 * S_US)
    story.finish()
    assert in_pauses(findings)[0] == "entry 0"
