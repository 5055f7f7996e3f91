"""What the conference told for the record that is made: an event that is told again, because its answer was lost, stands there once."""

from recorder.contract import control

MOST = 10_000
"""As many as may wait for a recorder that is away, and so may be told again. Of more, the oldest are forgotten."""


class ConferenceEvents:
    """The newest events of one record."""

    def __init__(self) -> None:
        self._record = ""
        self._known: dict[bytes, None] = {}

    def knows(self, record: str, event: control.AddEvent) -> bool:
        """Whether this very event is in this record. One that does not say when it was may have happened twice."""
        return event.mono_us is not None and record == self._record and _name(event) in self._known

    def add(self, record: str, event: control.AddEvent) -> None:
        """It is in this record now."""
        if record != self._record:
            self._record, self._known = record, {}
        self._known[_name(event)] = None
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]


def _name(event: control.AddEvent) -> bytes:
    return control.json_encoder.encode(event)
