"""The stanzas of room.toml for devices that were found. Pure."""

import re
from collections.abc import Iterable

from drivers.discovery import FoundCamera, FoundCard, FoundPortAudio, PictureFormat

_MOST_CHANNELS = 64
_WANTED_RATE_HZ = 48_000
_PREFERRED = {"h264": 0, "yuyv422": 1, "mjpeg": 2}
_ID_BYTES = 24

TEST_STANZAS = """\
[[camera]]
id = "test-picture"
driver = "test-pattern"

[[microphone]]
id = "test-sound"
driver = "test-tone"

[[microphone.channels]]
id = "test-mic-1"
number = 1

[[microphone.channels]]
id = "test-mic-2"
number = 2
"""
"""A room without devices."""


def quoted(text: str) -> str:
    """``text`` as a TOML basic string (TOML 1.0, "String")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


class Ids:
    """Hands out ids made from names, each once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def take(self, name: str, kind: str) -> str:
        """An id for a device of this name; ``kind`` where nothing of the name can stay."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_ID_BYTES].strip("-")
        plain = re.sub(r"^(remote(-|$))+", "", plain) or kind  # participants' tracks are called so
        wanted, number = plain, 2
        while wanted in self._given:
            wanted, number = f"{plain}-{number}", number + 1
        self._given.add(wanted)
        return wanted


def best_format(formats: Iterable[PictureFormat]) -> PictureFormat | None:
    """What to take: H.264 as the camera encodes it, else raw, else MJPEG; at most 1080p, 25 to 30 pictures a second, the largest."""
    fit = [f for f in formats if f.height <= 1080 and f.fps >= 24]
    return min(fit, key=lambda f: (_PREFERRED[f.codec], -f.width * f.height, abs(f.fps - 25)), default=None)


def camera(found: FoundCamera, ids: Ids) -> str:
    """A V4L2 camera's stanza."""
    lines = ["[[camera]]", f"id = {quoted(ids.take(found.name, 'camera'))}", f"label = {quoted(found.name)}", 'driver = "v4l2"']
    lines.append(f"path = {quoted(found.path)}")
    chosen = best_format(found.formats)
    if chosen is not None:
        lines += [f'format = "{chosen.codec}"', f"width = {chosen.width}", f"height = {chosen.height}", f"fps = {int(chosen.fps)}"]
    return "\n".join(lines) + "\n"


def card(found: FoundCard, ids: Ids) -> str:
    """An ALSA card's stanza, with all channels that it has (two where it does not say)."""
    channels = min(max(found.channels, default=2), _MOST_CHANNELS)
    rate_hz = _WANTED_RATE_HZ if _WANTED_RATE_HZ in found.rates_hz or not found.rates_hz else max(found.rates_hz)
    return _microphone("alsa", found.device, found.name, rate_hz, channels, ids)


def portaudio(found: FoundPortAudio, name: str, ids: Ids) -> str:
    """The stanza of a PortAudio device that is called so."""
    return _microphone("portaudio", name, name, found.rate_hz, min(found.inputs, _MOST_CHANNELS), ids)


def _microphone(driver: str, device: str, name: str, rate_hz: int, channels: int, ids: Ids) -> str:
    own = ids.take(name, "microphone")
    lines = ["[[microphone]]", f"id = {quoted(own)}", f"label = {quoted(name)}", f'driver = "{driver}"', f"device = {quoted(device)}"]
    lines.append(f"rate_hz = {rate_hz}")
    for number in range(1, channels + 1):
        lines += ["", "[[microphone.channels]]", f"id = {quoted(ids.take(f'{own}-{number}', own))}", f"number = {number}"]
    return "\n".join(lines) + "\n"
