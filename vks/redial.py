"""When a room that takes part in another's hearing gives a connection up, and when it dials again. Pure; the clock is passed in.

As a participant's page does it (``web/src/pulse.ts``, ``backoff.ts``): sound comes fifty times a second, so where it stops the other room
is asked whether it is there, and where it does not answer the call is lost.
"""

from typing import Literal

SILENT_US = 1_000_000
"""So long nothing may come before the other room is asked."""
QUIET_US = 4_000_000
"""The same where nothing but its answers came for a while, as in the lobby."""
ANSWER_US = 1_500_000
"""So long it may take to answer."""
FIRST_US = 300_000
LONGEST_US = 3_000_000


class Pulse:
    """For one connection.

    Args:
        now_us: when it begins.
    """

    def __init__(self, now_us: int) -> None:
        self._last_us = now_us
        self._packets = 0
        self._asked_us: int | None = None
        self._patience_us = SILENT_US

    def heard(self, now_us: int) -> None:
        """A message came."""
        if self._asked_us is not None:
            self._patience_us = QUIET_US
        self._asked_us, self._last_us = None, now_us

    def look(self, packets: int, now_us: int) -> Literal["fine", "ask", "lost"]:
        """What follows from how many packets of sound have come in all."""
        if packets != self._packets:
            self._packets, self._patience_us, self._asked_us, self._last_us = packets, SILENT_US, None, now_us
        elif self._asked_us is not None:
            return "lost" if now_us - self._asked_us >= ANSWER_US else "fine"
        elif now_us - self._last_us >= self._patience_us:
            self._asked_us = now_us
            return "ask"
        return "fine"


def wait_us(failed: int, share: float) -> int:
    """The wait before an attempt.

    Args:
        failed: how many attempts have failed since the connection last stood.
        share: from 0 to 1, by chance: spreads those who lost the same room at once.
    """
    longest_us = min(FIRST_US << min(failed, 16), LONGEST_US)
    return max(FIRST_US, round(longest_us * (1 - share / 3)))
