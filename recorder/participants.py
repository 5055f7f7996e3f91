"""Participants' tracks that are open at ingest, session or none: who is there before it begins is recorded from its start."""

from collections.abc import Callable
from typing import Literal

from recorder.child_entries import entry_of
from recorder.contract import child
from recorder.room_view import RoomView
from recorder.running import RunningSession


class Participants:
    """What ingest (a device of that name) has told of tracks. ``now_us`` is CLOCK_MONOTONIC."""

    def __init__(self, view: RoomView, now_us: Callable[[], int]) -> None:
        self._view = view
        self._now_us = now_us
        self._open: dict[str, child.TrackOpened] = {}

    def opened(self, message: child.TrackOpened, device: str, session: RunningSession | None) -> None:
        """A participant's track begins."""
        self._open[message.track] = message
        self._view.add(message.track, message.kind, device)
        if session is not None:
            _add(session, device, message)
            if session.state == "open":
                session.start_device(device, self._now_us(), only=message.track)

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
            _add(session, device, message)
        session.start_device(device, self._now_us())

    def gone(self, session: RunningSession | None) -> None:
        """The child that took their media has died, and with it every connection; they come back as tracks that open."""
        for track in self._open:
            self._view.forget(track)
            if session is not None:
                session.forget_track(track)
        self._open.clear()


def _add(session: RunningSession, device: str, message: child.TrackOpened) -> None:
    kinds: dict[str, Literal["video", "audio"]] = {message.track: message.kind}
    session.add_tracks(device, kinds, continuous=False)
    _journal(session, message)


def _journal(session: RunningSession, message: child.TrackOpened | child.TrackClosed) -> None:
    entry = entry_of(message, session.clock)
    if entry is not None:
        session.journal(entry)
