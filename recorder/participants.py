"""Participants' tracks that are open at ingest, session or none: who is there before it begins is recorded from its start.

How many they may be is held here, whatever ingest lets in: each name stands in the seal, and each part has a key of its own.
"""

from collections.abc import Callable
from typing import Literal

from recorder.child_entries import entry_of
from recorder.child_process import LimitError
from recorder.contract import child
from recorder.record import entries
from recorder.record.entries import Level
from recorder.room_view import RoomView
from recorder.running import RunningSession

MOST_OPEN = 200
"""No room may have more tracks at once (room.toml, ``[ingest] max_tracks``)."""
MOST_NAMES = 1000
"""In one session; about 140 bytes each in the seal's line, which a reader takes up to 1 MiB."""
MOST_PARTS = 10_000
"""In one session: a file of a wrapped key and some lines of the journal each."""


class Participants:
    """What ingest (a device of that name) has told of tracks.

    Args:
        view: what the room sees of them.
        now_us: CLOCK_MONOTONIC.
        can_be_opened: whether media of a level would have a reader.
    """

    def __init__(self, view: RoomView, now_us: Callable[[], int], can_be_opened: Callable[[Level], bool] = lambda _: True) -> None:
        self._view = view
        self._now_us = now_us
        self._can_be_opened = can_be_opened
        self._open: dict[str, child.TrackOpened] = {}

    def opened(self, message: child.TrackOpened, device: str, session: RunningSession | None) -> bool:
        """A participant's track begins; False where the session has so many already that this one is not recorded.

        Raises:
            LimitError: more are open than there can be.
        """
        if len(self._open) >= MOST_OPEN and message.track not in self._open:
            raise LimitError(f"more than {MOST_OPEN} tracks are open")
        self._open[message.track] = message
        self._view.add(message.track, message.kind, device)
        if session is None or not self._may_be_read(message, session):
            return True
        if not _add(session, device, message):
            return False
        if session.state == "open":
            session.start_or_retry(device, self._now_us(), only=message.track)
        return True

    def closed(self, message: child.TrackClosed, session: RunningSession | None) -> None:
        """A participant's track ends."""
        self._open.pop(message.track, None)
        self._view.forget(message.track)
        if session is not None:
            session.forget_track(message.track)
            _journal(session, message)

    def begin(self, session: RunningSession, device: str) -> None:
        """A session begins; who is there is recorded from now on."""
        for message in self._open.values():
            if self._may_be_read(message, session):
                _add(session, device, message)
        session.start_device(device, self._now_us())

    def gone(self, session: RunningSession | None) -> None:
        """The child that took their media has died, and with it every connection; they come back as tracks that open."""
        for track in self._open:
            self._view.forget(track)
            if session is not None:
                session.forget_track(track)
                _journal(session, child.TrackClosed(track=track, cause="ingest_lost", detail="the process that took its media has ended"))
        self._open.clear()

    def _may_be_read(self, message: child.TrackOpened, session: RunningSession) -> bool:
        """Whether somebody may open what is of this track's level: else it is not recorded, and the record says so."""
        if message.level is None or self._can_be_opened(message.level):
            return True
        detail = f"not recorded: nobody may open level '{message.level}'; name a [[recipient]] for it in room.toml"
        session.journal(entries.Event(source="ingest", name="refused", track=message.track, data={"what": "level", "detail": detail}))
        return False


def _add(session: RunningSession, device: str, message: child.TrackOpened) -> bool:
    remote = [track for name, track in session.tracks.items() if name.startswith("remote-")]
    too_many = message.track not in session.tracks and len(remote) >= MOST_NAMES
    if too_many or sum(track.next_part - track.first_part for track in remote) >= MOST_PARTS:
        what = f"not recorded: the session has had {MOST_NAMES} participants' tracks, or begun one of them {MOST_PARTS} times"
        session.journal(entries.Event(source="ingest", name="refused", track=message.track, data={"what": "tracks", "detail": what}))
        return False
    kinds: dict[str, Literal["video", "audio"]] = {message.track: message.kind}
    session.add_tracks(device, kinds, continuous=False, least=message.level or "open")
    _journal(session, message)
    return True


def _journal(session: RunningSession, message: child.TrackOpened | child.TrackClosed) -> None:
    entry = entry_of(message, session.clock)
    if entry is not None:
        session.journal(entry)
