"""Which children a room needs: room.toml's devices turned into the configurations of processes. Pure."""

from collections.abc import Collection
from typing import Any, Literal

from provisioning.room import Camera, RoomConfig, RtspCamera, V4l2Camera
from recorder.child_process import ChildPlan

CAPTURE = "recorder.children.capture"
MIXER = "recorder.children.mixer"
SPEAKER = "recorder.children.speaker"
INGEST = "recorder.children.ingest"
WATCH = "recorder.children.watch"
RUNGS = "recorder.children.rungs"
WITHOUT_DEVICE = frozenset({WATCH, RUNGS})
"""Children that have no device and no track: they are no sources of a record."""


def expected_tracks(plan: ChildPlan) -> dict[str, Literal["video", "audio"]]:
    """The tracks that a device must give, known before it is open; empty for the mixer, the speaker and participants."""
    if plan.module != CAPTURE:
        return {}
    if "channels" in plan.device:
        return {channel["id"]: "audio" for channel in plan.device["channels"]}
    tracks: dict[str, Literal["video", "audio"]] = {plan.name: "video"}
    if plan.device.get("audio"):
        tracks[f"{plan.name}-sound"] = "audio"
    return tracks


def lacking_tracks(plan: ChildPlan, given: Collection[str]) -> dict[str, Literal["video", "audio"]]:
    """Those of the tracks that a device must give which it does not, now that it is open."""
    return {track: kind for track, kind in expected_tracks(plan).items() if track not in given}


def _encodes_itself(camera: Camera) -> bool:
    """Whether a camera delivers pictures that are recorded untouched, and gives no small stream besides."""
    if isinstance(camera, RtspCamera):
        return camera.sub_url is None
    return isinstance(camera, V4l2Camera) and (camera.format == "h264" or (camera.format == "mjpeg" and camera.record == "as-delivered"))


def plans(config: RoomConfig, bus_uids: list[int]) -> list[ChildPlan]:
    """One plan a child, cameras first. Rungs and watch come last: they have no device and no track."""
    shared: dict[str, Any] = {"encoding": config.encoding.model_dump(mode="json"), "bus_uids": bus_uids}
    children = [
        ChildPlan(name=device.id, module=CAPTURE, device=device.model_dump(mode="json"), options=shared)
        for device in (*config.camera, *config.microphone)
    ]
    mixed = [
        {"track": channel.id, "gain_db": channel.mix_gain_db}
        for microphone in config.microphone
        for channel in microphone.channels
        if channel.in_mix
    ]
    if config.mix.enabled and mixed:
        children.append(
            ChildPlan(
                name="room-mix",
                module=MIXER,
                device={"id": "room-mix", "channels": mixed, "bitrate_bps": config.mix.bitrate_bps},
                options=shared,
            )
        )
    if config.speaker is not None:
        children.append(
            ChildPlan(name="room-out", module=SPEAKER, device={"id": "room-out", **config.speaker.model_dump(mode="json")}, options=shared)
        )
    if config.ingest.enabled:
        children.append(
            ChildPlan(name="ingest", module=INGEST, device={"id": "ingest", **config.ingest.model_dump(mode="json")}, options=shared)
        )
    encoded = [camera.id for camera in config.camera if camera.low_rung and _encodes_itself(camera)]
    small = [camera.id for camera in config.camera[:1] if camera.low_rung and config.vks is not None]
    if encoded or small:
        device = {"id": "rungs", "cameras": encoded, "small": small}
        children.append(ChildPlan(name="rungs", module=RUNGS, device=device, options=shared))
    if config.watch.enabled:
        children.append(ChildPlan(name="watch", module=WATCH, device={"id": "watch", **config.watch.model_dump(mode="json")}))
    return children
