"""Tells the watch what lies on the disk: the parts with their keys, and each fragment once it is durable; and sees how far it is behind."""

from collections.abc import Iterable
from pathlib import Path

from recorder.child_process import ChildProcess
from recorder.contract import child
from recorder.ledger import Committed
from recorder.record import layout
from recorder.running import RunningSession

BEHIND_US = 10_000_000
"""What was recorded longer ago and is not judged yet is no proof within ten seconds."""


class WatchLink:
    """The way to the watch's child; without one (``None``) nothing is told. All of one record at a time."""

    def __init__(self, process: ChildProcess | None) -> None:
        self._process = process
        self._opened: child.Opened | None = None
        """The child as it was when it was last told everything: one that was started again knows nothing."""
        self._record = ""
        self._parts: dict[str, child.WatchPart] = {}
        self._before: frozenset[str] = frozenset()
        """The tracks of the record before, of which there may still be something on the way."""
        self._until_us: dict[str, tuple[int, int]] = {}
        """For each track until when (session time) it is judged, and until when it is on the disk."""

    def knows(self, track: str) -> bool:
        """Whether the watch was told of this track."""
        return track in self._parts or track in self._before

    def part(self, session: RunningSession, message: child.Init) -> None:
        """A part's header is about to be written. The watch is given no key to stills of an identity check: it has nothing to judge."""
        part = session.parts.get((message.track, message.part))
        if self._process is None or part is None or session.tracks[message.track].least == "identity":
            return
        if session.record != self._record:
            self._record, self._before = session.record, frozenset(self._parts)
            self._parts, self._until_us = {}, {}
        path = f"{session.path}/{layout.init_file(message.track, message.part)}"
        told = self._parts[message.track] = child.WatchPart(
            track=message.track, kind=message.kind, part=message.part, init_path=path, timescale=message.timescale, key=part.key
        )
        if self._is_there():
            self._process.send(told)

    def committed(self, root: Path, fragments: Iterable[Committed]) -> None:
        """These fragments are durable in the record at ``root``; where the watch does not keep up they are passed over."""
        if self._process is None:
            return
        there = self._is_there()
        for done in fragments:
            part = self._parts.get(done.track)
            if part is not None and part.part == done.part:
                from_us = done.t0 * 1_000_000 // part.timescale
                judged_us, _ = self._until_us.get(done.track, (from_us, 0))
                self._until_us[done.track] = judged_us, from_us + done.dur_us
            if there:
                self._process.send(
                    child.WatchCommitted(
                        track=done.track, part=done.part, path=f"{root}/{done.path}", off=done.off, len=done.len, t0=done.t0, dur=done.dur
                    ),
                    droppable=True,
                )

    def judged(self, message: child.Judged) -> None:
        """The watch tells how far it is."""
        for track, until_us in message.until_us.items():
            judged_us, stored_us = self._until_us.get(track, (0, 0))
            if stored_us:
                self._until_us[track] = max(judged_us, min(until_us, stored_us)), stored_us

    def behind_us(self) -> int:
        """How much of the room's own tracks is on the disk and not judged: of the one of which it is the most."""
        return max((stored - judged for track, (judged, stored) in self._until_us.items() if not track.startswith("remote-")), default=0)

    def _is_there(self) -> bool:
        """Whether the watch listens; one that has come back is told of every part first."""
        if self._process is None or self._process.opened is None:
            return False
        if self._process.opened is not self._opened:
            self._opened = self._process.opened
            for part in self._parts.values():
                self._process.send(part)
        return True
