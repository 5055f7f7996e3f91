"""Reads the journal's files in order and says where the chain breaks. Pure: it is fed lines.

A line that does not continue the chain is not judged at once. The bytes wait, for what follows explains them:

- a ``recovered`` entry that continues the chain and names exactly these bytes: a power cut tore them (``docs/record-format.md``, recovery);
- the next journal file begins with lines of which these bytes are the beginning: the disk failed in the middle of an append, and the
  same lines were written again in a new file. Where the disk left out a page of that append, whole lines stand behind it, each of which the
  new file repeats;
- zeros stand among the lines that are repeated there, and the chain goes on behind them: the same, the other way round;
- the next journal file goes on with a ``recovered`` entry that names them: the recovery's own first append failed behind them;
- nothing follows, and no line among them is whole, or zeros stand before the first that is whole (a page that the disk never wrote):
  the torn tail of a record that was not recovered yet;
- anything else: somebody changed the journal.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator

from recorder.record import canonical, entries
from recorder.record.entries import AnyEntry, Line
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, read_line_fast
from recorder.record.journal_tail import Tail
from recorder.record.verdict import Findings

DIGEST_BYTES = 32
_CODES = {
    "not_canonical": "journal_altered",
    "fields": "journal_altered",
    "version": "journal_version",
    "sequence": "journal_order",
    "chain": "journal_chain",
}


class JournalReader:
    """Feed the files in order by ``read``, then call ``finish``."""

    def __init__(self, findings: Findings) -> None:
        self.head: Head = BEFORE_FIRST
        self.digests = bytearray()
        """The hashes of the lines, 32 bytes each."""
        self.utc_us = array("q")
        self.t_us = array("q")
        self.broken = False
        self.torn = False
        """The journal ends in the middle of a line, and no recovery followed."""
        self.suspect: int | None = None
        """The entry that the break of the chain throws doubt upon."""
        self._findings = findings
        self._waiting: Tail | None = None
        self._left: list[Tail] = []
        """What waited when its file ended, and a further file followed."""
        self._files = 0

    def digest(self, at: int) -> str | None:
        """The head (hex) at entry ``at``, or None where there is no such entry."""
        if not 0 <= at <= self.head.at:
            return None
        return self.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES].hex()

    def read(self, name: str, raw_lines: Iterable[bytes]) -> Iterator[tuple[Line, AnyEntry]]:
        """The valid entries of a file, given as raw lines with their line ends."""
        self._files += 1
        self._leave()
        begins = early = self._files > 1  # with lines of the file before, written again
        repeated: int | None = None
        off = 0
        for number, raw in enumerate(raw_lines, 1):
            body = raw.removesuffix(b"\n")
            try:
                line, entry, head = read_line_fast(body, self.head)
            except JournalError as error:
                if begins and number == 1 and not body:
                    pass  # the line end before a line that could not be ended in the file before
                elif begins and (seq := self._repeats(body, repeated)) is not None:
                    repeated = seq
                else:
                    begins = False
                    if self._waiting is None:
                        self._waiting = Tail(name, number, off, _CODES[error.kind], str(error), early)
                    self._waiting.add(raw)
            else:
                begins = early = False
                if self._waiting is not None or self._left:
                    self._explain(entry, raw, head)
                self.head = head
                self.digests += bytes.fromhex(head.sha256)
                self.utc_us.append(line.utc_us)
                self.t_us.append(line.t_us)
                yield line, entry
            off += len(raw)

    def finish(self) -> None:
        """Judge what nothing followed."""
        self._leave()
        for tail in self._left:
            # Whoever puts zeros there himself has cut the tail off, and is told no more than that: it is intact to the entry before.
            if tail.whole_lines and not tail.holed:
                self._break(tail)
                continue
            self.torn = True
            text = f"the journal ends with {tail.size} bytes that are no whole line, as a power cut leaves them; no entry speaks of them"
            self._findings.note("journal_torn", tail.place, text)

    def _repeats(self, body: bytes, repeated: int | None) -> int | None:
        """The number of the earlier line that this one repeats byte for byte at the beginning of a further file."""
        try:
            seq = canonical.decode(body)["seq"]
        except (canonical.NotCanonicalError, KeyError, TypeError):
            return None
        follows = isinstance(seq, int) and (repeated is None or seq == repeated + 1)
        if follows and self.digest(seq) == hashlib.sha256(body).hexdigest():
            return int(seq)
        return None

    def _leave(self) -> None:
        """A file has ended."""
        if self._waiting is not None:
            self._left.append(self._waiting)
        self._waiting = None

    def _explain(self, entry: AnyEntry, raw: bytes, head: Head) -> None:
        """A valid line follows bytes that wait, in its file or in those before."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and isinstance(entry, entries.Recovered) and waiting.is_named_by(entry):
            self._tell_named(waiting.place, waiting.size)
        elif waiting is not None and isinstance(entry, entries.Recovered):
            self._mismatch(waiting)
        elif waiting is not None and waiting.early and waiting.holed and self._owed(waiting) == {}:
            text = f"{waiting.size} bytes of what was written again were torn by a crash; the file before holds all of it"
            self._findings.note("append_torn", waiting.place, text)
        elif waiting is not None:
            self._findings.error("journal_inserted", waiting.place, f"{waiting.size} bytes stand here that are no entry: {waiting.text}")
            self.broken = True
        self._left = [tail for left in self._left if (tail := self._rest(left, entry, raw, head)) is not None]

    def _rest(self, tail: Tail, entry: AnyEntry, raw: bytes, head: Head) -> Tail | None:
        """What of a tail in a file before a valid line does not explain; None where it explains all, or shows that nothing can."""
        if isinstance(entry, entries.Recovered):
            named = tail.named_in_part_by(entry)
            # Behind what a recovery named its own append may have failed, and the file never grows again: the next names all of that.
            # To look anew at what is left after each of a million recoveries would take days.
            if named is None or (tail.in_part and 0 < named < tail.size):
                self._mismatch(tail)
                return None
            if named:
                self._tell_named(tail.place, named)
                tail = tail.behind(named)
        if tail.owed is None:
            if not self._owes(tail, raw):
                return None
            tail.owed = self._owed(tail)
        if tail.owed is None or tail.owed.pop(head.at, head.sha256) != head.sha256:
            self._break(tail)
            return None
        if tail.owed:
            return tail
        text = "the disk failed in this append and left a piece of it out; all of it stands in the next journal file"
        self._findings.note("append_torn", tail.place, text)
        return None

    def _owes(self, tail: Tail, raw: bytes) -> bool:
        """Whether further lines must still explain a tail behind which ``raw`` is the first valid line, in a further file."""
        if not tail.size:
            return False
        if tail.whole_lines and tail.holed:
            return True
        if tail.whole_lines:
            self._break(tail)
        elif raw.startswith(bytes(tail.data).lstrip(b"\n")):
            self._findings.note(
                "append_torn", tail.place, "the disk failed in the middle of this line; it stands whole in the next journal file"
            )
        else:
            text = f"{tail.size} bytes are no line; the journal went on in a further file after the disk failed here"
            self._findings.doubt("append_damaged", tail.place, text)
        return False

    def _owed(self, tail: Tail) -> dict[int, str] | None:
        """The whole lines in a tail that the chain does not hold yet; None where one contradicts it."""
        if not tail.is_kept_whole:
            return None
        owed: dict[int, str] = {}
        for seq, sha256 in tail.whole():
            known = self.digest(seq) if seq <= self.head.at else owed.setdefault(seq, sha256)
            if known != sha256:
                return None
        return owed

    def _tell_named(self, place: str, size: int) -> None:
        self._findings.note("recovered_tear", place, f"{size} bytes were torn by a crash; the recovery names them")

    def _mismatch(self, tail: Tail) -> None:
        text = "the recovery that follows names other bytes than those that stand here"
        self._findings.error("recovery_mismatch", tail.place, text)
        self.broken = True

    def _break(self, waiting: Tail) -> None:
        self.broken = True
        what = {
            "journal_altered": "this line was altered or damaged",
            "journal_order": "lines were deleted, doubled or reordered here",
            "journal_chain": "the line before this one was altered, or is another",
        }.get(waiting.code, "this line is of another format")
        if waiting.code == "journal_chain":
            self.suspect = self.head.at
        self._findings.error(waiting.code, waiting.place, f"{what}: {waiting.text}; the {waiting.lines} lines from here on are not proven")


def split_lines(blocks: Iterable[bytes | memoryview], longest_bytes: int = 2 * 1024 * 1024) -> Iterator[bytes]:
    """Cut a stream of bytes into lines with their ends; what has no end for too long is cut anyway, so that memory stays bounded."""
    rest = b""
    for block in blocks:
        lines = b"".join((rest, block)).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line + b"\n"
        if len(rest) > longest_bytes:
            yield rest
            rest = b""
    if rest:
        yield rest
