"""Captures from a sound server that behaves as a card: tests/lab/sound.py."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt
import pytest

from drivers.capabilities import SourceLostError
from drivers.microphones import alsa
from tests.lab.sound import CHANNELS, PCM, missing_tools, sound_lab

pytestmark = [pytest.mark.alone, pytest.mark.lab, pytest.mark.skipif(bool(missing_tools()), reason=f"needs {missing_tools()}")]
TONES_HZ = (500, 700, 900, 1100)


def tones(seconds: int) -> npt.NDArray[np.int16]:
    at = np.arange(48_000 * seconds)
    return np.stack([8000 * np.sin(2 * np.pi * hz * at / 48_000) for hz in TONES_HZ], axis=1).astype(np.int16)


def capture_code(driver: str) -> str:
    """A process of its own: PortAudio reads the list of devices once."""
    return f"""
import json, sys, time
import numpy as np
from drivers.capabilities import SourceLostError
from drivers.microphones import {driver}
source = {driver}.open({{"device": "{PCM}", "rate_hz": 48000, "channels": [{{"number": n}} for n in (1, 2, 3, 4)]}})
kept, positions, deadline = [], [], time.monotonic() + 8
while sum(map(len, kept)) < 48000:
    sound = source.read()
    assert time.monotonic() < deadline, "never heard the tones"
    if np.abs(sound.samples.astype(np.int64)).max(axis=0).min() > (1000 << (16 if source.formats["audio"].bits == 24 else 0)):
        kept.append(sound.samples)
        positions.append(sound.position)
whole = np.concatenate(kept)[:48000].astype(float)
peaks = [int(np.argmax(np.abs(np.fft.rfft(whole[:, n])))) for n in range(whole.shape[1])]
print(json.dumps([peaks, [b - a for a, b in zip(positions, positions[1:])]]), flush=True)
try:
    while True:
        source.read()
except SourceLostError as error:
    print(json.dumps([error.cause, time.monotonic()]), flush=True)
"""


@pytest.mark.parametrize("driver", ["alsa", "portaudio"])
def test_each_channel_holds_what_was_played_into_it_and_a_dead_server_is_told_within_two_seconds(driver: str) -> None:
    with sound_lab() as lab:
        lab.play(tones(10))
        environment = {**os.environ, **lab.environment}
        with subprocess.Popen(
            [sys.executable, "-c", capture_code(driver)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stderr is not None
                heard = process.stdout.readline()
                assert heard, process.stderr.read().decode()[-2000:]
                peaks, steps = json.loads(heard)
                assert peaks == list(TONES_HZ)
                assert set(steps) == {960}
                killed_s = time.monotonic()
                lab.kill_server()
                cause, at_s = json.loads(process.stdout.readline())
                assert cause in {"timeout", "unplugged", "error"}
                assert at_s - killed_s < 2
            finally:
                process.kill()


def test_a_missing_card_says_where_to_look() -> None:
    with pytest.raises(SourceLostError, match="courtroom devices") as lost:
        alsa.open({"device": "hw:CARD=Nothing,DEV=0", "rate_hz": 48_000, "channels": [{"number": 1}]})
    assert lost.value.cause == "missing"


def test_sound_that_came_while_nobody_read_is_a_jump_of_position() -> None:
    with sound_lab() as lab:
        code = f"""
import time
from drivers.microphones import alsa
source = alsa.open({{"device": "{PCM}", "rate_hz": 48000, "channels": [{{"number": {CHANNELS}}}]}})
started = time.monotonic()
for _ in range(20): source.read()
time.sleep(2.5)
for _ in range(100): last = source.read()
print((last.position + 960) / 48000, time.monotonic() - started)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **lab.environment}, capture_output=True, text=True, check=True, timeout=30
        )
        position_s, passed_s = map(float, done.stdout.split())
        assert abs(position_s - passed_s) < 0.15
