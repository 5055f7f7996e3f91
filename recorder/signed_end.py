"""What the device's key has signed of a journal that a crash left, and what stands behind that: a chain alone needs no key. Pure."""

import base64
from collections import deque
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.contract.control import State
from recorder.journal_state import JournalState
from recorder.record import entries
from recorder.record.checkpoint import signing_text
from recorder.record.entries import AnyEntry, Level, Line
from recorder.record.journal import Head
from recorder.record.seal_check import UNSIGNED_US

_MOST_LINES = 100_000
"""So many lines are kept that no checkpoint covers. The ones before them count as unsigned for good: a checkpoint is made each second."""


@dataclass(frozen=True, slots=True)
class _Said:
    """Where a line stands, and what holds as of it."""

    head: Head
    t_us: int
    reach_us: int
    """How far lines and media go."""
    down_us: int
    """For how long no recorder was there before this line, by the recoveries among the lines that were read."""
    state: State
    level: Level


class SignedEnd:
    """Feed every line behind a state that is proven (the beginning, or a signed snapshot), each after the state has taken it."""

    def __init__(self, key: ec.EllipticCurvePublicKey, state: JournalState) -> None:
        self._key = key
        self._state = state
        self._down_us = 0
        self._reach_us = 0
        self._signed = self._last = self._said(state.head, state.last.t_us if state.last is not None else 0)
        self._lines: deque[_Said] = deque(maxlen=_MOST_LINES)

    @property
    def state(self) -> State:
        """As of the last line that is signed."""
        return self._signed.state

    @property
    def level(self) -> Level:
        """As of the last line that is signed."""
        return self._signed.level

    @property
    def doubt(self) -> str:
        """In words, that more is unsigned before the seal than a crash leaves; empty: it is not. The verifier looks at the media, too."""
        unsigned_us = self._last.reach_us - self._signed.t_us - (self._last.down_us - self._signed.down_us)
        if unsigned_us <= UNSIGNED_US:
            return ""
        return f"the last {unsigned_us / 1e6:.0f} s before its seal are signed by nobody; `courtroom verify` calls them not proven"

    def take(self, line: Line, entry: AnyEntry, head: Head) -> None:
        """Take the next valid line."""
        if isinstance(entry, entries.Recovered):
            self._down_us += max(0, line.t_us - self._last.t_us)
        elif isinstance(entry, entries.Frag):
            self._reach_us = max(self._reach_us, self._state.track(entry.track).end_us)
        said = self._said(head, line.t_us)
        self._lines.append(said)
        if isinstance(entry, entries.Checkpoint):
            self._take_checkpoint(entry)
        if not self._state.sealed:
            self._last = said
        elif self._signed.head.at >= self._last.head.at:
            self._last = self._signed

    def _said(self, head: Head, t_us: int) -> _Said:
        self._reach_us = max(self._reach_us, t_us)
        return _Said(head, t_us, self._reach_us, self._down_us, self._state.state, self._state.level)

    def _take_checkpoint(self, entry: entries.Checkpoint) -> None:
        genesis = self._state.genesis
        at = entry.at - self._lines[0].head.at
        if genesis is None or not 0 <= at < len(self._lines) or self._lines[at].head.sha256 != entry.head:
            return
        try:
            signature = base64.b64decode(entry.sig, validate=True)
            self._key.verify(signature, signing_text(genesis.record, entry.at, entry.head), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return  # the verifier says so
        self._signed = self._lines[at]
        for _ in range(at + 1):
            self._lines.popleft()
