"""The watch: reads back from the disk what was recorded, decodes it, and says when it is no proof of anything.

``python -m recorder.children.watch``, started by the core, at the lowest priority. It is told what was committed; it asks the kernel to
drop those pages before it reads them, so that the disk itself answers where the kernel obeys (it may keep what is in use elsewhere).
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from recorder.cenc import CencError
from recorder.children.link import Link
from recorder.children.media_reader import join, keyframes_of, sound_of
from recorder.children.signal_checks import measure_picture, measure_sound, small
from recorder.children.watch_rules import Change, Rules
from recorder.contract import child
from recorder.heap import keep_small

BATCH_US = 1_500_000
"""So much of a track is read back at a time: decoding is opened once for it."""
HOLD_MARGIN_S = 3.0
"""Batching and committing take up to this long of the time within which an alarm must come."""


@dataclass(slots=True)
class _Track:
    kind: str
    part: int
    init_path: str
    key: bytes | None
    header: bytes = b""
    timescale: int = 1
    pending: list[child.WatchCommitted] = field(default_factory=list)
    before: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None" = None
    end_us: int = 0


class Watch:
    """The child's state."""

    def __init__(self, link: Link, configure: child.Configure) -> None:
        device = configure.device
        self._link = link
        self._tracks: dict[str, _Track] = {}
        self._record = ""
        self._hold_us = round(max(1.0, float(device.get("alarm_s", 8)) - HOLD_MARGIN_S) * 1_000_000)
        self._floors = read_floors(str(device.get("baseline") or ""))
        self._rules = Rules(self._hold_us, self._floors)
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
            self._tell(self._rules.late({n: t.end_us for n, t in self._tracks.items()}, self._continuous()))

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
            track.timescale = timescale_of(track.header)
        track.pending.append(message)
        track.end_us = (message.t0 + message.dur) * 1_000_000 // track.timescale

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
        self._tracks[message.track] = _Track(message.kind, message.part, message.init_path, message.key, end_us=old.end_us if old else 0)

    def _length_us(self, track: _Track) -> int:
        return sum(piece.dur for piece in track.pending) * 1_000_000 // track.timescale

    def _judge(self, name: str, track: _Track) -> None:
        """Read a batch back, decode and judge it."""
        pieces, track.pending = track.pending, []
        end_us = (pieces[-1].t0 + pieces[-1].dur) * 1_000_000 // track.timescale
        try:
            stream = join(track.header, b"".join(read_back(piece) for piece in pieces), track.key)
            if track.kind == "audio":
                values = measure_sound(sound_of(stream))
                self._tell(self._rules.sound(name, end_us, values))
                measured = {"rms_dbfs": values.rms_dbfs, "peak_dbfs": values.peak_dbfs}
            else:
                measured = {}
                for at_us, luma in keyframes_of(stream):
                    picture = small(luma).copy()
                    seen = measure_picture(picture, track.before)
                    track.before = picture
                    self._tell(self._rules.picture(name, at_us, seen))
                    measured = {"brightness": seen.brightness, "sharpness": seen.sharpness}
            self._tell(self._rules.readable(name, end_us))
        except (OSError, CencError, av.FFmpegError, ValueError, IndexError) as error:
            self._tell(self._rules.unreadable(name, end_us, f"what is on the disk does not decode: {error}"))
            return
        if measured:
            self._link.send(child.Baseline(track=name, at_us=end_us, values=measured))

    def _continuous(self) -> list[str]:
        return [name for name in self._tracks if not name.startswith("remote-") and name != "room-out"]

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            self._link.send(
                child.Finding(track=change.track, code=change.code, on=change.on, at_us=change.at_us, detail=change.detail)  # type: ignore[arg-type]
            )


def read_back(piece: child.WatchCommitted) -> bytes:
    """The bytes as the disk has them."""
    descriptor = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, piece.off, piece.len, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, piece.len, piece.off)
    finally:
        os.close(descriptor)


def timescale_of(header: bytes) -> int:
    """The media's timescale, from ``mdhd`` (ISO/IEC 14496-12, 8.4.2)."""
    at = header.find(b"mdhd")
    if at < 0:
        return 1
    body = at + 4
    shift = 20 if header[body] == 1 else 12
    return int.from_bytes(header[body + shift : body + shift + 4], "big") or 1


def read_floors(path: str) -> dict[str, float]:
    """Each sound track's noise floor from a baseline file; none where there is no file."""
    if not path or not Path(path).exists():
        return {}
    tracks = json.loads(Path(path).read_text(encoding="utf-8"))["tracks"]
    return {name: float(values["floor_dbfs"]) for name, values in tracks.items() if "floor_dbfs" in values}


def main() -> int:
    """Run the child."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    keep_small()
    link = Link()
    configure = link.wait()
    if not isinstance(configure, child.Configure):
        return 2
    Watch(link, configure).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
