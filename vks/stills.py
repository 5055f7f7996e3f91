"""Takes the stills of identity checks: the one access unit that was asked for goes to the recorder as it came, and is kept nowhere here.

Each person who is checked has a track of the record for it (level ``identity``). A still counts as taken only when the recorder has asked
for pictures of that track, and this picture is younger: what was sent before would be in no record.
"""

from collections.abc import Callable

from recorder.record.layout import STILLS
from vks import acts, h264_payloads
from vks.order import Order, Person
from vks.recording import Recording

STILL_US = 1_000_000
"""How long it lasts in the record, where no other follows sooner."""
_NEEDED = frozenset({h264_payloads.IDR, h264_payloads.SPS, h264_payloads.PPS})
"""What makes a picture that needs no other."""


class Stills:
    """All stills of a conference.

    Args:
        recording: where they go.
        taken: is told of each.
    """

    def __init__(self, recording: Recording, taken: Callable[[acts.StillTaken], None]) -> None:
        self._recording = recording
        self._taken = taken
        self._tracks: set[str] = set()

    def stop(self, order: Order) -> None:
        """End the tracks of those whom nobody checks any more."""
        over = self._tracks - {_track(one.id) for one in _checked(order)}
        for track in over:
            self._recording.stop(track, "check-over")
        self._tracks -= over

    def start(self, order: Order) -> None:
        """Begin the tracks of those who are checked."""
        for person in _checked(order):
            if _track(person.id) not in self._tracks:
                self._tracks.add(_track(person.id))
                self._recording.start(_track(person.id), "video", f"{person.name} ({person.role})", level="identity")

    def see(self, person: Person | None, units: list[bytes], at_us: int) -> bool:
        """A picture of somebody's camera; True where another one is wanted, that begins anew."""
        if person is None or person.check is None or person.check.wanted is None:
            return False
        ready_us = self._recording.ready_us(_track(person.id))
        if ready_us is None or at_us < ready_us or not {h264_payloads.kind(unit) for unit in units} >= _NEEDED:
            return True
        if not self._recording.media(_track(person.id), at_us, STILL_US, h264_payloads.annex_b(units), key=True):
            return True
        self._taken(acts.StillTaken(person=person.id, of=person.check.wanted))
        return False


def _checked(order: Order) -> list[Person]:
    return [one for one in order.people.values() if one.check is not None]


def _track(person: str) -> str:
    return f"{person}{STILLS}"
