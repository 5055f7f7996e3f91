"""What checks are given in tests."""

from pathlib import Path

from agent.centre_clock import Difference
from agent.diagnostics.check import Context
from agent.upstream.contract import ClockQuality
from provisioning.room import RoomConfig
from recorder.contract.control import Alarm, ChannelStatus, State, Status

GOOD_CLOCK = ClockQuality(source="chrony", stratum=3, error_us=2_000)


def config(primary: Path, mirror: Path | None = None, **more: object) -> RoomConfig:
    return RoomConfig.model_validate(
        {
            "room": {"id": "lab", "court": "Lab court"},
            "storage": {"primary": str(primary), "ballast_mib": 1} | ({"mirror": str(mirror)} if mirror else {}),
            "signing": {"kind": "file", "key": "k", "chain": "c"},
            "camera": [{"id": "cam", "label": "Bench camera", "driver": "test-pattern", "width": 320, "height": 180}],
            "microphone": [{"id": "table", "driver": "test-tone", "channels": [{"id": "judge", "label": "Judge", "number": 1}]}],
        }
        | more
    )


def channel(track: str, units: int, *, rms_dbfs: float | None = None, device: str = "", drift_ppb: int | None = None) -> ChannelStatus:
    return ChannelStatus(
        track=track, kind="video" if rms_dbfs is None else "audio", device=device or track, live=True, units=units, dropped=0,
        rms_dbfs=rms_dbfs, drift_ppb=drift_ppb,
    )  # fmt: skip


def status(channels: list[ChannelStatus], state: State = "idle", alarms: list[Alarm] | None = None) -> Status:
    return Status(
        state=state, record="", hearing="", t_us=0, entries=0, head="", head_at=0, signed_at=0, commit_p99_us=0, preroll_armed=False,
        channels=channels, disks=[], alarms=alarms or [],
    )  # fmt: skip


def context(
    room: RoomConfig,
    *,
    now: Status | None = None,
    quality: ClockQuality = GOOD_CLOCK,
    planned_hours: float = 0.0,
    centre: Difference | None = None,
) -> Context:
    async def known() -> ClockQuality:
        return quality

    return Context(config=room, status=lambda: now, quality=known, planned_hours=planned_hours, centre=centre)
