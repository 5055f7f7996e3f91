"""States of a recorder, made up."""

from recorder.contract.control import Alarm, ChannelStatus, DiskStatus, State, Status


def video(
    track: str = "cam",
    *,
    units: int = 0,
    written_us: int = 0,
    bytes_written: int = 0,
    dropped: int = 0,
    gap: str = "",
    misplaced_us: int | None = None,
    live: bool = True,
) -> ChannelStatus:
    return ChannelStatus(
        track=track, kind="video", device=track, live=live, units=units, dropped=dropped, written_us=written_us,
        bytes_written=bytes_written, gap=gap, misplaced_us=misplaced_us,
    )  # fmt: skip


def sound(
    track: str = "judge",
    *,
    units: int = 0,
    rms_dbfs: float = -40.0,
    clipped: int = 0,
    written_us: int = 0,
    misplaced_us: int | None = None,
) -> ChannelStatus:
    return ChannelStatus(
        track=track, kind="audio", device="table", live=True, units=units, dropped=0, rms_dbfs=rms_dbfs, clipped=clipped,
        written_us=written_us, misplaced_us=misplaced_us,
    )  # fmt: skip


def disk(state: str = "recording", hours_left: float | None = 10.0) -> DiskStatus:
    return DiskStatus(disk="primary", path="/records", state=state, free_bytes=10**9, hours_left=hours_left)


def alarm(code: str, track: str = "") -> Alarm:
    return Alarm(code=code, track=track, detail=f"{code} on {track}", since_us=0)


def status(
    *channels: ChannelStatus, state: State = "open", record: str = "/records/one", t_us: int = 0, alarms: list[Alarm] | None = None,
    disks: list[DiskStatus] | None = None,
) -> Status:  # fmt: skip
    return Status(
        state=state, record=record, hearing="H-1", t_us=t_us, entries=0, head="", head_at=0, signed_at=0, commit_p99_us=9_000,
        preroll_armed=False, channels=list(channels), disks=disks if disks is not None else [disk()], alarms=alarms or [],
    )  # fmt: skip
