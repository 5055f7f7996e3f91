"""Check of cameras and microphones through the recorder: each that room.toml names is there and delivers, and sound is not nothing."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.diagnostics.check import Context, Found, Outcome
from provisioning.room import Aes67Microphone, RoomConfig, RtspCamera, RtspMicrophone
from recorder.contract.control import ChannelStatus, Status

LOOK_S = 2.0
"""For so long sound is listened to at least."""
LONGEST_LOOK_S = 5.0
"""A device that delivers nothing in so long a time delivers nothing."""
POLL_S = 0.1
SILENT_DBFS = -90.0
"""Below this a microphone gives digital zero: the noise of a preamplifier with 16 bit lies above it."""
DRIFT_PPB = 200_000
"""A healthy quartz is within 100 ppm."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of room.toml: its id, its name for people, its tracks, and the host that it is reached by."""

    id: str
    label: str
    host: str
    tracks: dict[str, str]
    """Each with its name for people."""


def devices(config: RoomConfig) -> list[Device]:
    """All cameras and microphones that the room should have."""
    found = []
    for camera in config.camera:
        label = camera.label or camera.id
        tracks = {camera.id: label}
        if isinstance(camera, RtspCamera) and camera.audio:
            tracks[f"{camera.id}-sound"] = label
        found.append(Device(camera.id, label, _host(camera.url) if isinstance(camera, RtspCamera) else "", tracks))
    for microphone in config.microphone:
        host = _host(microphone.url) if isinstance(microphone, RtspMicrophone) else ""
        if isinstance(microphone, Aes67Microphone):
            host = "AES67"
        channels = {channel.id: channel.label or channel.id for channel in microphone.channels}
        found.append(Device(microphone.id, microphone.label or microphone.id, host, channels))
    return found


def _host(url: str) -> str:
    """The host alone: an address may hold a secret."""
    return urlsplit(url).hostname or ""


class CaptureCheck:
    """Whether the next hearing would be seen and heard."""

    name = "capture"
    version = 1
    deadline_s = LONGEST_LOOK_S + 4

    async def run(self, context: Context) -> Outcome:
        """Watch the recorder's state for some seconds."""
        wanted = devices(context.config)
        tracks = {track for device in wanted for track in device.tracks}
        first: dict[str, int] = {}
        delivers: set[str] = set()
        loudest: dict[str, float] = {}
        last: Status | None = None
        began_s = time.monotonic()
        while time.monotonic() - began_s < LONGEST_LOOK_S:
            status = context.status()
            if status is not None and status is not last:
                last = status
                for channel in status.channels:
                    _look(channel, first, delivers, loudest)
            if last is None and time.monotonic() - began_s >= LOOK_S:
                break
            if delivers >= tracks and time.monotonic() - began_s >= LOOK_S:
                break
            await asyncio.sleep(POLL_S)
        if last is None or context.status() is None:
            return Outcome([Found("bad", "recorder_away")])
        return judge(wanted, last, delivers, loudest)


def _look(channel: ChannelStatus, first: dict[str, int], delivers: set[str], loudest: dict[str, float]) -> None:
    if channel.live and channel.units > first.setdefault(channel.track, channel.units):
        delivers.add(channel.track)
    if channel.rms_dbfs is not None:
        loudest[channel.track] = max(loudest.get(channel.track, channel.rms_dbfs), channel.rms_dbfs)


def judge(wanted: list[Device], status: Status, delivers: set[str], loudest: dict[str, float]) -> Outcome:
    """What the look says. Pure.

    Args:
        wanted: the devices of room.toml.
        status: the recorder's last state.
        delivers: tracks of which something came while they were watched.
        loudest: the highest level of each microphone (dBFS).
    """
    channels = {channel.track: channel for channel in status.channels}
    found: list[Found] = []
    heard: list[str] = []
    for device in wanted:
        live = [track for track in device.tracks if track in channels and channels[track].live]
        told = {"label": device.label, "device": device.id, "host": device.host}
        if not live:
            found.append(Found("bad", "device_unreached" if device.host else "device_missing", told))
            continue
        for track, label in device.tracks.items():
            named = {"label": label, "track": track}
            if track not in delivers:
                found.append(Found("bad", "track_still", named))
            elif track in loudest:
                heard.append(track)
                if loudest[track] <= SILENT_DBFS:
                    found.append(Found("warning", "microphone_dead", named | {"level": f"{loudest[track]:.0f}"}))
            drift_ppb = channels[track].drift_ppb if track in channels else None
            if drift_ppb is not None and abs(drift_ppb) > DRIFT_PPB:
                found.append(Found("warning", "track_drifts", named | {"ppm": f"{drift_ppb / 1000:.0f}"}))
    if heard and all(loudest[track] <= SILENT_DBFS for track in heard):
        found.append(Found("bad", "room_dead"))
    found += [
        Found("warning", "recorder_alarm", {"code": alarm.code, "track": alarm.track, "detail": alarm.detail})
        for alarm in status.alarms
        if alarm.code != "source_lost"  # told above, with its remedy
    ]
    known = [channels[track] for device in wanted for track in device.tracks if track in channels]
    values = {f"{track}_dbfs": round(level, 1) for track, level in sorted(loudest.items()) if track in {c.track for c in known}}
    values |= {"tracks_live": float(sum(channel.live for channel in known)), "tracks_wanted": float(sum(len(d.tracks) for d in wanted))}
    return Outcome(found or [Found("good", "capture_good", {"count": str(len(known))})], values)
