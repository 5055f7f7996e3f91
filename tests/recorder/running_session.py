"""A running session whose entries and media a real committer writes."""

from dataclasses import dataclass
from pathlib import Path

from recorder.clock import SessionClock
from recorder.contract import child
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
        self.running = RunningSession(
            record="r", path=str(self.writer.root), hearing="h", clock=LabClock(0, self.writer), sink=self.writer.committer,
            make_key=lambda *_: NewKey(child.MediaKey(key=bytes(16), kid=bytes(16)), b"wrapped"), send=self.send,
        )  # fmt: skip

    def send(self, device: str, message: child.Message) -> bool:
        self.sent.append((device, message))
        return self.there
