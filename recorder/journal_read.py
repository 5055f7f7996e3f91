"""Reads a record's journal on from a place: the valid lines into a state, and what stands behind the last of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from recorder.journal_state import JournalState, Place
from recorder.record import entries, layout
from recorder.record.entries import AnyEntry
from recorder.record.file_check import open_plain
from recorder.record.journal import MAX_LINE_BYTES, JournalError, entry_number, read_line_fast
from recorder.signed_end import SignedEnd

_BREATH_LINES = 100
_BLOCK_BYTES = 1024 * 1024
_PIECE_BYTES = 2 * MAX_LINE_BYTES


@dataclass(slots=True)
class Tail:
    """Bytes at the end of a journal file behind which a further one goes on, and which no line there explains yet."""

    number: int
    off: int
    end_off: int
    last_seq: int
    """The highest number among the whole lines in them; -1: there is none."""

    def is_explained_by(self, seq: int, entry: AnyEntry) -> bool:
        """Whether the valid lines up to this one repeat all lines in them, or a recovery named them all."""
        if isinstance(entry, entries.Recovered):
            named = [torn.len for torn in entry.torn if (torn.file, torn.off) == (layout.journal_file(self.number), self.off)]
            self.off += sum(named)  # the recovery's own append may have failed behind what it names
        return self.off >= self.end_off or seq >= self.last_seq


@dataclass(slots=True)
class JournalEnd:
    """How a journal ends: its last file, that file's length, and how far of it is valid."""

    number: int
    off: int
    valid_off: int
    left: list[Tail] = field(default_factory=list)
    """Of the files before."""


def read_on(
    record: Path,
    state: JournalState,
    *,
    last: int | None = None,
    breathe: Callable[[], None] | None = None,
    signed: SignedEnd | None = None,
) -> JournalEnd:
    """Read the lines behind ``state.place``, up to line ``last`` or to the end; ``breathe`` is called between every hundred lines.

    Lines that are torn, or repeated at the beginning of a further file, are passed over.

    Raises:
        OSError: the disk failed.
    """
    number, off = state.place.number, state.place.off
    end, last_seq = JournalEnd(number, off, off), -1
    while (path := record / layout.journal_file(number)).exists():
        repeated = None
        if end.number < number:  # it begins with the lines whose sync had failed in the file before, written again
            repeated = _Repeated(record / layout.journal_file(end.number), end.valid_off)
            if end.valid_off < end.off:
                end.left.append(Tail(end.number, end.valid_off, end.off, last_seq))
        end.number, end.off, end.valid_off, last_seq = number, off, off, -1
        with open_plain(path) as file:
            file.seek(off)
            for count, raw in enumerate(lines_of(file)):
                if last is not None and state.head.at >= last:
                    return end
                if breathe is not None and count % _BREATH_LINES == 0:
                    breathe()
                line_off, end.off = end.off, end.off + len(raw)
                body = raw.removesuffix(b"\n")
                try:
                    line, entry, head = read_line_fast(body, state.head)
                except JournalError as error:
                    # What is no entry was torn, in the file before too: both tries of an append may have ended in the same place.
                    again = error.kind == "sequence" and repeated is not None and repeated.goes_on_with(body)
                    if again or (repeated is not None and not body and line_off == 0):
                        end.valid_off = end.off
                    else:
                        seq = entry_number(body)
                        repeated, last_seq = None, last_seq if seq is None else max(last_seq, seq)
                    continue
                repeated, end.valid_off, last_seq = None, end.off, -1
                state.take(line, entry, head, Place(number, line_off, end.off))
                if signed is not None:
                    signed.take(line, entry, head)
                if end.left:
                    end.left = [tail for tail in end.left if not tail.is_explained_by(line.seq, entry)]
        number, off = number + 1, 0
    return end


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an open journal file; what has no end for longer than any line comes in pieces, so that memory stays bounded."""
    return iter(partial(file.readline, _PIECE_BYTES), b"")


class _Repeated:
    """Lines of a further journal file against those of the file before, one by one from wherever the first of them stands there."""

    def __init__(self, before: Path, until_off: int) -> None:
        self._before = before
        self._until_off = until_off
        self._lines: Iterator[bytes] | None = None

    def goes_on_with(self, body: bytes) -> bool:
        """Whether the next line is the next one there, too."""
        if self._lines is None:
            at = _place_of(self._before, body, self._until_off)
            self._lines = iter(()) if at is None else _lines(self._before, at, self._until_off)
        return next(self._lines, None) == body


def _lines(path: Path, off: int, until_off: int) -> Iterator[bytes]:
    with open_plain(path) as file:
        file.seek(off)
        for raw in lines_of(file):
            off += len(raw)
            if off > until_off:
                return
            yield raw.removesuffix(b"\n")


def _place_of(path: Path, body: bytes, until_off: int) -> int | None:
    """Where a line stands last in a file, looked for from its end: what is written again stood there."""
    wanted = b"\n" + body
    with open_plain(path) as file:
        end = until_off
        while end > 0:
            begin = max(0, end - _BLOCK_BYTES)
            file.seek(begin)
            at = file.read(min(end + len(wanted) - 1, until_off) - begin).rfind(wanted)
            if at >= 0:
                return begin + at + 1
            end = begin
        file.seek(0)
        return 0 if file.read(len(body)) == body else None
