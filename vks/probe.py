"""Whether a link carries more than is sent by it, found out without harm to what is. Pure; the clock is passed in.

What was sent already is sent again, at a rate that rises slowly, and the peer is asked all the while whether it is there. Where the link
carries no more, what is sent waits in a queue before any of it is dropped, and so do the questions: the peer answers later than before, and
the probe ends. How it rises is a matter of what lies in between: a router lets some 16 kB pass at once, and holds 200 ms or more.
"""

from collections import deque

CALM_US = 1_000_000
"""So long nothing is sent beside: how soon the peer answers then is how soon it can."""
RISE_US = 4_000_000
HOLD_US = 500_000
"""So long all of it is sent."""
SLOWER_US = 40_000
LATE_ANSWERS = 4
"""So many in a row that are so much later: the queue fills. One or two are lost, or wait behind a keyframe, and meanwhile nothing is sent
besides."""
_LONGEST_STEP_US = 40_000
"""What is due after a longer pause is not made up for: it would come all at once."""


class Probe:
    """One.

    Args:
        more_bps: what the link is to carry besides what is sent now.
        now_us: when it begins.
    """

    def __init__(self, more_bps: int, now_us: int) -> None:
        self._more_bps = more_bps
        self._begun_us = now_us + CALM_US
        self._stepped_us = now_us
        self._owed_bytes = 0.0
        self._soonest_us: int | None = None
        self._asked: deque[int] = deque()
        self._late = 0

    def due_bytes(self, now_us: int) -> int:
        """What is to be sent now besides."""
        if self._late_answers(now_us):
            self._stepped_us = now_us
            return 0
        share = min(1.0, max(0.0, (now_us - self._begun_us) / RISE_US))
        self._owed_bytes += share * self._more_bps * min(now_us - self._stepped_us, _LONGEST_STEP_US) / 8_000_000
        self._stepped_us = now_us
        return int(self._owed_bytes)

    def padded(self, size: int) -> None:
        """So many bytes were sent besides."""
        self._owed_bytes -= size

    def asked(self, now_us: int) -> None:
        """The peer is asked whether it is there."""
        self._asked.append(now_us)

    def answered(self, asked_us: int, now_us: int) -> None:
        """It has answered what it was asked then; what it was asked before that is lost, or was answered."""
        if asked_us not in self._asked:
            return
        while self._asked.popleft() != asked_us:
            pass
        took_us = now_us - asked_us
        if now_us < self._begun_us:
            self._soonest_us = took_us if self._soonest_us is None else min(self._soonest_us, took_us)
        elif self._soonest_us is not None:
            self._late = self._late + 1 if took_us > self._soonest_us + SLOWER_US else 0

    def verdict(self, now_us: int) -> bool | None:
        """Whether the link carries it; None where that is not known yet."""
        if now_us < self._begun_us:
            return None
        if self._soonest_us is None:
            return False
        if self._late_answers(now_us) >= LATE_ANSWERS:
            return False
        return True if now_us >= self._begun_us + RISE_US + HOLD_US else None

    def _late_answers(self, now_us: int) -> int:
        """How many answers in a row came late, or are to come late."""
        soonest_us = self._soonest_us
        if soonest_us is None:
            return 0
        return self._late + sum(now_us - asked_us > soonest_us + SLOWER_US for asked_us in self._asked)
