"""Language channels as tracks of the record: what a silent listener of each hears, mixed and encoded once for all who hear it.

Which channels those are ``order.recorded_channels`` says; ``sound.py`` mixes for them as for any listener, whether or not there is another
one. A mix lies later than what is in it, so the recorder is told by how much at most: it takes nothing of the first moments of a part, in
which something from before the part might be heard.
"""

from collections.abc import Callable
from functools import partial

from recorder.record import layout
from vks.order import CHANNEL, Order, recorded_channels
from vks.recording import Recording
from vks.sound import BLOCK_US

TRACK = layout.CHANNEL.removeprefix(layout.REMOTE)
CLOSED = "channel-closed"
"""The cause of a track's end: nobody speaks into the channel any more, or nothing of it may be recorded."""


class Channels:
    """Those of a hearing.

    Args:
        recording: where they are recorded.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._open: set[str] = set()
        self._over = False

    def follow(self, order: Order) -> None:
        """Begin and end tracks, as the order says now."""
        wanted = frozenset[str]() if self._over else recorded_channels(order)
        for language in sorted(self._open - wanted):
            self._stop(language, CLOSED)
        for language in sorted(wanted - self._open):
            self._open.add(language)
            self._recording.start(f"{TRACK}{language}", "audio", f"Language channel {language}", delay_us=layout.MIX_LATE_US)

    def listeners(self, at_us: int) -> dict[str, Callable[[bytes], object]]:
        """Who takes the packets of each open channel's mix, by the name that ``order.py`` knows; ``at_us`` is the time of the next."""
        return {f"{CHANNEL}{language}": partial(self._take, f"{TRACK}{language}", at_us) for language in self._open}

    def end(self, cause: str) -> None:
        """Nothing of this hearing goes on, whatever becomes of its order still."""
        self._over = True
        for language in sorted(self._open):
            self._stop(language, cause)

    def _take(self, track: str, at_us: int, packet: bytes) -> None:
        self._recording.media(track, at_us, BLOCK_US, packet, key=True)

    def _stop(self, language: str, cause: str) -> None:
        self._open.discard(language)
        self._recording.stop(f"{TRACK}{language}", cause)
