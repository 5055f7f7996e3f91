"""When a process that ended is started again. Pure."""

from dataclasses import dataclass

FIRST_S, LONGEST_S = 0.2, 10.0
LONGEST_KILLED_S = 1.0
"""One that was killed, or crashed, did its work until then, and a hearing waits for it. One that ends by itself finds something wrong, and
would find it again."""
STEADY_S = 60.0
"""A process that ran for so long begins again with the shortest wait."""


@dataclass(slots=True)
class Restarts:
    """The waits of one process: short after the first end, ever longer while it ends again at once."""

    last_s: float = 0.0

    def wait_s(self, ran_s: float, *, killed: bool) -> float:
        """How long to wait before the next start, after a run of ``ran_s`` that a signal ended, or not."""
        longest_s = LONGEST_KILLED_S if killed else LONGEST_S
        self.last_s = FIRST_S if ran_s >= STEADY_S or not self.last_s else min(longest_s, 2 * self.last_s)
        return self.last_s
