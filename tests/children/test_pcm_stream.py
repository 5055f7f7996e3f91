"""A microphone channel on the bus is 48 kHz in blocks of 20 ms, whatever the device's rate and block."""

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from drivers.capabilities import Samples
from recorder.children.bus_server import BusServer
from recorder.children.pcm_stream import BLOCK, BLOCK_US, PcmStream
from recorder.contract.bus_client import BusClient
from tests.children.linked import wait_for


def blocks(run_dir: Path, rate_hz: int, bits: int, size: int, gap_us: int = 0) -> list[tuple[int, npt.NDArray[np.int16]]]:
    """One second of 1 kHz given in blocks of ``size`` samples (with a hole in the middle), as a listener gets it."""
    server = BusServer(str(run_dir), [])
    stream = PcmStream("judge", rate_hz, bits, server)
    full = 2**15 - 1 if bits == 16 else 2**31 - 1
    tone = 0.5 * full * np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz)
    wave: Samples = tone.astype(np.int16) if bits == 16 else tone.astype(np.int32)
    got = []
    with BusClient(str(run_dir), "judge.pcm") as listener:
        assert (listener.hello.rate_hz, listener.hello.channels) == (48_000, 1)
        wait_for(lambda: server._streams[0].watched, "the listener")
        for at in range(0, len(wave), size):
            late_us = gap_us if at >= len(wave) // 2 else 0
            stream.add(wave[at : at + size], 5_000_000 + at * 1_000_000 // rate_hz + late_us)
        while True:
            head, body = listener.read()
            assert head.dur_us == BLOCK_US
            got.append((head.mono_us, np.frombuffer(body, "<i2")))
            if head.mono_us > 5_000_000 + gap_us + 900_000:
                return got


@pytest.mark.parametrize(("rate_hz", "bits", "size"), [(48_000, 16, 480), (44_100, 16, 441), (16_000, 32, 333), (96_000, 32, 1024)])
def test_the_sound_keeps_its_pitch_its_level_and_its_time(tmp_path: Path, rate_hz: int, bits: int, size: int) -> None:
    got = blocks(tmp_path, rate_hz, bits, size)
    assert {len(samples) for _, samples in got} == {BLOCK}
    assert {later - earlier for (earlier, _), (later, _) in itertools.pairwise(got)} == {BLOCK_US}
    sound = np.concatenate([samples for _, samples in got])[4800:43_200].astype(np.float64) / 2**15
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert np.fft.rfftfreq(len(sound), 1 / 48_000)[spectrum.argmax()] == pytest.approx(1000, abs=2)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_hole_in_the_device_s_sound_is_a_hole_in_time_and_nothing_is_made_up(tmp_path: Path) -> None:
    got = blocks(tmp_path, 44_100, 16, 441, gap_us=300_000)
    steps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(got)]
    assert sum(step != BLOCK_US for step in steps) == 1
    assert 290_000 < max(steps) < 330_000 + BLOCK_US
