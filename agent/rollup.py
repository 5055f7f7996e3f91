"""Measurements over a span of time: each indicator's mean, and its worst value where one end is the bad one. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.indicators import named
from agent.upstream.contract import Measured

WORST = ":worst"


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
                known = self._worst.get(key, value)
                self._worst[key] = max(known, value) if end == "high" else min(known, value)

    def take(self, to_utc_us: int) -> Measured | None:
        """What was gathered, and begin anew from there; None where there was nothing."""
        if not self._counts:
            self.from_utc_us = to_utc_us
            return None
        values = {key: round(total / self._counts[key], 3) for key, total in self._sums.items()}
        values |= {key + WORST: value for key, value in self._worst.items()}
        taken = Measured(from_utc_us=self.from_utc_us, to_utc_us=max(self.from_utc_us, to_utc_us), values=values)
        self.from_utc_us = to_utc_us
        self._sums.clear()
        self._counts.clear()
        self._worst.clear()
        return taken


def merge(spans: Iterable[Measured]) -> Measured:
    """Several spans as one: means weighted by their lengths, and the worst of the worst.

    Raises:
        ValueError: there is none.
    """
    ordered = sorted(spans, key=lambda one: one.from_utc_us)
    if not ordered:
        raise ValueError("no spans to merge")
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    worst: dict[str, float] = {}
    for span in ordered:
        weight = max(1.0, float(span.to_utc_us - span.from_utc_us))
        for key, value in span.values.items():
            if key.endswith(WORST):
                high = named(key.removesuffix(WORST))[0].worst == "high"
                known = worst.get(key, value)
                worst[key] = max(known, value) if high else min(known, value)
            else:
                sums[key] = sums.get(key, 0.0) + value * weight
                weights[key] = weights.get(key, 0.0) + weight
    values = {key: round(total / weights[key], 3) for key, total in sums.items()} | worst
    return Measured(from_utc_us=ordered[0].from_utc_us, to_utc_us=max(one.to_utc_us for one in ordered), values=values)
