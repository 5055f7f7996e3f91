"""Tells the watch what lies on the disk: the parts with their keys, and each fragment once it is durable."""

from collections.abc import Iterable
from pathlib import Path

from recorder.child_process import ChildProcess
from recorder.contract import child
from recorder.ledger import Committed
from recorder.record import layout
from recorder.running import RunningSession


class WatchLink:
    """The way to the watch's child; without one (``None``) nothing is told."""

    def __init__(self, process: ChildProcess | None) -> None:
        self._process = process

    def part(self, session: RunningSession, message: child.Init) -> None:
        """A part's header is about to be written."""
        part = session.parts.get((message.track, message.part))
        if self._process is None or part is None:
            return
        path = f"{session.path}/{layout.init_file(message.track, message.part)}"
        self._process.send(child.WatchPart(track=message.track, kind=message.kind, part=message.part, init_path=path, key=part.key))

    def committed(self, root: Path, fragments: Iterable[Committed]) -> None:
        """These fragments are durable in the record at ``root``; where the watch does not keep up they are passed over."""
        if self._process is None:
            return
        for done in fragments:
            self._process.send(
                child.WatchCommitted(
                    track=done.track, part=done.part, path=f"{root}/{done.path}", off=done.off, len=done.len, t0=done.t0, dur=done.dur
                ),
                droppable=True,
            )
