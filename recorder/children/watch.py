"""The watch: reads back from the disk what was recorded, decodes it, and says when it is no proof of anything.

``python -m recorder.children.watch``, started by the core, at the lowest priority. It is told what was committed; it asks the kernel to
drop those pages before it reads them, so that the disk itself answers where the kernel obeys (it may keep what is in use elsewhere).

It decodes what the room's own devices gave. What participants sent it hands to a process that can do nothing else (``decoder``): here are
the keys of every track, and files.
"""

import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from recorder.baseline_file import REMEDY, BaselineError, read_floors
from recorder.children.decoder import FAILURE_CHARS, Measured
from recorder.children.decoder_link import DecoderLink, Question
from recorder.children.link import Link, now_us
from recorder.children.media_values import UNREADABLE, Measurer, MediaValues
from recorder.children.watch_rules import Change, Rules
from recorder.contract import child
from recorder.heap import keep_large_out

BATCH_US = 1_500_000
"""So much of a track is read back at a time: decoding is opened once for it."""
HOLD_MARGIN_S = 3.0
"""Batching and committing take up to this long of the time within which an alarm must come."""
JUDGED_EVERY_US = 500_000
MOST_PENDING_US = 15_000_000
"""So much of a participant's track may wait for the decoder; then it is passed over."""
REMOTE = "remote-"


@dataclass(slots=True)
class _Track:
    kind: Literal["video", "audio"]
    part: int
    init_path: str
    key: bytes | None
    timescale: int
    header: bytes = b""
    pending: list[child.WatchCommitted] = field(default_factory=list)
    asked: bool = False
    """The decoder is at a stretch of it."""
    end_us: int = 0
    judged_us: int = 0


class Watch:
    """The child's state."""

    def __init__(self, link: Link, configure: child.Configure) -> None:
        device = configure.device
        self._link = link
        self._tracks: dict[str, _Track] = {}
        self._record = ""
        self._hold_us = round(max(1.0, float(device.get("alarm_s", 8)) - HOLD_MARGIN_S) * 1_000_000)
        self._floors = floors_of(str(device.get("baseline") or ""))
        self._rules = Rules(self._hold_us, self._floors)
        self._measurer = Measurer()
        self._decoder = DecoderLink()
        self._told_us = 0
        link.send(child.Opened(driver="watch", address="", serial="", tracks={}, continuous=False))

    def run(self) -> None:
        """Read back until the core ends."""
        while True:
            message = self._link.wait(1.0)
            while message is not None:
                self._take(message)
                message = self._link.wait(0.0)
            for name, track in list(self._tracks.items()):
                if track.pending and self._length_us(track) >= BATCH_US:
                    self._judge(name, track)
                    self._tell_judged()
            for question, answer in self._decoder.answers():
                self._answered(question, answer)
            ends_us = {name: track.end_us for name, track in self._tracks.items() if not name.startswith(REMOTE)}
            self._tell(self._rules.late(ends_us, [name for name in ends_us if name != "room-out"]))
            self._tell_judged()

    def _take(self, message: child.ToChild) -> None:
        if isinstance(message, child.WatchPart):
            self._begin(message)
        elif isinstance(message, child.WatchCommitted):
            track = self._tracks.get(message.track)
            if track is not None and track.part == message.part:
                self._committed(message, track)
        elif isinstance(message, child.Seats):
            self._rules.muted = frozenset(message.muted)

    def _committed(self, message: child.WatchCommitted, track: _Track) -> None:
        """More of a track is on the disk; its header was there before."""
        if not track.header:
            try:
                track.header = Path(track.init_path).read_bytes()
            except OSError as error:
                self._tell(self._rules.unreadable(message.track, track.end_us, f"its header cannot be read: {error.strerror}"))
                return
        track.pending.append(message)
        track.end_us = _end_us(message, track)
        if not message.track.startswith(REMOTE):
            self._rules.recorded(message.t0 * 1_000_000 // track.timescale, track.end_us)

    def _begin(self, message: child.WatchPart) -> None:
        """A part begins; another record begins with no history."""
        record = str(Path(message.init_path).parents[2])
        if record != self._record:
            self._record = record
            self._tracks.clear()
            self._rules = Rules(self._hold_us, self._floors, self._rules.muted)
        old = self._tracks.get(message.track)
        if old is not None and old.pending:
            self._judge(message.track, old)
        self._tracks[message.track] = _Track(
            message.kind,
            message.part,
            message.init_path,
            message.key,
            message.timescale,
            end_us=old.end_us if old else 0,
            judged_us=old.judged_us if old else 0,
        )

    def _length_us(self, track: _Track) -> int:
        return sum(piece.dur for piece in track.pending) * 1_000_000 // track.timescale

    def _judge(self, name: str, track: _Track) -> None:
        """Have a batch read back and judge it; a participant's as soon as the decoder has answered."""
        if name.startswith(REMOTE):
            self._ask(name, track)
            return
        pieces, track.pending = track.pending, []
        track.judged_us = _end_us(pieces[-1], track)
        try:
            media = track.header, read_all(pieces)
            values = self._measurer.measure(name, track.part, track.kind, media, track.key)
        except UNREADABLE as error:
            self._unreadable(name, track.judged_us, str(error))
        else:
            self._heed(name, track.judged_us, values)

    def _ask(self, name: str, track: _Track) -> None:
        if not track.asked:
            pieces, track.pending = track.pending, []
            read = partial(read_all, pieces)
            question = Question(self._record, name, track.part, track.kind, track.key, track.header, _end_us(pieces[-1], track), read)
            track.asked = self._decoder.ask(question)
        elif self._length_us(track) > MOST_PENDING_US:
            track.pending.clear()

    def _answered(self, question: Question, answer: Measured | None) -> None:
        track = self._tracks.get(question.track)
        if track is None or question.record != self._record:
            return
        if track.part == question.part:
            track.asked = False
        if answer is None:
            return
        if answer.values is None:
            self._unreadable(question.track, question.end_us, answer.failure)
        else:
            self._heed(question.track, question.end_us, answer.values)

    def _heed(self, name: str, end_us: int, values: MediaValues) -> None:
        """Judge what a stretch that ends at ``end_us`` says."""
        if values.sound is not None:
            self._tell(self._rules.sound(name, end_us, values.sound))
        for at_us, picture in values.pictures:
            self._tell(self._rules.picture(name, at_us, picture))
        self._tell(self._rules.readable(name, end_us))
        measured = values.baseline()
        if measured:
            self._link.send(child.Baseline(track=name, at_us=end_us, values=measured))

    def _unreadable(self, name: str, end_us: int, detail: str) -> None:
        detail = f"what is on the disk does not decode: {detail[:FAILURE_CHARS]}"
        self._tell(self._rules.unreadable(name, end_us, detail))

    def _tell_judged(self) -> None:
        """Tell how far the room's own tracks are judged. Only said between two pieces of work: a watch that hangs says nothing."""
        now = now_us()
        if now - self._told_us >= JUDGED_EVERY_US:
            self._told_us = now
            until_us = {name: track.judged_us for name, track in self._tracks.items() if not name.startswith(REMOTE)}
            self._link.send(child.Judged(until_us=until_us))

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            self._link.send(
                child.Finding(track=change.track, code=change.code, on=change.on, at_us=change.at_us, detail=change.detail)  # type: ignore[arg-type]
            )


def _end_us(piece: child.WatchCommitted, track: _Track) -> int:
    return min((piece.t0 + piece.dur) * 1_000_000 // track.timescale, child.MAX_INTEGER)


def read_all(pieces: list[child.WatchCommitted]) -> bytes:
    """The bytes of a batch as the disk has them."""
    return b"".join(read_back(piece) for piece in pieces)


def read_back(piece: child.WatchCommitted) -> bytes:
    """The bytes as the disk has them."""
    descriptor = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, piece.off, piece.len, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, piece.len, piece.off)
    finally:
        os.close(descriptor)


def floors_of(path: str) -> dict[str, float]:
    """Each track's noise floor. A file that cannot be used is told in the log: the watch judges without it rather than not at all."""
    try:
        return read_floors(path)
    except BaselineError as error:
        print(f"{error}; the watch judges without it. {REMEDY}", file=sys.stderr, flush=True)  # noqa: T201 - the child's log
        return {}


def main() -> int:
    """Run the child."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    keep_large_out()
    link = Link()
    configure = link.wait()
    if not isinstance(configure, child.Configure):
        return 2
    Watch(link, configure).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
