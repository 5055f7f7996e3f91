"""A known chirp, played by a real sound server into a real microphone device, is on the disk exactly when it may be."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recorder.contract import control
from tests.lab import readback, sound
from tests.lab.room import Room, room

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(sound.missing_tools()), reason="the lab's Debian packages are missing"),
]
CHIRP_S = 0.8
FOUND, NOT_FOUND = 0.5, 0.15


def chirp() -> npt.NDArray[np.float64]:
    """A sweep from 500 to 4,000 Hz: like nothing else in the room."""
    t = np.arange(round(CHIRP_S * sound.RATE_HZ)) / sound.RATE_HZ
    return 0.4 * np.sin(2 * np.pi * (500 * t + (4000 - 500) / (2 * CHIRP_S) * t**2))


def loudest(it: Room, record: Path, track: str) -> float:
    pattern = chirp()[4800:-4800]
    return max(readback.loudness_of(part, pattern) for part in readback.sounds(record, track, it.keys.court_key, it.keys.court))


@pytest.mark.parametrize("state", ["privileged", *(pytest.param(one, marks=pytest.mark.long) for one in ("off_record", "deliberation"))])
def test_a_chirp_is_in_the_record_only_when_the_record_was_open(tmp_path: Path, state: str) -> None:
    channels = ", ".join(f'{{ id = "m{number}", number = {number} }}' for number in range(1, 5))
    devices = f'[[microphone]]\nid = "card"\ndriver = "alsa"\ndevice = "{sound.PCM}"\nchannels = [ {channels} ]\n'
    once = np.zeros((round(2.0 * sound.RATE_HZ), 4))
    once[4800 : 4800 + len(chirp())] = chirp()[:, None]
    played = (once * 2**15).astype(np.int16)
    with sound.sound_lab() as card, room(tmp_path, devices, environment=card.environment) as it:
        it.wait_live("m1", "room-mix")
        secret = it.begin()
        it.recorded(1)
        it.do(control.PauseRequest(state=state, actor="Judge B."))  # type: ignore[arg-type]
        card.play_whole(played)
        waited = time.monotonic()
        it.wait(lambda _: time.monotonic() > waited + 0.5, "the sound's way through the card")
        it.do(control.ResumeRequest(actor="Judge B."))
        it.recorded(1)
        it.stop()
        spoken = it.begin()
        it.recorded(1)
        card.play_whole(played)
        it.recorded(1)
        it.stop()
        for track in ("m1", "m2", "m3", "m4", "room-mix"):
            assert loudest(it, spoken, track) > FOUND, f"the search does not find what is in {track}"
            assert loudest(it, secret, track) < NOT_FOUND, f"{track} holds what was said in {state}"
