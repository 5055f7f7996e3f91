"""What cameras and sound cards this PC has: V4L2 (``/dev/v4l/by-path``), ALSA (``/proc/asound``) and PortAudio.

Every function takes the root of the file system, so that another PC's ``/dev``, ``/proc`` and ``/sys`` can be looked at. Nothing is opened
for capture, so a running recording is not disturbed.
"""

import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/")

# linux/videodev2.h: request numbers and layouts
_QUERYCAP, _ENUM_FMT, _ENUM_SIZES, _ENUM_INTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPABILITY = struct.Struct("<16s32s32s3I12x")
_FORMAT = struct.Struct("<3I32sI16x")
_SIZE = struct.Struct("<3I6I8x")
_INTERVAL = struct.Struct("<5I6I8x")
_CAN_CAPTURE, _HAS_DEVICE_CAPS = 0x1, 0x80000000
_DISCRETE = 1
_CAPTURE_TYPE = 1
_CODECS = {b"YUYV": "yuyv422", b"MJPG": "mjpeg", b"H264": "h264"}
_MOST = 256
"""No list of a sane device is longer; one that does not end is cut."""

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFormat:
    """One way in which a camera can deliver."""

    codec: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCamera:
    """A capture device by its stable path; no formats where it cannot be asked (``note`` says why)."""

    path: str
    name: str
    formats: list[PictureFormat] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCard:
    """An ALSA device that captures. ``channels`` and ``rates_hz`` are empty where ``/proc`` does not tell them (only USB cards do)."""

    device: str
    name: str
    channels: list[int] = field(default_factory=list)
    rates_hz: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPortAudio:
    """A PortAudio device with inputs or outputs."""

    name: str
    inputs: int
    outputs: int
    rate_hz: int


def cameras(root: Path = ROOT, ioctl: Ioctl = fcntl.ioctl) -> list[FoundCamera]:
    """Capture devices under ``/dev/v4l/by-path``, with what they say they can deliver."""
    found = []
    for link in sorted((root / "dev/v4l/by-path").glob("*-video-index*")):
        node = link.resolve()
        name_file = root / "sys/class/video4linux" / node.name / "name"
        name = name_file.read_text(errors="replace").strip() if name_file.is_file() else node.name
        path = f"/dev/v4l/by-path/{link.name}"
        try:
            handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            found.append(FoundCamera(path=path, name=name, note=f"cannot be asked: {error.strerror}"))
            continue
        try:
            if _captures(handle, ioctl):
                found.append(FoundCamera(path=path, name=name, formats=list(_formats(handle, ioctl))))
        except OSError as error:
            found.append(FoundCamera(path=path, name=name, note=f"cannot be asked: {error.strerror}"))
        finally:
            os.close(handle)
    return found


def cards(root: Path = ROOT) -> list[FoundCard]:
    """ALSA devices that capture, by card name (``hw:CARD=…,DEV=…``), in the order of their numbers."""
    listing = root / "proc/asound/pcm"
    if not listing.is_file():
        return []
    found = []
    for line in listing.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+)-(\d+): (.*?) : (.*)", line)
        if match is None or "capture" not in match[4]:
            continue
        folder = root / "proc/asound" / f"card{int(match[1])}"
        card = (folder / "id").read_text().strip() if (folder / "id").is_file() else str(int(match[1]))
        channels, rates_hz = _usb_abilities(folder / f"stream{int(match[2])}")
        found.append(FoundCard(device=f"hw:CARD={card},DEV={int(match[2])}", name=match[3].strip(), channels=channels, rates_hz=rates_hz))
    return found


def portaudio() -> list[FoundPortAudio]:
    """PortAudio's devices.

    Raises:
        OSError: the library is missing (Debian: libportaudio2), or it fails.

    """
    import sounddevice  # noqa: PLC0415 - starts PortAudio, which looks at every card

    try:
        devices = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise OSError(str(error)) from error
    return [
        FoundPortAudio(
            name=device["name"],
            inputs=device["max_input_channels"],
            outputs=device["max_output_channels"],
            rate_hz=round(device["default_samplerate"]),
        )
        for device in devices
    ]


def _captures(handle: int, ioctl: Ioctl) -> bool:
    buffer = bytearray(_CAPABILITY.size)
    ioctl(handle, _QUERYCAP, buffer)
    *_, capabilities, device_caps = _CAPABILITY.unpack(buffer)
    return bool((device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities) & _CAN_CAPTURE)


def _enumerate(handle: int, ioctl: Ioctl, request: int, layout: struct.Struct, *fixed: int) -> Iterator[tuple[int | bytes, ...]]:
    """Ask for entry 0, 1, … until the driver says that there is no more (EINVAL, as V4L2 defines it)."""
    for index in range(_MOST):
        buffer = bytearray(layout.size)
        struct.pack_into(f"<{1 + len(fixed)}I", buffer, 0, index, *fixed)
        try:
            ioctl(handle, request, buffer)
        except OSError:
            return
        yield layout.unpack(buffer)


def _formats(handle: int, ioctl: Ioctl) -> Iterator[PictureFormat]:
    for entry in _enumerate(handle, ioctl, _ENUM_FMT, _FORMAT, _CAPTURE_TYPE):
        pixels = entry[4]
        assert isinstance(pixels, int)
        codec = _CODECS.get(pixels.to_bytes(4, "little"))
        if codec is not None:
            yield from _pictures(handle, ioctl, pixels, codec)


def _pictures(handle: int, ioctl: Ioctl, pixels: int, codec: str) -> Iterator[PictureFormat]:
    for _, _, kind, width, height, *_more in _enumerate(handle, ioctl, _ENUM_SIZES, _SIZE, pixels):
        assert isinstance(width, int)
        assert isinstance(height, int)
        if kind != _DISCRETE:
            yield PictureFormat(codec=codec, width=1280, height=720, fps=25)
            return
        for interval in _enumerate(handle, ioctl, _ENUM_INTERVALS, _INTERVAL, pixels, width, height):
            step_kind, numerator, denominator = interval[4:7]
            assert isinstance(numerator, int)
            assert isinstance(denominator, int)
            fps = denominator / numerator if step_kind == _DISCRETE and numerator else 25
            yield PictureFormat(codec=codec, width=width, height=height, fps=round(fps, 2))


def _usb_abilities(stream: Path) -> tuple[list[int], list[int]]:
    """Channels and rates that a USB card's ``/proc/asound/cardN/streamM`` lists for capture."""
    if not stream.is_file():
        return [], []
    capture = stream.read_text(errors="replace").partition("Capture:")[2]
    channels = {int(number) for number in re.findall(r"Channels: (\d+)", capture)}
    rates_hz = {int(number) for rates in re.findall(r"Rates: ([\d, ]+)", capture) for number in re.findall(r"\d+", rates)}
    return sorted(channels), sorted(rates_hz)
