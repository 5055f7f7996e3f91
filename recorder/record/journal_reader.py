"""Reads the journal's files in order and says where the chain breaks. Pure: it is fed lines.

A line that does not continue the chain is not judged at once. The bytes wait, for what follows explains them:

- a ``recovered`` entry that continues the chain and names exactly these bytes: a power cut tore them (``docs/record-format.md``, recovery);
- the next journal file begins with lines of which these bytes are the beginning: the disk failed in the middle of an append, and the
  same lines were written again in a new file;
- nothing follows, and no line among them is whole, or zeros stand before the first that is whole (a page that the disk never wrote):
  the torn tail of a record that was not recovered yet;
- anything else: somebody changed the journal.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from recorder.record import canonical, entries
from recorder.record.entries import AnyEntry, Line
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, read_line_fast
from recorder.record.verdict import Findings

DIGEST_BYTES = 32
_KEPT_BYTES = 16 * 1024 * 1024
_JUDGED_LINES = 1000
_CODES = {
    "not_canonical": "journal_altered",
    "fields": "journal_altered",
    "version": "journal_version",
    "sequence": "journal_order",
    "chain": "journal_chain",
}


@dataclass(slots=True)
class _Waiting:
    """Bytes that are no continuation of the chain."""

    file: str
    line: int
    off: int
    code: str
    text: str
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    lines: int = 0
    whole_lines: int = 0
    holed: bool = False
    """Zeros stand before any whole line: pages that the disk had not written when the power failed, though it had some behind them."""

    def add(self, raw: bytes) -> None:
        self.holed = self.holed or (self.whole_lines == 0 and b"\0" in raw)
        self.size += len(raw)
        self.lines += 1
        if self.size <= _KEPT_BYTES:
            self.data += raw
        if self.whole_lines == 0 or self.lines < _JUDGED_LINES:
            self.whole_lines += _is_whole(raw.rstrip(b"\n"))

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line} (byte {self.off})"


class JournalReader:
    """Feed the files in order by ``read``, then call ``finish``."""

    def __init__(self, findings: Findings) -> None:
        self.head: Head = BEFORE_FIRST
        self.digests = bytearray()
        """The hashes of the lines, 32 bytes each."""
        self.utc_us = array("q")
        self.broken = False
        self.torn = False
        """The journal ends in the middle of a line, and no recovery followed."""
        self.suspect: int | None = None
        """The entry that the break of the chain throws doubt upon."""
        self._findings = findings
        self._waiting: _Waiting | None = None
        self._files = 0

    def digest(self, at: int) -> str | None:
        """The head (hex) at entry ``at``, or None where there is no such entry."""
        if not 0 <= at <= self.head.at:
            return None
        return self.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES].hex()

    def read(self, name: str, raw_lines: Iterable[bytes]) -> Iterator[tuple[Line, AnyEntry]]:
        """The valid entries of a file, given as raw lines with their line ends."""
        self._files += 1
        repeated: int | None = None
        off = 0
        for number, raw in enumerate(raw_lines, 1):
            body = raw.removesuffix(b"\n")
            try:
                line, entry, head = read_line_fast(body, self.head)
            except JournalError as error:
                if number == 1 and self._files > 1 and not body:
                    pass  # the line end before a line that could not be ended in the file before
                elif self._files > 1 and (seq := self._repeats(body, number, repeated)) is not None:
                    repeated = seq
                else:
                    self._wait(name, number, off, raw, error)
            else:
                self._explain(name, entry, raw)
                self.head = head
                self.digests += bytes.fromhex(head.sha256)
                self.utc_us.append(line.utc_us)
                yield line, entry
            off += len(raw)

    def finish(self) -> None:
        """Judge what nothing followed."""
        waiting = self._waiting
        if waiting is None:
            return
        # Whoever puts zeros there himself has cut the tail off, and is told no more than that: the record is intact to the entry before.
        if waiting.whole_lines and not waiting.holed:
            self._break(waiting)
            return
        self.torn = True
        self._findings.note(
            "journal_torn",
            waiting.place,
            f"the journal ends with {waiting.size} bytes that are no whole line, as a power cut leaves them; no entry speaks of them",
        )

    def _repeats(self, body: bytes, number: int, repeated: int | None) -> int | None:
        """The number of the earlier line that this one repeats byte for byte at the beginning of a further file."""
        if repeated is None and number > 2:
            return None
        try:
            seq = canonical.decode(body)["seq"]
        except (canonical.NotCanonicalError, KeyError, TypeError):
            return None
        follows = isinstance(seq, int) and (repeated is None or seq == repeated + 1)
        if follows and self.digest(seq) == hashlib.sha256(body).hexdigest():
            return int(seq)
        return None

    def _wait(self, name: str, number: int, off: int, raw: bytes, error: JournalError) -> None:
        if self._waiting is not None and self._waiting.file != name:
            self._leave(self._waiting, raw)
        if self._waiting is None:
            self._waiting = _Waiting(name, number, off, _CODES[error.kind], str(error))
        self._waiting.add(raw)

    def _explain(self, name: str, entry: AnyEntry, raw: bytes) -> None:
        """A valid line follows the bytes that wait."""
        waiting = self._waiting
        if waiting is None:
            return
        if waiting.file != name:
            self._leave(waiting, raw)
            return
        self._waiting = None
        if isinstance(entry, entries.Recovered) and _names(entry, waiting):
            self._findings.note("recovered_tear", waiting.place, f"{waiting.size} bytes were torn by a crash; the recovery names them")
            return
        if isinstance(entry, entries.Recovered):
            text = "the recovery that follows names other bytes than those that stand here"
            self._findings.error("recovery_mismatch", waiting.place, text)
        else:
            self._findings.error("journal_inserted", waiting.place, f"{waiting.size} bytes stand here that are no entry: {waiting.text}")
        self.broken = True

    def _leave(self, waiting: _Waiting, raw: bytes) -> None:
        """The journal went on in a further file: what waits is the beginning of a line that is written again there."""
        self._waiting = None
        if waiting.whole_lines:
            self._break(waiting)
        elif raw.startswith(bytes(waiting.data).lstrip(b"\n")):
            self._findings.note(
                "append_torn", waiting.place, "the disk failed in the middle of this line; it stands whole in the next journal file"
            )
        else:
            text = f"{waiting.size} bytes are no line; the journal went on in a further file after the disk failed here"
            self._findings.doubt("append_damaged", waiting.place, text)

    def _break(self, waiting: _Waiting) -> None:
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


def _is_whole(body: bytes) -> bool:
    """Whether the bytes are an entry, of whatever chain: then no power cut made them."""
    try:
        value: Any = canonical.decode(body)
    except canonical.NotCanonicalError:
        return False
    return isinstance(value, dict) and {"seq", "prev", "type"} <= value.keys()


def _names(entry: entries.Recovered, waiting: _Waiting) -> bool:
    data = bytes(waiting.data)
    if len(data) != waiting.size:
        return False
    # The recovery ended a torn line with the line end that it lacked, which is not among the bytes that it found.
    forms = [data, data[:-1]] if data.endswith(b"\n") else [data]
    return any(
        torn.file == waiting.file
        and torn.off == waiting.off
        and any(torn.len == len(form) and torn.sha256 == hashlib.sha256(form).hexdigest() for form in forms)
        for torn in entry.torn
    )
