"""Which module drives a device: the ``driver`` of its stanza in room.toml names it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from drivers.capabilities import Source, SourceLostError

CAMERAS = {"v4l2": "drivers.cameras.v4l2", "rtsp": "drivers.cameras.rtsp", "test-pattern": "drivers.cameras.test_pattern"}
MICROPHONES = {
    "alsa": "drivers.microphones.alsa",
    "portaudio": "drivers.microphones.portaudio",
    "rtsp": "drivers.microphones.rtsp_sound",
    "aes67": "drivers.microphones.aes67",
    "test-tone": "drivers.microphones.test_tone",
}


def open_source(stanza: Mapping[str, Any]) -> Source:
    """Open the device of a stanza; one with ``channels`` is a microphone. Only the module that is needed is imported.

    Raises:
        SourceLostError: no such driver, or the device cannot be opened.
    """
    drivers = MICROPHONES if "channels" in stanza else CAMERAS
    name = drivers.get(stanza["driver"])
    if name is None:
        raise SourceLostError("missing", f"no driver '{stanza['driver']}'; known are {', '.join(drivers)}")
    return cast("Source", import_module(name).open(stanza))
