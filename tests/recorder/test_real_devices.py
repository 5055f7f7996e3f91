"""Real input: a network camera with digest authentication and a sound card of four channels, recorded together and compared."""

import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.lab import readback, sound
from tests.lab.room import room
from tests.lab.rtsp_camera import elements, rtsp_camera

pytestmark = [
    pytest.mark.alone,
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif("x264enc" not in elements() or bool(sound.missing_tools()), reason="the lab's Debian packages are missing"),
]
RATE_HZ = sound.RATE_HZ
TONES_HZ = (None, 700, 900, 1100)
"""What is played into each channel; the first one speaks."""


def speech(directory: Path) -> np.ndarray:
    """A sentence by espeak-ng, at the card's rate."""
    spoken = directory / "speech.wav"
    subprocess.run(
        ["espeak-ng", "-w", str(spoken), "The court is now in session. Please rise and state your name for the record."], check=True
    )
    with wave.open(str(spoken)) as file:
        rate_hz, data = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)
    at = np.arange(0, len(data), rate_hz / RATE_HZ)
    return np.interp(at, np.arange(len(data)), data)


def test_a_network_camera_and_a_sound_card_lose_nothing_for_a_while(tmp_path: Path) -> None:
    record_together(tmp_path, 12)


@pytest.mark.long
def test_a_network_camera_and_a_sound_card_lose_nothing_for_a_minute(tmp_path: Path) -> None:
    record_together(tmp_path, 60)


def record_together(base: Path, seconds: int) -> None:
    spoken = speech(base)
    played = np.zeros((RATE_HZ * (seconds + 20), 4))
    for channel, tone_hz in enumerate(TONES_HZ):
        if tone_hz is None:
            repeats = -(-len(played) // (len(spoken) + RATE_HZ))
            played[:, channel] = np.tile(np.concatenate([spoken, np.zeros(RATE_HZ)]), repeats)[: len(played)]
        else:
            played[:, channel] = 6000 * np.sin(2 * np.pi * tone_hz * np.arange(len(played)) / RATE_HZ)
    password = base / "password"
    with sound.sound_lab() as card, rtsp_camera(width=320, height=180, fps=25, gop_s=2, kbps=800, sound="opus") as camera:
        password.write_text(camera.password)
        devices = f"""
[[camera]]
id = "ipcam"
driver = "rtsp"
url = "{camera.url}"
user = "{camera.user}"
password_file = "{password}"
audio = true
[[microphone]]
id = "card"
driver = "alsa"
device = "{sound.PCM}"
channels = [ {{ id = "m1", number = 1 }}, {{ id = "m2", number = 2 }}, {{ id = "m3", number = 3 }}, {{ id = "m4", number = 4 }} ]
"""
        with room(base / "room", devices, environment=card.environment) as it:
            it.wait_live("ipcam", "ipcam-sound", "m1", "m2", "m3", "m4")
            card.play(played.astype(np.int16))
            record = it.begin()
            it.recorded(seconds)
            it.stop()
            keys = (it.keys.court_key, it.keys.court)
            frames = readback.frame_numbers(record, "ipcam", *keys)
            numbers = [number for _, number, _ in frames if number is not None]
            assert len(numbers) == len(frames)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(numbers) >= (seconds - 3) * 25
            for channel, tone_hz in enumerate(TONES_HZ):
                heard = np.concatenate([part.samples for part in readback.sounds(record, f"m{channel + 1}", *keys)])
                if tone_hz is None:
                    pattern = spoken[RATE_HZ // 2 : RATE_HZ * 2] / 2**15
                    assert max(readback.loudness_of(part, pattern) for part in readback.sounds(record, "m1", *keys)) > 0.98
                    others = [readback.loudness_of(part, pattern) for n in (2, 3, 4) for part in readback.sounds(record, f"m{n}", *keys)]
                    assert max(others) < 0.3
                else:
                    tail = heard[-4 * RATE_HZ : -RATE_HZ]
                    peak_hz = np.abs(np.fft.rfft(tail)).argmax() * RATE_HZ / len(tail)
                    assert abs(peak_hz - tone_hz) < 2
            skews_us = flash_and_beep(record, keys)
            assert len(skews_us) >= 2
            assert max(abs(skew) for skew in (skews_us[0], skews_us[-1])) < 10_000, skews_us


def flash_and_beep(record: Path, keys: tuple[Path, Path]) -> list[int]:
    """For every flash of the camera, how much later its beep is."""
    frames = readback.frame_numbers(record, "ipcam", *keys)
    flashes = [t for (t, _, bright), (_, _, before) in zip(frames[1:], frames, strict=False) if bright > 180 > before]
    beeps: list[int] = []
    for part in readback.sounds(record, "ipcam-sound", *keys):
        loud = np.abs(part.samples) > 0.5 * np.abs(part.samples).max()
        for index in np.flatnonzero(loud):
            t = part.t_us + int(index) * 1_000_000 // part.rate_hz
            if not beeps or t - beeps[-1] > 1_000_000:
                beeps.append(t)
    return [min((beep - flash for beep in beeps), key=abs) for flash in flashes if beeps and flash > frames[5][0]]
