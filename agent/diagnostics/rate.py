"""How many bytes a second a room records: as its last session did, else by typical figures. Pure."""

from provisioning.room import PatternCamera, RoomConfig, RtspCamera, V4l2Camera
from recorder.contract.control import Status

NETWORK_CAMERA_BYTES_S = 500_000.0
"""4 Mbit/s, what makers set for 1080p25 H.264."""
ENCODED_BYTES_PIXEL = 0.01
"""libx264 superfast, crf 23, of a room: 0.08 bit a pixel."""
MJPEG_BYTES_PIXEL = 0.15
MICROPHONE_BYTES_S = 80_000.0
"""FLAC of one channel of 48 kHz, 24 bit, compressed to about 55%."""
_MEASURED_US = 30_000_000
"""A session shorter than this says little."""


def bytes_per_s(config: RoomConfig, status: Status | None) -> float:
    """What a session writes to each disk a second; never nothing."""
    channels = [] if status is None else status.channels
    measured = {one.track: one.bytes_written * 1e6 / one.written_us for one in channels if one.written_us >= _MEASURED_US}
    total = sum(measured.get(camera.id, _camera(camera)) for camera in config.camera)
    for microphone in config.microphone:
        total += sum(measured.get(channel.id, MICROPHONE_BYTES_S) for channel in microphone.channels)
    if config.mix.enabled:
        total += config.mix.bitrate_bps / 8
    return max(total, 1.0)


def _camera(camera: V4l2Camera | RtspCamera | PatternCamera) -> float:
    if isinstance(camera, RtspCamera):
        return NETWORK_CAMERA_BYTES_S
    as_delivered = isinstance(camera, V4l2Camera) and camera.format == "mjpeg" and camera.record == "as-delivered"
    return camera.width * camera.height * camera.fps * (MJPEG_BYTES_PIXEL if as_delivered else ENCODED_BYTES_PIXEL)
