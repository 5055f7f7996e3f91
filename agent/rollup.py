"""Measurements over a span of time: each indicator's mean, and its worst value where one end is the bad one. Pure.

The outbox makes longer spans of these while they wait (``outbox.rolled_up``), which goes by the same two endings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.indicators import named
from agent.upstream.contract import Measured

HIGHEST, LOWEST = "_max", "_min"
"""Endings of the worst value's key. A track's name has no underscore, so that none is taken for another."""


@dataclass(slots=True)
class Rollup:
    """Gathers looks at the indicators between two moments."""

    from_utc_us: int
    _sums: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _worst: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """One look."""
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
            self._counts[key] = self._counts.get(key, 0) + 1
            end = named(key)[0].worst
            if end:
                worst = key + (HIGHEST if end == "high" else LOWEST)
                known = self._worst.get(worst, value)
                self._worst[worst] = max(known, value) if end == "high" else min(known, value)

    def take(self, to_utc_us: int) -> Measured | None:
        """What was gathered, and begin anew from there; None where there was nothing."""
        if not self._counts:
            self.from_utc_us = to_utc_us
            return None
        values = {key: round(total / self._counts[key], 3) for key, total in self._sums.items()}
        values |= self._worst
        taken = Measured(from_utc_us=self.from_utc_us, to_utc_us=max(self.from_utc_us, to_utc_us), values=values)
        self.from_utc_us = to_utc_us
        self._sums.clear()
        self._counts.clear()
        self._worst.clear()
        return taken
