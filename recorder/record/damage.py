"""Says what is wrong with a record's files, from what was expected and what was found. Pure but for ``Locator``, which reads again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from recorder.record import layout
from recorder.record.file_check import FileState
from recorder.record.replay import Expected, Piece, Replay
from recorder.record.verdict import UNREADABLE, Findings

Locator = Callable[[Sequence[str]], Mapping[str, tuple[list[Piece], FileState]]]
"""For segments that are not what they must be: all their fragments by the journal, and each file read again piece by piece."""

_SHOWN = 5
_LOCATED = 1000
"""Of so many damaged segments the fragments are looked at: they are held in memory, and a verdict lists ten."""


@dataclass(slots=True)
class FileJudge:
    """Judges files. ``sealed`` where SHA256SUMS and its signature are there; ``intact_to`` sinks to the last entry before damage."""

    replay: Replay
    findings: Findings
    locate: Locator
    sealed: bool
    journal_broken: bool
    signed_to: int
    intact_to: int
    located: Mapping[str, tuple[list[Piece], FileState]] = field(default_factory=dict)

    def judge(self, states: Mapping[str, FileState], sums: Mapping[str, str] | None) -> None:
        """Compare all files with the journal and with SHA256SUMS, both ways."""
        damaged = (path for path, expected in self.replay.files.items() if path in states and _is_other(expected, states[path]))
        if wanted := sorted(damaged)[:_LOCATED]:
            self.located = self.locate(wanted)
        for path, state in sorted(states.items()):
            expected = self.replay.files.get(path)
            if state.unreadable:
                self.findings.error(UNREADABLE, path, f"cannot be read: {state.unreadable}")
                self._sink(expected.seq if expected is not None else 0)
            elif expected is not None:
                self._judge_expected(path, expected, state)
            else:
                self._judge_other(path, state, listed=sums is not None and path in sums)
            if sums is not None:
                self._judge_listed(path, state, sums)
        for path, expected in self.replay.files.items():
            if path not in states and not (expected.may_lack and expected.len == 0):
                self.findings.error("file_missing", path, f"entry {expected.seq} speaks of it, and it is not there")
                self._sink(expected.seq)
        for path in sums or {}:
            if path not in states and path not in self.replay.files:
                self.findings.error("file_missing", path, f"{layout.SUMS} lists it, and it is not there")

    def _judge_listed(self, path: str, state: FileState, sums: Mapping[str, str]) -> None:
        if path in layout.UNHASHED:
            return
        if path not in sums:
            if layout.is_half_written(path):
                self.findings.note("leftover", path, "was left half written, by a crash or a copying that broke off; it belongs to nothing")
            elif not layout.can_be_listed(path):
                text = "has a name that no record gives (a line end, or what is no Unicode in form C): somebody put it there"
                self.findings.error("file_odd", path, text)
            else:
                self.findings.error("file_unlisted", path, f"is not in {layout.SUMS}: it was added after the seal")
        elif sums[path] != state.sha256 and state.sha256:
            self.findings.error("file_altered", path, f"is not the file that {layout.SUMS} lists")

    def _judge_other(self, path: str, state: FileState, *, listed: bool) -> None:
        loose = self.replay.loose.get(path)
        known = layout.journal_number(path) is not None or path in {*layout.UNHASHED, layout.MANIFEST, layout.DEVICE_CHAIN}
        if known or self.journal_broken:
            return
        if loose is not None:
            if (loose.len, loose.sha256) != (state.len, state.sha256):
                self.findings.error("file_altered", path, "is not the leftover of a crash that the recovery names")
        elif listed:
            self.findings.error("file_unjournaled", path, "no entry of the journal speaks of it")
        elif not self.sealed:
            self.findings.note("file_unjournaled", path, "no entry speaks of it (yet), as after a crash; nothing is proven of it")

    def _judge_expected(self, path: str, expected: Expected, state: FileState) -> None:
        if expected.sha256 is None:
            self._judge_open(path, expected, state)
            return
        if (state.len, state.sha256) == (expected.len, expected.sha256):
            for piece in state.wrong:
                # The recovery closed this segment as it found it: whoever changed it while the recorder was down is found here.
                self.findings.error(
                    "frag_altered", _at(path, piece), f"{_name(piece)}: its bytes are not those that were recorded before the crash"
                )
                self._sink(piece.seq if piece.seq >= 0 else expected.seq)
            return
        if state.len > expected.len:
            self.findings.error("file_longer", f"{path}, byte {expected.len}", f"{state.len - expected.len} bytes were added")
        elif state.len < expected.len:
            self.findings.error("file_shorter", f"{path}, byte {state.len}", f"{expected.len - state.len} bytes were cut off or lost")
        if expected.what != "segment":
            if state.len == expected.len:
                self.findings.error("file_altered", path, f"is not what entry {expected.seq} says")
            self._sink(expected.seq)
            return
        self._tell_fragments(path, expected, state)

    def _tell_fragments(self, path: str, expected: Expected, state: FileState) -> None:
        pieces, again = self.located.get(path, ([], state))
        wrong = again.wrong if path in self.located else []
        for piece in wrong[:_SHOWN]:
            text = f"{_name(piece)}: its bytes are not those that were recorded"
            self.findings.error("frag_altered", _at(path, piece), text)
        if len(wrong) > _SHOWN:
            self.findings.note("frag_altered", path, f"{len(wrong) - _SHOWN} more fragments of this file are altered or displaced")
        if not wrong and state.len == expected.len:
            self.findings.error("file_altered", path, "its bytes are not those that were recorded")
        behind = max(piece.seq for piece in pieces) + 1 if pieces else expected.seq
        self._sink(min((piece.seq for piece in wrong), default=behind))

    def _judge_open(self, path: str, expected: Expected, state: FileState) -> None:
        for piece in state.wrong:
            if piece.seq > self.signed_to:
                text = (
                    f"{_name(piece)} is not whole on the disk; no checkpoint covers it, as after a power cut with a disk that lost writes"
                )
                self.findings.doubt("tail_damaged", _at(path, piece), text)
            else:
                self.findings.error("frag_altered", _at(path, piece), f"{_name(piece)}: its bytes are not those that were recorded")
            self._sink(piece.seq if piece.seq >= 0 else expected.seq)
        if state.len > expected.len and not self.journal_broken:
            text = f"{state.len - expected.len} bytes follow that no entry speaks of, as after a crash; nothing is proven of them"
            self.findings.note("tail_unjournaled", f"{path}, byte {expected.len}", text)

    def _sink(self, seq: int) -> None:
        self.intact_to = min(self.intact_to, seq - 1)


def _is_other(expected: Expected, state: FileState) -> bool:
    """Whether a segment that was closed is not what its entry says, though it could be read."""
    is_closed = expected.what == "segment" and expected.sha256 is not None
    return is_closed and not state.unreadable and (state.len, state.sha256) != (expected.len, expected.sha256)


def _name(piece: Piece) -> str:
    return f"fragment {piece.n} (entry {piece.seq})" if piece.what == "frag" else f"the {piece.what} bytes"


def _at(path: str, piece: Piece) -> str:
    return f"{path}, bytes {piece.off} to {piece.off + piece.len}"
