"""What a record lost of each track before something was killed or cut off: no track may lose more than a second."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.room import Room

FRAME_US = 40_000
"""Period of the test picture, whose numbers count from the machine's start."""
MOST_LOST_US = 1_000_000
TRACKS = frozenset({"cam", "judge", "witness", "room-mix"})
UNSEALED_INTACT = 3
"""Exit status of ``courtroom verify`` for a record that is whole as far as it goes."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a running session: session time, and the number that the test picture has at it."""

    t_us: int
    number: int


def moment(it: Room) -> Moment:
    """Now; take it directly before a kill. Never earlier than it is: the recorder's answer took a little."""
    asked_us = time.monotonic_ns() // 1000
    status = it.wait(lambda _: True, "status")
    now_us = time.monotonic_ns() // 1000
    return Moment(status.t_us + now_us - asked_us, now_us // FRAME_US)


def lost_us(it: Room, record: Path, moments: Sequence[Moment]) -> dict[str, list[int]]:
    """For each track and moment how long before it the track's media ends: of the camera by the numbers in its decoded pictures, of the
    microphones and the mix by the ends of their fragments.

    Raises:
        AssertionError: a track is missing, or has nothing at all before a moment.
    """
    numbers = [number for _, number, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
    seen = [number for number in numbers if number is not None]
    assert len(seen) == len(numbers), "a picture whose number cannot be read"
    lost = {"cam": [(at.number - _last("cam", [n for n in seen if n <= at.number])) * FRAME_US for at in moments]}
    for track, spans in _spans(record).items():
        if track != "cam":
            lost[track] = [at.t_us - _last(track, [min(to_us, at.t_us) for from_us, to_us in spans if from_us < at.t_us]) for at in moments]
    assert set(lost) == TRACKS
    return lost


def assert_little_lost(it: Room, record: Path, moments: Sequence[Moment]) -> None:
    """No track lost more than a second before any of the moments."""
    assert moments
    for track, lost in lost_us(it, record, moments).items():
        assert max(lost) <= MOST_LOST_US, f"{track} lost {max(lost)} us before kill {lost.index(max(lost))}: {lost}"


def assert_unsealed_and_intact(it: Room, record: Path) -> None:
    """What was recovered verifies before it is sealed, too."""
    verdict = it.verify(record)
    assert verdict.returncode == UNSEALED_INTACT, verdict.stdout + verdict.stderr


def _last(track: str, ends: list[int]) -> int:
    assert ends, f"{track} has nothing before a kill"
    return max(ends)


def _spans(record: Path) -> dict[str, list[tuple[int, int]]]:
    """Session times (from, to) of every fragment of every track."""
    timescales: dict[tuple[str, int], int] = {}
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, entry in read_journal(record):
        if isinstance(entry, entries.Init):
            timescales[entry.track, entry.part] = entry.timescale
        elif isinstance(entry, entries.Frag):
            scale = timescales[entry.track, entry.part]
            spans[entry.track].append((entry.t0 * 1_000_000 // scale, (entry.t0 + entry.dur) * 1_000_000 // scale))
    return spans
