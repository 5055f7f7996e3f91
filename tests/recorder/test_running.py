"""A running session: what it takes of its children, and what it says of those that are away."""

from pathlib import Path

import pytest

from recorder.contract import child, control
from recorder.record import layout
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
