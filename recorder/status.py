"""The recorder's status, of what its parts say."""

from collections.abc import Iterable

from recorder.contract import control
from recorder.open_session import OpenSession
from recorder.running import RunningSession


def status_of(
    state: control.State,
    session: RunningSession | None,
    opened: OpenSession | None,
    commits_us: Iterable[int],
    channels: list[control.ChannelStatus],
    disks: list[control.DiskStatus],
    alarms: list[control.Alarm],
    *,
    armed: bool,
) -> control.Status:
    """The status of a room in which this session runs, if any; ``commits_us``: how long the last commits took."""
    commits = sorted(commits_us)
    return control.Status(
        state=state,
        record=session.path if session else "",
        hearing=session.hearing if session else "",
        t_us=session.clock.times().t_us if session else 0,
        entries=opened.head.at + 1 if opened else 0,
        head=opened.head.sha256 if opened else "",
        head_at=opened.head.at if opened else -1,
        signed_at=opened.signed_at if opened else -1,
        commit_p99_us=commits[len(commits) * 99 // 100] if commits else 0,
        preroll_armed=armed,
        channels=channels,
        disks=disks,
        alarms=alarms,
        level=session.level if session else "open",
    )
