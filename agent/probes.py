"""What the probes ``/live``, ``/ready`` and ``/recording`` answer. Pure; the clock is passed in."""

import msgspec

from agent.status_history import StatusHistory
from recorder.contract.control import Status

_BAD_DISKS = frozenset({"gone", "failing", "left"})
"""States of a disk under which the room is not ready: it is not there, refuses, or is a mirror that was given up."""
_NO_ROOM = frozenset({"disk_full", "storage_failed", "storage_stalled", "signing_failed"})


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a hearing could begin now, or goes on well; each reason against it is in words."""

    ready: bool
    reasons: list[str]


class RecordingNow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether media of a session comes to the disk now. ``still`` are live tracks of which nothing comes."""

    recording: bool
    state: str
    hearing: str
    written: list[str]
    still: list[str]
    t_us: int


def ready(status: Status | None, *, reachable: bool) -> Ready:
    """The answer of ``/ready``.

    Args:
        status: the recorder's last state.
        reachable: whether it is of now.
    """
    if status is None or not reachable:
        return Ready(ready=False, reasons=["the recorder does not answer; see `systemctl status courtroom-recorder`"])
    reasons = [f"disk {disk.disk} ({disk.path}) is {disk.state}" for disk in status.disks if disk.state in _BAD_DISKS]
    reasons += [f"alarm {alarm.code}: {alarm.detail}" for alarm in status.alarms if alarm.code in _NO_ROOM]
    if not any(channel.live for channel in status.channels):
        reasons.append("no camera and no microphone is open")
    return Ready(ready=not reasons, reasons=reasons)


def recording(status: Status | None, history: StatusHistory, now_s: float, *, reachable: bool) -> RecordingNow:
    """The answer of ``/recording``: open, and what is on the disk grows."""
    if status is None or not reachable:
        return RecordingNow(recording=False, state="unreachable", hearing="", written=[], still=[], t_us=0)
    written = history.written_tracks(now_s) if status.state == "open" else frozenset()
    live = {channel.track for channel in status.channels if channel.live}
    return RecordingNow(
        recording=bool(written),
        state=status.state,
        hearing=status.hearing,
        written=sorted(written),
        still=sorted(live - written) if status.state == "open" else [],
        t_us=status.t_us,
    )
