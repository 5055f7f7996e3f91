"""Which of two copies of an unsealed record goes on: the one with the longer chain. Told by their ends, where those agree."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import structlog

from recorder.journal_state import Place
from recorder.record import canonical, layout
from recorder.record.journal import Head, JournalError, read_line_fast
from recorder.recovery import chain_of

log = structlog.get_logger()

TAIL_BYTES = 4 * 1024 * 1024
"""How much of a journal's end is looked at: a line has 1 MiB at most."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last valid line of a journal, and where it stands."""

    head: Head
    place: Place


def longer(primary: Path, mirror: Path) -> Path:
    """Of two copies of a record the one that goes on.

    They may differ in lines that one disk failed to take and the other then took otherwise: what was committed is the longer one, for
    the round that was planned anew holds all that the failed one held, and says besides what was given up. The other copy's files are set
    aside when it is caught up.

    Raises:
        OSError: a disk failed.
    """
    one, other = chain_end(primary), chain_end(mirror)
    if one is not None and other is not None:
        shorter, long_copy = (other, primary) if one.head.at >= other.head.at else (one, mirror)
        # A line names the one before it: where one line of both is the same, so are all before it.
        if _line_hash(long_copy, shorter.place) == shorter.head.sha256:
            return long_copy
    heads, others = chain_of(primary), chain_of(mirror)
    both = min(len(heads), len(others))
    if heads[:both] != others[:both]:
        log.error("the two copies of a record differ in what both hold; the longer is taken", record=primary.name)
    return mirror if len(others) > len(heads) else primary


def chain_end(record: Path) -> ChainEnd | None:
    """The last line that follows the one before it; None where the end of the last journal file does not show it."""
    number = 1
    while (record / layout.journal_file(number + 1)).exists():
        number += 1
    path = record / layout.journal_file(number)
    off = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, off - TAIL_BYTES))
        lines = file.read(TAIL_BYTES).split(b"\n")
    off += 1  # the last piece has no line end
    for before, raw in reversed(list(pairwise(lines))):
        off -= len(raw) + 1
        if _seq(raw) is None:
            continue  # torn, or nothing behind the last line end
        try:
            _, _, head = read_line_fast(raw, Head(_seq(before) or 0, hashlib.sha256(before).hexdigest()))
        except JournalError:
            return None  # the line before it stands elsewhere
        return ChainEnd(head, Place(number, off, off + len(raw)))
    return None


def _seq(raw: bytes) -> int | None:
    """The number of a line; None where it is none."""
    try:
        return int(canonical.decode(raw)["seq"])
    except (canonical.NotCanonicalError, KeyError, TypeError, ValueError):
        return None


def _line_hash(record: Path, place: Place) -> str:
    path = record / layout.journal_file(place.number)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(place.line_off)
        return hashlib.sha256(file.read(place.off - place.line_off)).hexdigest()
