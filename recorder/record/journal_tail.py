"""Bytes of a journal file that are no continuation of the chain, while nobody knows yet what explains them. Pure."""

import hashlib
from dataclasses import dataclass, field

from recorder.record import entries
from recorder.record.journal import entry_number

_KEPT_BYTES = 16 * 1024 * 1024
"""Of longer ones no further journal file can explain a part: an append is far shorter."""
_JUDGED_LINES = 1000


@dataclass(slots=True)
class Tail:
    """Where they begin, and what they are."""

    file: str
    line: int
    off: int
    code: str
    """What is wrong with the first line of them."""
    text: str
    early: bool = False
    """No valid line stands before them in a further file: they may be of what was written again there."""
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    lines: int = 0
    whole_lines: int = 0
    holed: bool = False
    """Zeros stand before any whole line: pages that the disk had not written when the power failed, though it had some behind them."""
    owed: dict[int, str] | None = None
    """Of a tail with a hole in a file that was left: hashes, by number, of the whole lines in it that no further file has repeated yet."""
    in_part: bool = False
    """It is what a recovery in a further file left of more bytes."""
    _ended: bool = False
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Of all the bytes, however many, but the line end that they end with (``_ended``)."""

    def add(self, raw: bytes) -> None:
        """Take the next line, with its line end."""
        self.holed = self.holed or (self.whole_lines == 0 and b"\0" in raw)
        self.size += len(raw)
        self.lines += 1
        self._sha256.update(b"\n" * self._ended)
        self._ended = raw.endswith(b"\n")
        self._sha256.update(raw.removesuffix(b"\n"))
        if self.size <= _KEPT_BYTES:
            self.data += raw
        if self.whole_lines == 0 or self.lines < _JUDGED_LINES:
            self.whole_lines += entry_number(raw.rstrip(b"\n")) is not None

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.file}, line {self.line} (byte {self.off})"

    @property
    def is_kept_whole(self) -> bool:
        """Whether all of the bytes are at hand."""
        return len(self.data) == self.size

    def is_named_by(self, entry: entries.Recovered) -> bool:
        """Whether a recovery names exactly these bytes."""
        # The recovery ended a torn line with the line end that it lacked, which is not among the bytes that it found.
        forms = {self.size - self._ended: self._sha256.hexdigest()}
        if self._ended:
            whole = self._sha256.copy()
            whole.update(b"\n")
            forms[self.size] = whole.hexdigest()
        return any(torn.file == self.file and torn.off == self.off and forms.get(torn.len) == torn.sha256 for torn in entry.torn)

    def named_in_part_by(self, entry: entries.Recovered) -> int | None:
        """How many of the bytes a recovery in a further file names.

        Its own first append may have failed behind them, before it was written again there. 0: it does not speak of them. None: it names
        other bytes here.
        """
        for torn in entry.torn:
            if torn.file == self.file and torn.off == self.off:
                named = self.data[: torn.len]
                return torn.len if len(named) == torn.len and hashlib.sha256(named).hexdigest() == torn.sha256 else None
        return 0

    def behind(self, named_bytes: int) -> "Tail":
        """What stands behind so many of the bytes."""
        line = self.line + self.data[:named_bytes].count(b"\n")
        rest = Tail(self.file, line, self.off + named_bytes, self.code, self.text, in_part=True)
        *ended, last = bytes(self.data[named_bytes:]).split(b"\n")
        for raw in [line + b"\n" for line in ended] + [last] * bool(last):
            rest.add(raw)
        rest.size += self.size - len(self.data)  # what was not kept cannot be told
        return rest

    def whole(self) -> list[tuple[int, str]]:
        """Number and hash of each whole line."""
        bodies = bytes(self.data).split(b"\n")
        return [(seq, hashlib.sha256(body).hexdigest()) for body in bodies if (seq := entry_number(body)) is not None]
