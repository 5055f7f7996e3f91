"""What a session that begins asks of the devices: those that are there record, and of each other one the record says that it is missing."""

from collections.abc import Mapping

from recorder.child_process import ChildProcess
from recorder.children_plan import INGEST, expected_tracks, lacking_tracks
from recorder.participants import Participants
from recorder.running import RunningSession


def begin_parts(
    session: RunningSession, children: Mapping[str, ChildProcess], participants: Participants, from_us: int, asked_us: int
) -> None:
    """Let every device that is there record from this moment on, which its pre-roll may reach back to from when it was asked for.

    Both are of CLOCK_MONOTONIC.
    """
    for process in children.values():
        if process.opened is not None and process.plan.module != INGEST:
            session.add_tracks(process.plan.name, process.opened.tracks, continuous=process.opened.continuous)
            session.lacks(process.plan.name, lacking_tracks(process.plan, process.opened.tracks))
            session.start_device(process.plan.name, from_us)
        elif process.opened is not None:
            participants.begin(session, process.plan.name)
        else:
            missing = expected_tracks(process.plan)
            session.add_tracks(process.plan.name, missing, continuous=True)
            for name in missing:
                session.journal(*session.tracks[name].missing("missing", "the device is not open", session.clock.t_us(from_us)))
    for track in session.tracks.values():
        track.preroll_until_us = session.clock.t_us(asked_us)
