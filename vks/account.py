"""What the record is told of participants' media beside the media itself: how it came, how good the link is, and who spoke when.

Pure; the clock is passed in. The recorder takes a bounded number of these a second, and passes over what is more: what is too
much at a time waits. How the tracks of twenty people with good links came is some 20,000 lines in eight hours, a hundredth of the journal;
turns of speaking come on top, at most as many as there are turns.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

QUIET_US = 60_000_000
"""How a track came is told so often; where packets were lost, after ``LOSSY_US``."""
LOSSY_US = 10_000_000
PER_S, BURST = 5, 20
"""A quarter of what the recorder takes (``recorder/children/ingest_gate.py``)."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a track's packets came since the connection began; of those ``lost`` none came, asked for again or not."""

    packets: int
    lost: int
    jitter_us: int


@dataclass(frozen=True, slots=True)
class Told:
    """A line for the record."""

    track: str
    name: str
    data: dict[str, str | int]


class Account:
    """Keeps what was told, so that only what is new is."""

    def __init__(self) -> None:
        self._arrivals: dict[str, tuple[Arrival, int]] = {}
        self._links: dict[str, str] = {}
        self._speaking: set[str] = set()
        self._left, self._filled_us = float(BURST), 0

    def take(self, arrivals: Mapping[str, Arrival], links: Mapping[str, str], speaking: Collection[str], now_us: int) -> list[Told]:
        """What is to be told now.

        Args:
            arrivals: of each track that is recorded.
            links: how good the link is of whose track this is (``good``, ``small`` or ``sound``).
            speaking: the tracks of those who speak.
            now_us: the clock.
        """
        self._left = min(BURST, self._left + (now_us - self._filled_us) / 1e6 * PER_S) if self._filled_us else BURST
        self._filled_us = now_us
        self._arrivals = {track: last for track, last in self._arrivals.items() if track in arrivals}
        self._links = {track: link for track, link in self._links.items() if track in arrivals}
        self._speaking &= arrivals.keys()
        found = list[Told]()
        for track in sorted(arrivals.keys() & set(speaking) - self._speaking):
            if self._may():
                self._speaking.add(track)
                found.append(Told(track, "speaks", {}))
        for track in sorted(self._speaking - set(speaking)):
            if self._may():
                self._speaking.discard(track)
                found.append(Told(track, "silent", {}))
        for track, link in links.items():
            if track in arrivals and link != self._links.get(track, "good") and self._may():
                self._links[track] = link
                found.append(Told(track, "link", {"quality": link}))
        found += [told for track, arrival in arrivals.items() if (told := self._received(track, arrival, now_us)) is not None]
        return found

    def _received(self, track: str, arrival: Arrival, now_us: int) -> Told | None:
        last, told_us = self._arrivals.setdefault(track, (arrival, now_us))
        if arrival.packets < last.packets:  # another connection
            last = Arrival(0, 0, 0)
        packets, lost = arrival.packets - last.packets, arrival.lost - last.lost
        if now_us - told_us < (LOSSY_US if lost > 0 else QUIET_US) or not (packets or lost) or not self._may():
            return None
        self._arrivals[track] = (arrival, now_us)
        return Told(track, "received", {"packets": packets, "lost": max(0, lost), "jitter_us": arrival.jitter_us})

    def _may(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True
