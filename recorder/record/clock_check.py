"""Whether the three clocks of a journal's lines fit each other. Pure.

``mono_us`` and ``t_us`` run together within a boot. ``utc_us`` runs with them but for a daemon's slewing; a jump must be told by a
``clock_step`` entry near by.
"""

from dataclasses import dataclass

from recorder.record import entries
from recorder.record.entries import AnyEntry, Line
from recorder.record.verdict import Findings

JUMP_US = 250_000
"""A jump of UTC against the monotonic clock that must be told; the recorder tells those of 200 ms."""
SLEW = 0.1
"""How fast a daemon may turn the clock without stepping it (chrony's default is 8.3%)."""
TOLD_WITHIN_US = 10_000_000
BACKWARDS_US = 5_000_000
"""Lines are journaled in the order in which they were put, which is not quite that of their times."""
_COMMON = (entries.Frag, entries.Checkpoint)
"""Nearly all lines of a journal are of these."""


@dataclass(slots=True)
class _Jump:
    place: str
    mono_us: int
    delta_us: int
    session_us: int


class ClockCheck:
    """Feed every line in order by ``take``, then call ``finish``."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._base_us: int | None = None
        self._mono_us = 0
        self._origin_mono_us: int | None = None
        self._jump: _Jump | None = None

    def take(self, line: Line, entry: AnyEntry) -> None:
        """Look at a line."""
        base_us, origin_us = self._base_us, self._origin_mono_us
        if (
            base_us is not None
            and origin_us is not None
            and self._jump is None
            and line.mono_us >= self._mono_us
            and line.t_us == line.mono_us - origin_us
            and -JUMP_US <= line.utc_us - line.mono_us - base_us <= JUMP_US
            and isinstance(entry, _COMMON)
        ):
            self._base_us, self._mono_us = line.utc_us - line.mono_us, line.mono_us
            return  # nearly all lines: nothing to find out
        if isinstance(entry, entries.Genesis | entries.Recovered):
            self.finish()
            self._jump, self._base_us, self._origin_mono_us = None, line.utc_us - line.mono_us, entry.origin_mono_us
            self._mono_us = line.mono_us
            return
        if self._base_us is None:
            return
        if line.mono_us < self._mono_us - BACKWARDS_US:
            self._findings.doubt("clock_backwards", f"entry {line.seq}", "the monotonic clock runs backwards within one boot")
        if self._origin_mono_us is not None and abs(line.t_us - max(0, line.mono_us - self._origin_mono_us)) > BACKWARDS_US:
            self._findings.doubt("session_clock", f"entry {line.seq}", "session time does not fit the monotonic clock")
        if isinstance(entry, entries.ClockStep):
            self._base_us += entry.delta_us
            if self._jump is not None and abs(self._jump.delta_us - entry.delta_us) <= JUMP_US:
                self._jump = None
        self._compare(line, self._base_us)
        self._mono_us = max(self._mono_us, line.mono_us)

    def finish(self) -> None:
        """Judge a jump behind which the journal broke off before an entry had to tell it."""
        jump = self._jump
        if jump is not None:
            text = f"the wall clock jumped by {jump.delta_us / 1e6:+.1f} s just before the recorder ended or crashed"
            self._findings.doubt("clock_step_at_end", jump.place, text)

    def _compare(self, line: Line, base_us: int) -> None:
        delta_us = line.utc_us - line.mono_us - base_us
        if abs(delta_us) <= JUMP_US + int(SLEW * max(0, line.mono_us - self._mono_us)):
            self._base_us, self._jump = line.utc_us - line.mono_us, None
        elif self._jump is None:
            self._jump = _Jump(f"entry {line.seq}", line.mono_us, delta_us, line.t_us)
        elif line.mono_us - self._jump.mono_us > TOLD_WITHIN_US:
            self._tell(self._jump)
            self._base_us, self._jump = line.utc_us - line.mono_us, None

    def _tell(self, jump: _Jump) -> None:
        self._findings.error(
            "clock_step_hidden",
            jump.place,
            f"the wall clock jumped by {jump.delta_us / 1e6:+.1f} s at session time {jump.session_us / 1e6:.1f} s, and no entry says so",
        )
