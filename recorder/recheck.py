"""Reads a record again that was taken up after a crash, up to where it was left: a process of its own, below all others.

It is no thread of the core: one that held the interpreter's lock while something more important had the processor would hold the committer
up. It says what it finds in lines of JSON (``Sums``, ``Damage``), and rests between two reads for longer than it worked.

    python -m recorder.recheck <record> <number of the last journal file> <how far of it> <number of its last entry>
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from recorder.journal_state import JournalState, Place
from recorder.record import layout
from recorder.record.entries import TrackTotal
from recorder.record.file_check import FileState, blocks, check_file
from recorder.record.journal_reader import JournalReader, split_lines
from recorder.record.replay import Expected, Replay
from recorder.record.seal_check import check_checkpoints
from recorder.record.verdict import Findings
from recorder.recovery import totals

REST = 3.0
"""For how many times as long as it worked it rests."""
_REST_MOST_S = 1.0
_PR_SET_PDEATHSIG = 1


class Damage(msgspec.Struct, frozen=True, tag="damage"):
    """Something does not match."""

    text: str


class Sums(msgspec.Struct, frozen=True, tag="sums"):
    """The tracks' sums as the journal has them."""

    tracks: list[TrackTotal]


Answer = Damage | Sums
Tell = Callable[[Answer], None]


class Pace:
    """Rests after each block of bytes."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()

    def __call__(self, _size_bytes: int) -> None:
        """Rest for longer than the work since the last rest took."""
        time.sleep(min(_REST_MOST_S, REST * (time.monotonic() - self._since_s)))
        self._since_s = time.monotonic()


def recheck(record: Path, number: int, off: int, last: int, tell: Tell, pace: Callable[[int], None]) -> None:
    """Read the journal up to byte ``off`` of its ``number``-th file, where entry ``last`` stood, and each file that it speaks of."""
    findings = Findings()
    reader = JournalReader(findings)
    replay, state = Replay(findings, reader.digest), JournalState()
    try:
        for each in range(1, number + 1):
            name = layout.journal_file(each)
            for line, entry in reader.read(name, split_lines(_up_to(record / name, off if each == number else None, pace))):
                replay.take(line, entry)
                state.take(line, entry, reader.head, Place())
    except OSError as error:
        tell(Damage(f"the journal cannot be read: {error}"))
        return
    tell(Sums(totals(state)))
    reader.finish()
    replay.finish()
    if reader.head.at != last and not reader.broken:
        tell(Damage(f"{layout.journal_file(number)}: entry {last} stood there at the start, now {reader.head.at} is the last"))
    check_checkpoints(record, replay, findings)
    for finding in findings.all():
        if finding.severity == "error":
            tell(Damage(f"{finding.place}: {finding.text}"))
    for path, expected in sorted(replay.files.items()):
        words = _compared(expected, record / path, pace)
        if words:
            tell(Damage(f"{path}: {words}"))


def main(arguments: list[str]) -> int:
    """Run the process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):  # where a unit forbids it, resting is what is left
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    record, (number, off, last) = Path(arguments[0]), map(int, arguments[1:])

    def tell(answer: Answer) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()

    recheck(record, number, off, last, tell, Pace())
    return 0


def _up_to(path: Path, size: int | None, pace: Callable[[int], None]) -> Iterator[memoryview]:
    left = path.stat().st_size if size is None else size
    for block in blocks(path, pace):
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


def _compared(expected: Expected, path: Path, pace: Callable[[int], None]) -> str:
    """What is wrong with a file, in words; empty where nothing is."""
    if not path.exists():
        return "" if expected.may_lack and expected.len == 0 else "is not there any more"
    state = check_file(path, expected.pieces, pace)
    if state.unreadable:
        return f"cannot be read: {state.unreadable}"
    _let_go(path)
    if expected.sha256 is None:
        return _pieces(state)
    if state.len != expected.len:
        return f"has {state.len} bytes in place of {expected.len}"
    if state.sha256 != expected.sha256:
        return "its bytes are not those that were recorded"
    return _pieces(state)


def _pieces(state: FileState) -> str:
    wrong = [f"{piece.off} to {piece.off + piece.len}" for piece in state.wrong]
    return f"bytes {', '.join(wrong[:3])} are not those that were recorded" if wrong else ""


def _let_go(path: Path) -> None:
    """Leave the system's memory to those who write."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
