"""How good the participants' links are, all together: what the room tells the centre of its conference. Pure; the clock is passed in."""

from collections.abc import Collection, Mapping

from recorder.contract.conference import Links
from vks.account import Arrival

SPAN_US = 10_000_000
"""Over so long, a heartbeat's time."""


class LinkTotals:
    """Of a conference."""

    def __init__(self) -> None:
        self.links = Links()
        """Of the span that ended last."""
        self._before: dict[str, Arrival] = {}
        self._since_us: int | None = None

    def take(self, arrivals: Mapping[str, Arrival], round_trips_us: Collection[int], now_us: int) -> bool:
        """Look once more; whether a span ended, and ``links`` is new.

        Args:
            arrivals: of each stream that comes.
            round_trips_us: of each link on which one was measured within a span.
            now_us: CLOCK_MONOTONIC.
        """
        if self._since_us is None:
            self._since_us = now_us
        if now_us - self._since_us < SPAN_US:
            return False
        self._since_us = now_us
        packets = lost = 0
        jitters_us = list[int]()
        for name, arrival in arrivals.items():
            before = self._before.get(name, Arrival(0, 0, 0))
            if arrival.packets < before.packets:  # another connection
                before = Arrival(0, 0, 0)
            packets += arrival.packets - before.packets
            if arrival.packets > before.packets:  # of a stream that has ended the last value stands
                jitters_us.append(arrival.jitter_us)
            lost += max(0, arrival.lost - before.lost)
        self._before = dict(arrivals)
        before_links, self.links = self.links, Links(
            rtt_ms=max(round_trips_us) / 1_000 if round_trips_us else None,
            jitter_ms=max(jitters_us) / 1_000 if jitters_us else None,
            loss_percent=100 * lost / (packets + lost) if packets + lost else None,
        )  # fmt: skip
        return self.links != Links() or before_links != Links()
