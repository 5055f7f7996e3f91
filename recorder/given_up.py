"""Fragments that were given up because the disks took nothing until memory was used up. Pure."""

from dataclasses import dataclass

from recorder.contract import child
from recorder.record import entries


@dataclass(slots=True)
class _Lost:
    fragments: int
    bytes: int
    from_us: int
    to_us: int


class GivenUp:
    """What was given up since it was last told, by track."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Lost] = {}

    def add(self, message: child.Fragment, size_bytes: int) -> None:
        """Count a fragment."""
        # A child may say any time, also one that no journal holds.
        from_us = min(message.t0 * 1_000_000 // message.timescale, child.MAX_INTEGER)
        to_us = min((message.t0 + message.dur) * 1_000_000 // message.timescale, child.MAX_INTEGER)
        lost = self._tracks.setdefault(message.track, _Lost(0, 0, from_us, to_us))
        lost.fragments += 1
        lost.bytes += size_bytes
        lost.to_us = to_us

    def told(self) -> list[entries.Overflow]:
        """The entries that say so; then they are told."""
        made = [
            entries.Overflow(track=name, fragments=lost.fragments, bytes=lost.bytes, from_us=lost.from_us, to_us=lost.to_us)
            for name, lost in self._tracks.items()
        ]
        self._tracks.clear()
        return made
