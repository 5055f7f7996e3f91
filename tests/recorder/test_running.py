"""A running session: what it takes of its children, and what it says of those that are away."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from recorder.clock import SessionClock
from recorder.contract import child
from recorder.record import layout
from recorder.record.journal import Times
from recorder.running import NewKey, RunningSession
from tests.recorder.committing import Writer, judged


@dataclass(frozen=True, slots=True)
class LabClock(SessionClock):
    """The writer's clock as a session's."""

    writer: Writer

    def times(self) -> Times:
        return self.writer.times()


class Session:
    """A session beside the two tracks of a real committer."""

    def __init__(self, base: Path) -> None:
        self.writer = Writer(base)
        self.there = True
        self.sent: list[tuple[str, child.Message]] = []
        self.running = RunningSession(
            record="r", path=str(self.writer.root), hearing="h", clock=LabClock(0, self.writer), sink=self.writer.committer,
            make_key=lambda *_: NewKey(child.MediaKey(key=bytes(16), kid=bytes(16)), b"wrapped"), send=self.send,
        )  # fmt: skip

    def send(self, device: str, message: child.Message) -> bool:
        self.sent.append((device, message))
        return self.there


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
