"""Which of two copies of an unsealed record goes on: the one with the longer chain. Told by their ends, where those agree."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import structlog

from recorder.journal_state import Place
from recorder.record import canonical, layout
from recorder.record.file_check import open_plain
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, entry_number, read_line_fast
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
    """The last line of the chain, as the ends of the last journal files show it by themselves.

    None where they do not: where a line there does not follow the one before it, as behind a page that the disk lost, what stands there may
    belong to no chain, and only the whole journal tells. (A page that was lost before is found by the recheck in the background.)
    """
    last = 1
    while (record / layout.journal_file(last + 1)).exists():
        last += 1
    first = last  # of those that are looked at: a long one says by itself where its end is
    while first > 1 and (record / layout.journal_file(first)).stat().st_size <= TAIL_BYTES:
        first -= 1
    end = None
    for number in range(first, last + 1):
        end = _end_of(record, number, end)
        if end is None:
            return None
    return end


def _end_of(record: Path, number: int, before: ChainEnd | None) -> ChainEnd | None:
    """The last line of the chain in the journal's files up to this one; ``before``: in those before it."""
    path = record / layout.journal_file(number)
    off = max(0, path.stat().st_size - TAIL_BYTES)
    with open_plain(path) as file:
        file.seek(off)
        lines = file.read(TAIL_BYTES).split(b"\n")
    is_all = off == 0
    if not is_all or (number > 1 and not lines[0]):
        off += len(lines.pop(0)) + 1  # the end of a line, or the line end before a line that could not be ended in the file before
    # What is cut out begins anywhere, and a further file with lines of the one before: the first whole line says where it is.
    head = BEFORE_FIRST if is_all and number == 1 else _before(lines[0] if lines else b"")
    if head is None or (is_all and number > 1 and (before is None or head.at > before.head.at)):
        return None
    end = before
    for raw in lines:
        line_off, off = off, off + len(raw) + 1
        try:
            _, _, head = read_line_fast(raw, head)
        except JournalError:
            if entry_number(raw) is not None:
                return None  # the line before it stands elsewhere
            continue  # torn, or nothing behind the last line end
        if end is None or head.at > end.head.at:
            end = ChainEnd(head, Place(number, line_off, line_off + len(raw)))
    return end


def _before(raw: bytes) -> Head | None:
    """The head that a line says to follow; None where it is no line."""
    try:
        line = canonical.decode(raw)
        return Head(int(line["seq"]) - 1, str(line["prev"]))
    except (canonical.NotCanonicalError, KeyError, TypeError, ValueError):
        return None


def _line_hash(record: Path, place: Place) -> str:
    path = record / layout.journal_file(place.number)
    if not path.exists():
        return ""
    with open_plain(path) as file:
        file.seek(place.line_off)
        return hashlib.sha256(file.read(place.off - place.line_off)).hexdigest()
