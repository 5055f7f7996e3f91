"""The indicators of a room as one table: what the heartbeat, the rolled up measurements, Prometheus and ``docs/indicators.md`` say. Pure.

Nothing is invented: what is not known at the moment is absent from the values.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from agent.status_history import StatusHistory

Worst = Literal["high", "low", ""]
"""Which end of a value is the bad one; empty: only the mean says something."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator.

    Args:
        name: with its unit at the end; the key in a heartbeat, followed by a dot and the track where ``per_track``.
        group: as on the centre's page.
        source: where it is read.
        meaning: in a sentence.
        worst: which end is the bad one.
        metric: its name for Prometheus, in that convention's base units (https://prometheus.io/docs/practices/naming/); where it ends in
            ``_total``, Prometheus is given the counter itself, and computes the rate.
        scale: from this unit to the base unit.
        per_track: whether each track has one.
    """

    name: str
    group: str
    source: str
    meaning: str
    worst: Worst
    metric: str
    scale: float = 1.0
    per_track: bool = False


GIB, MIB = 1024.0**3, 1024.0**2
_S, _R, _G, _C, _U, _H, _T = "Session", "Recording", "Signal", "Videoconference", "Upload", "Host", "Trust"
_STATUS, _ROOM, _VKS = "recorder's state", "agent's records of the hearings", "videoconference"

INDICATORS: tuple[Indicator, ...] = (
    Indicator("late_start_s", _S, _ROOM, "How late the last session began, against the plan as the room knew it then.", "high",
              "courtroom_session_late_start_seconds"),
    Indicator("start_delay_s", _S, _ROOM, "From the order to start to the first media on the disk.", "high",
              "courtroom_session_start_delay_seconds"),
    Indicator("scheduled_not_recorded", _S, _ROOM, "Planned hearings of the last 24 hours that have no recording and no reason.", "high",
              "courtroom_hearings_not_recorded"),
    Indicator("recorded_unscheduled", _S, _ROOM, "Sessions of the last 24 hours that belong to no planned hearing.", "high",
              "courtroom_sessions_unbound"),
    Indicator("session_duration_s", _S, _STATUS, "How long the running session is.", "", "courtroom_session_duration_seconds"),
    Indicator("pauses", _S, _ROOM, "How often the running session left the open state.", "", "courtroom_session_pauses"),
    Indicator("schedule_conflicts", _S, _ROOM, "Hearings of the last 24 hours that were changed while they were recorded.", "high",
              "courtroom_schedule_conflicts"),
    Indicator("offset_lag_s", _S, "link to the centre", "How old the schedule is: since the centre was last heard.", "high",
              "courtroom_schedule_lag_seconds"),
    Indicator("recording_state", _R, _STATUS,
              "0 idle, 1 open, 2 off the record, 3 privileged, 4 deliberation, 5 closing; absent: the recorder is away.", "",
              "courtroom_recording_state"),
    Indicator("track_bytes_per_s", _R, _STATUS, "What comes to the disk of a track, over a minute.", "low",
              "courtroom_track_bytes_per_second", per_track=True),
    Indicator("dropped_per_min", _R, _STATUS, "Frames or packets of sound that a device's child gave up.", "high",
              "courtroom_track_dropped_units_total", per_track=True),
    Indicator("frames_per_s", _R, _STATUS, "Pictures that a camera delivers, over a minute.", "low",
              "courtroom_track_frames_per_second", per_track=True),
    Indicator("av_skew_ms", _R, _STATUS,
              "By how much clocks set sound and picture apart in the record at most: the worst camera's and the worst microphone's "
              "together. What a device takes to give a picture or a sound away (`latency_us`) is not in it.",
              "high", "courtroom_recording_av_skew_seconds", 0.001),
    Indicator("longest_gap_ms", _R, _STATUS, "The longest interval of this session in which a track had no media.", "high",
              "courtroom_recording_longest_gap_seconds", 0.001),
    Indicator("write_p99_ms", _R, _STATUS, "99 of 100 commits were durable within this time.", "high",
              "courtroom_recording_commit_p99_seconds", 0.001),
    Indicator("disk_hours_left", _R, _STATUS, "For how long the fuller disk lasts at the present rate; only while something is recorded.",
              "low", "courtroom_disk_left_seconds", 3600.0),
    Indicator("hash_mismatches", _R, _STATUS, "Records that were found to be changed on the disk (alarm `record_damaged`).", "high",
              "courtroom_recording_hash_mismatches"),
    Indicator("rms_dbfs", _G, _STATUS, "Level of a microphone.", "", "courtroom_track_level_dbfs", per_track=True),
    Indicator("clipping_percent", _G, _STATUS, "In how many looks of the last minute, five a second, a microphone was too loud.", "high",
              "courtroom_track_clipping_ratio", 0.01, per_track=True),
    Indicator("silence_s", _G, _STATUS, "For how long a microphone, or the room, has been silent (alarms `silent`, `room_silent`).", "high",
              "courtroom_track_silence_seconds", per_track=True),
    Indicator("picture_still_s", _G, _STATUS, "For how long a picture has been frozen or black (alarms `frozen`, `black`).", "high",
              "courtroom_track_picture_still_seconds", per_track=True),
    Indicator("source_loss_s", _G, _STATUS, "For how long a device has been away (alarm `source_lost`).", "high",
              "courtroom_track_source_loss_seconds", per_track=True),
    Indicator("conference_rtt_ms", _C, _VKS, "There and back over the slowest participant's link; absent: nobody takes part.", "high",
              "courtroom_conference_rtt_seconds", 0.001),
    Indicator("conference_jitter_ms", _C, _VKS, "How unevenly comes what the participant with the worst link sends.", "high",
              "courtroom_conference_jitter_seconds", 0.001),
    Indicator("conference_loss_percent", _C, _VKS, "Of all packets that participants sent within 10 s.", "high",
              "courtroom_conference_loss_ratio", 0.01),
    Indicator("conference_reconnects", _C, _VKS, "How often somebody came back in a hearing.", "high", "courtroom_conference_reconnects"),
    Indicator("outbox_depth", _U, "outbox", "Events that the centre has not acknowledged.", "high", "courtroom_outbox_events"),
    Indicator("outbox_oldest_s", _U, "outbox", "How old the oldest of them is.", "high", "courtroom_outbox_oldest_seconds"),
    Indicator("outbox_quarantined", _U, "outbox", "Events that the centre refuses.", "high", "courtroom_outbox_quarantined_events"),
    Indicator("upload_pending_records", _U, "delivery", "Sealed records that the archive has not acknowledged.", "high",
              "courtroom_upload_pending_records"),
    Indicator("upload_pending_gib", _U, "delivery", "Their size.", "high", "courtroom_upload_pending_bytes", GIB),
    Indicator("upload_oldest_pending_h", _U, "delivery", "How old the oldest of them is.", "high",
              "courtroom_upload_oldest_pending_seconds", 3600.0),
    Indicator("upload_rate_mib_s", _U, "delivery", "How fast records are being sent.", "", "courtroom_upload_bytes_per_second", MIB),
    Indicator("upload_sent_percent", _U, "delivery", "How much of the record under way the archive has; absent: none is.", "",
              "courtroom_upload_sent_ratio", 0.01),
    Indicator("cpu_percent", _H, "/proc/stat", "Share of all cores' time that was used.", "high", "courtroom_host_cpu_ratio", 0.01),
    Indicator("io_pressure_percent", _H, "/proc/pressure/io", "Share of time in which something waited for a disk.", "high",
              "courtroom_host_io_pressure_ratio", 0.01),
    Indicator("memory_free_percent", _H, "/proc/meminfo", "Share of the memory that is available.", "low",
              "courtroom_host_memory_available_ratio", 0.01),
    Indicator("temperature_c", _H, "/sys/class/thermal", "The hottest of the PC's sensors.", "high", "courtroom_host_temperature_celsius"),
    Indicator("disk_failing", _H, "last diagnostics", "1 where a disk says that it fails (SMART).", "high", "courtroom_host_disk_failing"),
    Indicator("clock_error_ms", _H, "chrony", "By how much the clock may be wrong; absent where nobody knows.", "high",
              "courtroom_host_clock_error_seconds", 0.001),
    Indicator("certificate_days_left", _T, "room's certificate", "Until the connection's certificate expires; below zero it has.", "low",
              "courtroom_certificate_left_seconds", 86400.0),
    Indicator("restarts_per_day", _T, _ROOM, "How often the agent was started in the last 24 hours.", "high", "courtroom_agent_restarts"),
)  # fmt: skip
BY_NAME = {one.name: one for one in INDICATORS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What only the agent's own records know; None is not known. The names are the indicators'."""

    late_start_s: float | None = None
    start_delay_s: float | None = None
    scheduled_not_recorded: float | None = None
    recorded_unscheduled: float | None = None
    pauses: float | None = None
    schedule_conflicts: float | None = None
    offset_lag_s: float | None = None
    restarts_per_day: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFacts:
    """How the outbox stands."""

    outbox_depth: float | None = None
    outbox_oldest_s: float | None = None
    outbox_quarantined: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """How the PC is; None is not known here."""

    cpu_percent: float | None = None
    io_pressure_percent: float | None = None
    memory_free_percent: float | None = None
    temperature_c: float | None = None
    disk_failing: float | None = None
    clock_error_ms: float | None = None
    certificate_days_left: float | None = None


def compose(
    history: StatusHistory,
    now_s: float,
    *,
    session: SessionFacts | None = None,
    outbox: OutboxFacts | None = None,
    host: HostFacts | None = None,
    told: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """All indicators that are known now, by name, rounded to what they are worth.

    Args:
        history: of the recorder's states.
        now_s: of the clock that the history was fed by.
        session: of the agent's records.
        outbox: likewise.
        host: the PC's readings.
        told: of other processes, by the indicators' names.

    Raises:
        KeyError: a value that the table does not have.
    """
    values = history.values(now_s) | dict(told or {})
    for facts in (session, outbox, host):
        if facts is not None:
            known = {one.name: getattr(facts, one.name) for one in fields(facts)}
            values |= {name: float(value) for name, value in known.items() if value is not None}
    for key in values:
        named(key)
    return {key: round(value, 3) for key, value in values.items()}


def of_delivery(told: Mapping[str, float]) -> dict[str, float]:
    """Those of the values that the delivery's process told which are the delivery's to tell."""
    return {name: value for name, value in told.items() if name in BY_NAME and BY_NAME[name].source == "delivery"}


def named(key: str) -> tuple[Indicator, str]:
    """The indicator of a key, and its track or nothing.

    Raises:
        KeyError: there is none of this name.
    """
    name, _, track = key.partition(".")
    return BY_NAME[name], track


def page() -> str:
    """``docs/indicators.md``."""
    lines = [
        "# Indicators",
        "",
        "Each heartbeat carries what the room knows of these at the moment; what it does not know is absent. One of a track has the",
        "track's name behind a dot (`rms_dbfs.judge`). Rolled up over a span there is the mean under the name itself, and the worst value",
        "under the name with `_max` or `_min`. For Prometheus, `/metrics` on the agent's socket or loopback port gives the same in base",
        "units.",
        "",
        "This page is made from `agent/indicators.py`: `python -m agent.indicators > docs/indicators.md`.",
    ]
    for group in dict.fromkeys(one.group for one in INDICATORS):
        lines += ["", f"## {group}", "", "| indicator | meaning | read from | bad end | Prometheus |", "|---|---|---|---|---|"]
        for one in INDICATORS:
            if one.group == group:
                name = f"`{one.name}`" + (" of each track" if one.per_track else "")
                lines.append(f"| {name} | {one.meaning} | {one.source} | {one.worst or '-'} | `{one.metric}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
