"""When a process that ended is started again. Pure."""

from dataclasses import dataclass

FIRST_S, LONGEST_S = 0.2, 10.0
STEADY_S = 60.0
"""A process that ran for so long begins again with the shortest wait."""


@dataclass(slots=True)
class Restarts:
    """The waits of one process: short after the first end, ever longer while it ends again at once."""

    last_s: float = 0.0

    def wait_s(self, ran_s: float) -> float:
        """How long to wait before the next start, after a run of ``ran_s``."""
        self.last_s = FIRST_S if ran_s >= STEADY_S or not self.last_s else min(LONGEST_S, 2 * self.last_s)
        return self.last_s
