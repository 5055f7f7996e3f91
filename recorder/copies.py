"""Which of two copies of an unsealed record goes on: the longer one, or where they part, the one that is signed further.

Told by their ends, where those agree. Lines cost nothing: whoever had one of the disks can write as many as he likes, but signs none.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.journal_state import Place
from recorder.record import canonical, entries, layout
from recorder.record.checkpoint import signing_text
from recorder.record.file_check import open_plain
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, entry_number, read_line_fast
from recorder.record.seal_check import canonical_base64
from recorder.seal import read_heads

log = structlog.get_logger()

TAIL_BYTES = 4 * 1024 * 1024
"""How much of a journal's end is looked at: a line has 1 MiB at most."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last valid line of a journal, and where it stands."""

    head: Head
    place: Place


@dataclass(frozen=True, slots=True)
class WholeChain:
    """A journal read whole: the heads of its valid lines, and the last line that a checkpoint of this device covers (-1: none)."""

    heads: list[Head]
    signed_to: int

    def parts_from(self, other: "WholeChain") -> int:
        """How many lines both begin with."""
        both = min(len(self.heads), len(other.heads))
        return next((at for at in range(both) if self.heads[at] != other.heads[at]), both)


def longer(primary: Path, mirror: Path, key: ec.EllipticCurvePublicKey | None = None, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Of two copies of a record the one that goes on; ``key`` is the device's, ``tell`` hears in words where they part.

    They may differ in lines that one disk failed to take and the other then took otherwise: what was committed is the longer one, for
    the round that was planned anew holds all that the failed one held, and says besides what was given up; and it is signed further. The
    other copy's files are set aside when it is caught up.

    Raises:
        OSError: a disk failed.
    """
    one, other = chain_end(primary), chain_end(mirror)
    if one is not None and other is not None:
        shorter, long_copy = (other, primary) if one.head.at >= other.head.at else (one, mirror)
        # A line names the one before it: where one line of both is the same, so are all before it.
        if _line_hash(long_copy, shorter.place) == shorter.head.sha256:
            return long_copy
    first, second = whole_chain(primary, key), whole_chain(mirror, key)
    both = first.parts_from(second)
    if both == min(len(first.heads), len(second.heads)):
        return mirror if len(second.heads) > len(first.heads) else primary
    taken, left = primary, mirror
    if (second.signed_to, len(second.heads)) > (first.signed_to, len(first.heads)):
        taken, left = mirror, primary
    words = f"{taken} and {left} are the same up to entry {both - 1} and differ from there on; the one that is signed further goes on"
    log.error("the two copies of a record differ in what both hold", record=primary.name, taken=str(taken))
    tell(f"{words}, and what the other holds is kept in {left.parent}/.differs")
    return taken


def goes_beyond(copy: Path, record: Path, key: ec.EllipticCurvePublicKey | None) -> bool:
    """Whether a copy without a seal holds what the sealed record does not: it is signed behind where they part, or has more lines.

    Of lines that a disk took of a round that failed there, which the record has otherwise, that is not so.

    Raises:
        OSError: a disk failed.
    """
    end = chain_end(copy)
    if end is not None and _line_hash(record, end.place) == end.head.sha256:
        return False
    own, other = whole_chain(copy, key), whole_chain(record, key)
    return own.signed_to >= own.parts_from(other) or len(own.heads) > len(other.heads)


def whole_chain(record: Path, key: ec.EllipticCurvePublicKey | None) -> WholeChain:
    """Read a journal whole.

    Raises:
        OSError: the disk failed.
    """
    heads: list[Head] = []
    checkpoints: list[entries.Checkpoint] = []
    named = ""
    for _, entry, head in read_heads(record):
        if isinstance(entry, entries.Genesis) and not heads:
            named = entry.record
        elif isinstance(entry, entries.Checkpoint) and 0 <= entry.at < len(heads) and heads[entry.at].sha256 == entry.head:
            checkpoints.append(entry)
        heads.append(head)
    by_reach = sorted(checkpoints, key=lambda one: one.at, reverse=True)
    signed_to = next((one.at for one in by_reach if key is not None and _holds(one, named, key)), -1)
    return WholeChain(heads, signed_to)


def _holds(checkpoint: entries.Checkpoint, record: str, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        text = signing_text(record, checkpoint.at, checkpoint.head)
        key.verify(canonical_base64(checkpoint.sig), text, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


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
