"""Reads a record's journal on from a place: the valid lines into a state, and what stands behind the last of them."""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recorder.journal_state import JournalState, Place
from recorder.record import layout
from recorder.record.journal import JournalError, read_line_fast

_REPEATED_LINES = 4096
"""How many of the last lines a further journal file may begin with."""
_BREATH_LINES = 100


@dataclass(slots=True)
class JournalEnd:
    """How a journal ends: its last file, that file's length, and how far of it is valid."""

    number: int
    off: int
    valid_off: int


def read_on(record: Path, state: JournalState, *, last: int | None = None, breathe: Callable[[], None] | None = None) -> JournalEnd:
    """Read the lines behind ``state.place``, up to line ``last`` or to the end; ``breathe`` is called between every hundred lines.

    Lines that are torn, or repeated at the beginning of a further file, are passed over.

    Raises:
        OSError: the disk failed.
    """
    number, off = state.place.number, state.place.off
    end = JournalEnd(number, off, off)
    while (path := record / layout.journal_file(number)).exists():
        end.number, end.off, end.valid_off = number, off, off
        begins = number > 1 and off == 0  # with the lines whose sync had failed in the file before, written again
        known = _last_lines(record / layout.journal_file(number - 1)) if begins else frozenset()
        with path.open("rb") as file:
            file.seek(off)
            for count, raw in enumerate(file):
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
                    again = error.kind != "not_canonical" and hashlib.sha256(body).digest() in known
                    if begins and (again or (not body and line_off == 0)):
                        end.valid_off = end.off
                    continue
                begins, end.valid_off = False, end.off
                state.take(line, entry, head, Place(number, line_off, end.off))
        number, off = number + 1, 0
    return end


def _last_lines(path: Path) -> frozenset[bytes]:
    """The hashes of a file's last lines."""
    with path.open("rb") as file:
        return frozenset(hashlib.sha256(raw.removesuffix(b"\n")).digest() for raw in deque(file, _REPEATED_LINES))
