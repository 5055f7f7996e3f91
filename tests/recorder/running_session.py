"""A running session whose entries and media a real committer writes."""

from dataclasses import dataclass
from pathlib import Path

from recorder.clock import SessionClock
from recorder.contract import child
from recorder.record.entries import Level
from recorder.record.journal import Times
from recorder.running import NewKey, RunningSession
from tests.recorder.committing import Writer


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
        self.no_key: set[str] = set()
        """Tracks for which the keys' library fails."""
        self.restarted: list[tuple[str, str, str]] = []
        self.running = RunningSession(
            record="r", path=str(self.writer.root), hearing="h", clock=LabClock(0, self.writer), sink=self.writer.committer,
            make_key=self.make_key, send=self.send, restart=lambda *what: self.restarted.append(what),
        )  # fmt: skip

    def make_key(self, track: str, _part: int, _level: Level) -> NewKey:
        if track in self.no_key:
            raise RuntimeError("no entropy")
        return NewKey(child.MediaKey(key=bytes(16), kid=bytes(16)), b"wrapped")

    def send(self, device: str, message: child.Message) -> bool:
        self.sent.append((device, message))
        return self.there
