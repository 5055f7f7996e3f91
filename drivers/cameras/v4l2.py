"""Cameras of the kernel (Video4Linux2): raw pictures, Motion JPEG or H.264, stamped by the kernel on CLOCK_MONOTONIC."""

import errno
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av

from drivers.capabilities import Encoded, LossCause, Picture, SourceLostError, VideoFormat


def open(stanza: Mapping[str, Any]) -> "V4l2Source":  # noqa: A001 - the drivers' convention
    """Open the camera at the stanza's ``path`` with ``format``, ``width``, ``height`` and ``fps``; ``record = "h264"`` decodes Motion JPEG.

    Raises:
        SourceLostError: ``missing`` when it is not plugged in, ``format`` when it cannot do this, else ``error``.
    """
    path, name = stanza["path"], stanza["format"]
    options = {
        "video_size": f"{stanza['width']}x{stanza['height']}",
        "framerate": str(stanza["fps"]),
        "input_format": name,
    }
    try:
        container = av.open(path, format="v4l2", options=options)
    except av.FFmpegError as error:
        cause, remedy = _WHY_NOT_OPEN.get(error.errno or 0, _UNFIT)
        raise SourceLostError(cause, f"{path}: {error.strerror}; {remedy}") from error
    return V4l2Source(container, path, stanza)


_NOT_THERE: tuple[LossCause, str] = ("missing", "is it plugged in? `courtroom devices` lists what is")
_NOT_HIS: tuple[LossCause, str] = ("error", "the udev rule 72-courtroom.rules gives cameras to the recorder's user")
_NOT_LET_IN: tuple[LossCause, str] = ("error", "the unit may open no such device (DeviceAllow=): restart the recorder between two hearings")
"""Not a question of whose the device is: the device filter of the unit's control group says EPERM."""
_UNFIT: tuple[LossCause, str] = ("format", "`courtroom devices` lists what it can do")
_WHY_NOT_OPEN: dict[int, tuple[LossCause, str]] = {
    errno.ENOENT: _NOT_THERE,
    errno.ENODEV: _NOT_THERE,
    errno.ENXIO: _NOT_THERE,
    errno.EBUSY: ("error", "another program holds it"),
    errno.EACCES: _NOT_HIS,
    errno.EPERM: _NOT_LET_IN,
    errno.EIO: ("error", "unplug it and plug it in again"),
}


class V4l2Source:
    """An open camera."""

    def __init__(self, container: av.container.InputContainer, path: str, stanza: Mapping[str, Any]) -> None:
        stream = container.streams.video[0]
        self._decode = stanza["format"] == "yuyv422" or (stanza["format"] == "mjpeg" and stanza.get("record") == "h264")
        self.formats = {
            "video": VideoFormat(
                codec="raw" if self._decode else stanza["format"],
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                rate=Fraction(stream.average_rate or stanza["fps"]),
                template=None if self._decode else stream,
            )
        }
        self.address = path
        self.serial = stanza.get("serial", "")
        self.exact_clock = True
        self._container = container
        self._stream = stream
        self._packets = container.demux(stream)
        self._sequence = 0

    def read(self) -> Picture | Encoded:
        """Block for the next picture."""
        while True:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:
                raise SourceLostError("unplugged", f"{self.address}: the camera has gone or failed ({error.strerror})") from error
            if packet is None or (packet.size == 0 and packet.pts is None):
                # PyAV ends a stream by a packet without time and content.
                raise SourceLostError("eof", f"{self.address}: the camera ended the stream")
            if packet.size == 0 or packet.pts is None or packet.time_base is None:
                # Empty: a buffer that the driver marks as corrupted (V4L2_BUF_FLAG_ERROR), as a USB camera's now and then is; FFmpeg
                # empties it. Without time: H.264 that FFmpeg read before it knew where pictures begin. The next one is whole, and the
                # hole in the times counts the lost picture.
                continue
            arrival_us = time.monotonic_ns() // 1000
            device_us = round(packet.pts * packet.time_base * 1_000_000)
            if not self._decode:
                return Encoded(stream="video", packet=packet, device_us=device_us, arrival_us=arrival_us)
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.InvalidDataError:
                continue  # a Motion JPEG picture that came broken is lost alone
            except av.FFmpegError as error:
                detail = f"{self.address}: its pictures cannot be decoded ({error.strerror}); take a size that `courtroom devices` lists"
                raise SourceLostError("format", detail) from error
            if frames:
                self._sequence += 1
                return Picture(stream="video", frame=frames[0], device_us=device_us, arrival_us=arrival_us, sequence=self._sequence)

    def close(self) -> None:
        """Let go of the camera."""
        self._container.close()
