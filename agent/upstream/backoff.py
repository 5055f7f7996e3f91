"""How long to wait before the centre is asked again. Pure.

Full jitter: each wait is drawn from nothing up to a bound that doubles, so that rooms which lost the centre at one moment do not all come
back at one moment (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). After a long outage the bound is
``LONGEST_S`` in every room: their returns are spread evenly over it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

FIRST_S = 1.0
LONGEST_S = 90.0
"""More than a minute, because of 1,479 rooms that come back at once."""


@dataclass(slots=True)
class Backoff:
    """The waits of one kind of request; ``draw`` gives numbers from 0 to 1."""

    draw: Callable[[], float] = field(default_factory=lambda: Random().random)
    failures: int = 0
    first_s: float = FIRST_S
    longest_s: float = LONGEST_S

    def failed(self, wish_s: float | None = None) -> float:
        """How long to wait after one more failure; ``wish_s`` is the centre's own wish (Retry-After), which is never undercut."""
        bound_s = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return (wish_s or 0.0) + self.draw() * bound_s

    def succeeded(self) -> None:
        """The centre answered."""
        self.failures = 0
