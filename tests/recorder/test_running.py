"""A running session: what it takes of its children, and what it says of those that are away."""

from pathlib import Path

import pytest

from recorder.contract import child, control
from recorder.record import entries, layout
from recorder.seal import read_journal
from tests.recorder.committing import judged
from tests.recorder.running_session import Session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def init(track: str, part: int, timescale: int = 48_000) -> child.Init:
    return child.Init(track=track, part=part, kind="audio", codec="opus", timescale=timescale)


def test_a_header_that_comes_twice_is_refused_and_the_first_one_stays(session: Session) -> None:
    session.writer.record(2)
    session.running.add_tracks("ingest", {"remote-a": "audio"}, continuous=False)
    session.running.start_device("ingest", 1)
    assert session.running.take_init(init("remote-a", 0), b"the first header")
    assert not session.running.take_init(init("remote-a", 0, 1), b"another header, and a larger one")
    session.writer.record(2)
    assert (session.writer.root / layout.init_file("remote-a", 0)).read_bytes() == b"the first header"
    assert session.running.parts["remote-a", 0].timescale == 48_000
    session.writer.seal()
    verdict = judged(session.writer.root)
    assert verdict.level == "sealed", verdict.findings


def test_a_participant_who_has_left_costs_no_new_key_when_recording_goes_on(session: Session) -> None:
    running = session.running
    running.add_tracks("ingest", {"remote-a": "audio", "remote-b": "audio"}, continuous=False)
    running.start_device("ingest", 1)
    running.forget_track("remote-a")
    running.pause(control.PauseRequest(state="off_record", actor="Judge"), 2)
    running.resume("Judge", 3)
    assert [sorted(m.tracks) for _, m in session.sent if isinstance(m, child.StartPart)] == [["remote-a", "remote-b"], ["remote-b"]]
    running.add_tracks("ingest", {"remote-a": "audio"}, continuous=False)
    running.start_device("ingest", 4, only="remote-a")
    assert running.tracks["remote-a"].part == 1


def test_a_device_that_comes_back_while_the_session_ends_begins_no_part_which_nobody_would_close(session: Session) -> None:
    running = session.running
    running.add_tracks("cam", {"cam": "video"}, continuous=True)
    running.start_device("cam", 1)
    running.close_parts(2)
    running.ending = True
    running.device_lost("cam", "frozen", "")
    running.start_or_retry("cam", 3)
    assert [number for _, number in running.parts] == [0]
    assert len([message for _, message in session.sent if isinstance(message, child.StartPart)]) == 1


def record(session: Session, track: str, at_us: int) -> None:
    """Half a second of a track's present part."""
    part = session.running.tracks[track].part
    session.running.take_init(init(track, part, 1_000_000), b"header")
    media = child.Fragment(track=track, part=part, t0=at_us, dur=500_000, timescale=1_000_000, key=True, new_segment=True)
    assert session.running.take_fragment(media, b"media")
    session.writer.t_us = at_us + 500_000


def resumed_without(session: Session, *, there: bool) -> None:
    """A microphone records a second and is lost in a pause; recording goes on without it, and it is back twelve seconds later."""
    running = session.running
    running.add_tracks("mic", {"judge": "audio"}, continuous=True)
    running.start_device("mic", 0)
    record(session, "judge", 0)
    record(session, "judge", 500_000)
    running.pause(control.PauseRequest(state="deliberation", actor="Judge"), 1_000_000)
    running.device_lost("mic", "unplugged", "")
    session.writer.t_us = 10_000_000
    session.there = there
    running.resume("Judge", 10_000_000)
    session.writer.t_us = 22_000_000
    assert not running.stalled(22_000_000)
    session.there = True
    running.start_device("mic", 22_000_000)
    assert not running.stalled(26_000_000), "it has its time from when it was back"
    record(session, "judge", 22_000_000)
    session.writer.seal()


@pytest.mark.parametrize(("there", "cause"), [(False, "missing"), (True, "awaiting_keyframe")])
def test_a_device_that_is_away_when_recording_goes_on_is_missing_from_that_moment(session: Session, there: bool, cause: str) -> None:
    resumed_without(session, there=there)
    told = [entry for _, entry in read_journal(session.writer.root) if isinstance(entry, entries.Gap | entries.GapEnd)]
    [gap, end] = [entry for entry in told if entry.track == "judge"]
    assert isinstance(gap, entries.Gap)
    assert isinstance(end, entries.GapEnd)
    assert (gap.cause, gap.from_us, end.from_us, end.to_us) == (cause, 10_000_000, 10_000_000, 22_000_000)
    verdict = judged(session.writer.root)
    assert verdict.level == "sealed", verdict.findings
    assert not [interval for interval in verdict.not_recorded if interval.track == "judge" and not interval.declared]


def test_a_session_that_ends_while_a_device_is_away_waits_for_nothing_of_it(session: Session) -> None:
    running = session.running
    running.add_tracks("mic", {"judge": "audio"}, continuous=True)
    session.there = False
    running.start_device("mic", 0)
    running.close_parts(5_000_000)
    assert running.all_ended()


@pytest.mark.parametrize("broken", ["judge", "witness"])
@pytest.mark.parametrize("anew", ["resume", "level"])
def test_a_device_whose_recording_cannot_begin_is_a_gap_and_started_again_while_the_others_go_on(
    session: Session, anew: str, broken: str
) -> None:
    running = session.running
    running.add_tracks("a-mic", {"judge": "audio", "witness": "audio"}, continuous=True)
    running.add_tracks("cam", {"bench": "video"}, continuous=True)
    for device in ("a-mic", "cam"):
        running.start_device(device, 0)
    for track in ("judge", "witness", "bench"):
        record(session, track, 0)
    began_us = 500_000 if anew == "level" else 2_000_000
    if anew == "resume":
        running.pause(control.PauseRequest(state="off_record", actor="Judge"), 500_000)
    session.writer.t_us, session.no_key = began_us, {broken}
    session.sent.clear()
    if anew == "resume":
        running.resume("Judge", began_us)
    else:
        running.set_level(control.SetLevel(level="closed", actor="Judge"), began_us)
    assert [device for device, message in session.sent if isinstance(message, child.StartPart)] == ["cam"]
    [(device, cause, detail)] = session.restarted
    assert (device, cause) == ("a-mic", "not_started")
    assert "no entropy" in detail
    for track in ("judge", "witness"):
        late = child.Fragment(track=track, part=0, t0=began_us, dur=500_000, timescale=1_000_000, key=True, new_segment=False)
        assert not running.take_fragment(late, b"of the level before, or of a pause")
    record(session, "bench", began_us)
    assert running.parts["bench", 1].level == ("closed" if anew == "level" else "open")
    running.device_lost("a-mic", cause, detail)
    session.no_key = set()
    running.start_or_retry("a-mic", 5_000_000)
    for track in ("judge", "witness"):
        record(session, track, 5_000_000)
    session.writer.seal()
    told = [entry for _, entry in read_journal(session.writer.root) if isinstance(entry, entries.Gap | entries.GapEnd)]
    for track in ("judge", "witness"):
        [gap, end] = [entry for entry in told if entry.track == track]
        assert isinstance(gap, entries.Gap)
        assert isinstance(end, entries.GapEnd)
        assert (gap.cause, gap.from_us, end.to_us) == ("not_started", began_us, 5_000_000)
    verdict = judged(session.writer.root)
    assert verdict.level == "sealed", verdict.findings


def test_what_a_child_sends_late_of_one_session_is_not_taken_for_the_next_one_s(tmp_path: Path) -> None:
    first, second = Session(tmp_path / "first"), Session(tmp_path / "second")
    second.running.next_parts = first.running.next_parts
    for session in (first, second):
        session.running.add_tracks("mic", {"judge": "audio"}, continuous=True)
        session.running.start_device("mic", 0)
    running = second.running
    assert not running.take_init(init("judge", 0), b"the first session's header")
    running.part_ended(child.PartEnded(track="judge", part=0, end_us=0))
    assert not running.parts["judge", 1].ended
    assert running.take_init(init("judge", 1), b"header")


@pytest.mark.parametrize("how", ["pause", "stop"])
def test_a_device_that_dies_while_it_closes_its_part_leaves_a_gap_to_where_that_was_to_end(session: Session, how: str) -> None:
    running = session.running
    running.add_tracks("mic", {"judge": "audio"}, continuous=True)
    running.start_device("mic", 0)
    record(session, "judge", 0)
    if how == "pause":
        running.pause(control.PauseRequest(state="off_record", actor="Judge"), 3_000_000)
    else:
        running.close_parts(3_000_000)
        for track in running.tracks.values():
            running.journal(*track.paused(3_000_000))
    running.device_lost("mic", "frozen", "")
    running.device_lost("mic", "frozen", "")
    session.writer.seal()
    told = [entry for _, entry in read_journal(session.writer.root) if isinstance(entry, entries.Gap | entries.GapEnd)]
    assert told == [
        entries.Gap(track="judge", cause="frozen", detail="", from_us=500_000),
        entries.GapEnd(track="judge", from_us=500_000, to_us=3_000_000),
    ]
