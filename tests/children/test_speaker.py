import io
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.children.playout import BLOCK, MOST_SAMPLES, Playout
from recorder.contract import child, ingest
from recorder.contract.framing import pack
from tests.children.linked import Linked, linked, peer, wait_for
from tests.lab.sound import PCM, missing_tools, sound_lab

DEVICE = {"id": "room-out", "device": "none", "bitrate_bps": 48_000}
TRACK = "room-out"


def now_us() -> int:
    return time.monotonic_ns() // 1000


def tone(hz: int, blocks: int) -> npt.NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(blocks * BLOCK) / 48_000)).astype(np.int16)


def play(sock: socket.socket, sound: npt.NDArray[np.int16]) -> None:
    """At the pace of a conference."""
    began = time.monotonic()
    for n in range(0, len(sound), BLOCK):
        time.sleep(max(0, began + n / 48_000 - time.monotonic()))
        sock.sendall(pack(ingest.encoder.encode(ingest.RoomOut(mono_us=now_us())), sound[n : n + BLOCK].tobytes()))


def decoded(running: Linked, part: int = 1) -> npt.NDArray[Any]:
    with av.open(io.BytesIO(running.media(TRACK, part)), "r") as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def loudest_hz(sound: npt.NDArray[Any]) -> int:
    return round(float(np.argmax(np.abs(np.fft.rfft(sound)))) * 48_000 / len(sound))


@given(st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=60))
def test_the_queue_keeps_the_order_and_never_grows_beyond_its_bound(sizes: list[int]) -> None:
    playout, given_, pulled = Playout(), 0, []
    for size in sizes:
        playout.push(np.arange(given_, given_ + size).astype(np.int16))
        given_ += size
        if size % 2 and (block := playout.pull()) is not None:
            pulled.append(block)
    while (block := playout.pull()) is not None:
        pulled.append(block)
    for block in pulled:
        assert len(block) == BLOCK
    rest = given_ - playout.dropped_samples - BLOCK * len(pulled)
    assert 0 <= rest < BLOCK
    assert rest <= MOST_SAMPLES


def test_a_flood_is_cut_to_the_newest_200_ms() -> None:
    playout = Playout()
    for n in range(100):
        playout.push(np.full(BLOCK, n, np.int16))
    first = playout.pull()
    assert first is not None
    assert first[0] == 90
    assert playout.dropped_samples == 90 * BLOCK


def test_what_is_played_is_recorded_and_silence_between_is_a_gap_not_filler(tmp_path: Path) -> None:
    with linked("recorder.children.speaker", DEVICE, tmp_path) as running, peer(tmp_path / "room-out.sock") as sock:
        assert not running.first(child.Opened).continuous
        start_us = now_us()
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={TRACK: 1}))
        play(sock, tone(700, 50))
        time.sleep(0.7)
        play(sock, tone(900, 50))
        wait_for(lambda: sum(m.dur for m in running.all(child.Fragment)) > 80 * BLOCK, "both tones")
        running.tell(child.StopPart(at_mono_us=now_us()))
        end = running.first(child.PartEnded)
        fragments = running.all(child.Fragment)
        sound = decoded(running)
    assert loudest_hz(sound[4_800:43_200]) == pytest.approx(700, abs=3)
    assert loudest_hz(sound[-43_200:-4_800]) == pytest.approx(900, abs=3)
    holes = [b.t0 - a.t0 - a.dur for a, b in itertools.pairwise(fragments)]
    assert max(holes) > 0.5 * 48_000
    assert sum(m.dur for m in fragments) == pytest.approx(100 * BLOCK, abs=3 * BLOCK)
    assert end.end_us is not None


def test_while_muted_nothing_is_played_or_recorded_and_later_nothing_of_it_comes_out(tmp_path: Path) -> None:
    with linked("recorder.children.speaker", DEVICE, tmp_path) as running, peer(tmp_path / "room-out.sock") as sock:
        running.first(child.Opened)
        running.tell(child.Mute(on=True))
        running.first(child.Muted)
        play(sock, tone(1500, 30))
        running.tell(child.Mute(on=False))
        wait_for(lambda: len(running.all(child.Muted)) == 2, "the end of the muting")
        start_us = now_us()
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={TRACK: 1}))
        play(sock, tone(700, 50))
        wait_for(lambda: sum(m.dur for m in running.all(child.Fragment)) > 30 * BLOCK, "sound")
        running.tell(child.StopPart(at_mono_us=now_us()))
        running.first(child.PartEnded)
        sound = decoded(running)
    spectrum = np.abs(np.fft.rfft(sound, 48_000))
    assert spectrum[1480:1520].max() < spectrum[690:710].max() / 100


def test_a_part_begins_and_ends_with_the_samples_that_it_is_told(tmp_path: Path) -> None:
    with linked("recorder.children.speaker", DEVICE, tmp_path) as running, peer(tmp_path / "room-out.sock") as sock:
        running.first(child.Opened)
        origin_us = now_us()
        running.tell(child.StartPart(from_mono_us=origin_us + 500_000, origin_mono_us=origin_us, tracks={TRACK: 1}))
        running.tell(child.StopPart(at_mono_us=origin_us + 1_200_000))
        play(sock, tone(700, 80))
        ended = running.first(child.PartEnded)
        fragments = running.all(child.Fragment)
    assert 0 <= fragments[0].t0 - (500_000 - 6_500) * 48 / 1000 < BLOCK
    assert ended.end_us is not None
    assert 1_000_000 < ended.end_us <= 1_200_050, "what the conference had not sent in time was not played"


def test_garbage_ends_the_connection_and_not_the_loudspeakers(tmp_path: Path) -> None:
    with linked("recorder.children.speaker", DEVICE, tmp_path) as running:
        running.first(child.Opened)
        with peer(tmp_path / "room-out.sock") as bad:
            bad.sendall(pack(b"\x81\xa1m\xa4stop"))
            assert bad.recv(1) == b""
        assert running.first(child.Refused).what == "frame"
        with peer(tmp_path / "room-out.sock") as good:
            play(good, tone(700, 5))
            wait_for(lambda: running.all(child.Stats)[-1].tracks[0].units >= 4 * BLOCK, "sound after it")


@pytest.mark.lab
@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {missing_tools()}")
def test_a_real_device_plays_what_the_conference_sends(tmp_path: Path) -> None:
    """In a process of its own, as PortAudio learns its devices once."""
    with sound_lab() as lab:
        environment = {**os.environ, **lab.environment, "ROOM_OUT": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", _LISTENER], env=environment, capture_output=True, text=True, check=False, timeout=40)
        assert done.returncode == 0, done.stderr[-2000:]
        heard, recorded_blocks, drift_track, played_s, late_s = json.loads(done.stdout.splitlines()[-1])
    assert heard == pytest.approx(700, abs=3)
    assert recorded_blocks > 60
    assert drift_track == TRACK, "the device's clock is told against the PC's"
    assert played_s > 5
    assert 0 <= late_s < 10


_LISTENER = f"""
import json, os, threading, time
from pathlib import Path
import numpy as np
from drivers.microphones import alsa
from recorder.contract import child
from tests.children.linked import linked, peer, wait_for
from tests.children.test_speaker import BLOCK, TRACK, loudest_hz, now_us, play, tone
run = Path(os.environ["ROOM_OUT"])
with linked("recorder.children.speaker", {{"id": "room-out", "device": "{PCM}", "bitrate_bps": 48000}}, run) as running:
    running.first(child.Opened)
    source = alsa.open({{"device": "{PCM}", "rate_hz": 48000, "channels": [{{"number": 1}}]}})
    with peer(run / "room-out.sock") as sock:
        start_us = now_us()
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={{TRACK: 1}}))
        player = threading.Thread(target=play, args=(sock, tone(700, 100)))
        player.start()
        sound = np.concatenate([source.read().samples[:, 0] for _ in range(100)]).astype(float)
        player.join()
        running.tell(child.StopPart(at_mono_us=now_us()))
        running.first(child.PartEnded)
        blocks = sum(m.dur for m in running.all(child.Fragment)) / BLOCK
        drift = running.first(child.DriftMeasured, 20)
        print(json.dumps([loudest_hz(sound), blocks, drift.track, drift.media_us / 1e6, (now_us() - drift.mono_us) / 1e6]), flush=True)
"""
