import io
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from drivers.microphones.test_tone import BLOCK, block, tone_hz
from recorder.contract import bus, child
from recorder.contract.framing import FrameReader, pack
from tests.children.linked import Linked, linked, peer, wait_for

TRACK = "room-mix"
DEVICE = {"id": TRACK, "bitrate_bps": 64_000, "channels": [{"track": "mic-1", "gain_db": 0.0}, {"track": "mic-2", "gain_db": 0.0}]}


def now_us() -> int:
    return time.monotonic_ns() // 1000


@contextmanager
def microphone(run: Path, track: str, number: int) -> Iterator[None]:
    """A bus writer as the capture child is one: the test tone's channel, to every reader."""
    path = Path(bus.socket_path(str(run), f"{track}.pcm"))
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    stop = threading.Event()

    def serve() -> None:
        readers: list[socket.socket] = []
        position = now_us() * 48 // 1000 // BLOCK * BLOCK
        hello = pack(bus.encoder.encode(bus.Hello(stream=f"{track}.pcm", kind="audio", codec="pcm_s16le", rate_hz=48_000, channels=1)))
        for sequence in itertools.count():
            stop.wait(max(0.0, (position + BLOCK) / 48_000 - time.monotonic()))
            if stop.is_set():
                break
            try:
                while True:
                    readers.append(listener.accept()[0])
                    readers[-1].sendall(hello)
            except BlockingIOError:
                pass
            head = bus.encoder.encode(bus.Packet(sequence=sequence, mono_us=position * 1000 // 48, dur_us=20_000, key=True))
            frame = pack(head, block(position, number)[:, number - 1].tobytes())
            for reader in list(readers):
                try:
                    reader.sendall(frame)
                except (BrokenPipeError, ConnectionResetError):
                    readers.remove(reader)
                    reader.close()
            position += BLOCK
        for reader in readers:
            reader.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        listener.close()
        path.unlink()


def decoded(running: Linked, part: int = 1, key: child.MediaKey | None = None) -> npt.NDArray[Any]:
    options = {"decryption_key": key.key.hex()} if key else {}
    with av.open(io.BytesIO(running.media(TRACK, part)), "r", options=options) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def level(sound: npt.NDArray[Any], hz: int) -> float:
    """Amplitude of a tone in the sound."""
    at = np.arange(len(sound))
    return float(2 * abs(np.mean(sound * np.exp(-2j * np.pi * hz * at / 48_000))))


def record(running: Linked, seconds: float, part: int = 1, **more: Any) -> None:
    start_us = now_us()
    running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us - 1_000_000, tracks={TRACK: part}, **more))
    wait_for(lambda: sum(m.dur for m in running.all(child.Fragment) if m.part == part) > seconds * 48_000, "the mix")
    running.tell(child.StopPart(at_mono_us=now_us()))
    wait_for(lambda: [m for m in running.all(child.PartEnded) if m.part == part], "the part's end")


def test_the_mix_holds_every_microphone_and_is_encrypted(tmp_path: Path) -> None:
    key = child.MediaKey(key=bytes(range(16)), kid=bytes(16))
    with linked("recorder.children.mixer", DEVICE, tmp_path) as running, microphone(tmp_path, "mic-1", 1), microphone(tmp_path, "mic-2", 2):
        running.first(child.Opened)
        record(running, 2, keys={TRACK: key})
        sound = decoded(running, key=key)
        levels = running.all(child.Levels)
        fragments = running.all(child.Fragment)
    for number in (1, 2):
        assert level(sound[24_000:72_000], tone_hz(number)) == pytest.approx(0.1, rel=0.35)
    usual = sorted(level.channels[0].rms_dbfs for level in levels)[len(levels) // 2]
    assert usual == pytest.approx(-20, abs=2), "but for the beeps"
    assert all(a.t0 + a.dur == b.t0 for a, b in itertools.pairwise(fragments)), "no hole in the mix"
    assert fragments[0].t0 == pytest.approx(48_000, abs=2 * BLOCK)


def test_a_microphone_that_dies_leaves_the_mix_and_one_that_returns_is_heard_again(tmp_path: Path) -> None:
    with linked("recorder.children.mixer", DEVICE, tmp_path) as running, microphone(tmp_path, "mic-1", 1):
        with microphone(tmp_path, "mic-2", 2):
            running.first(child.Opened)
            record(running, 1, part=1)
        record(running, 1, part=2)
        with microphone(tmp_path, "mic-2", 2):
            heard = threading.Event()
            record(running, 1.5, part=3)
            heard.set()
        sounds = [decoded(running, part) for part in (1, 2, 3)]
    assert all(level(sound[-24_000:], tone_hz(1)) > 0.05 for sound in sounds)
    assert level(sounds[0][-24_000:], tone_hz(2)) > 0.05
    assert level(sounds[1][-24_000:], tone_hz(2)) < 0.01
    assert level(sounds[2][-24_000:], tone_hz(2)) > 0.05


@pytest.mark.alone
def test_the_bus_gives_the_mix_as_samples_and_as_opus(tmp_path: Path) -> None:
    with linked("recorder.children.mixer", DEVICE, tmp_path) as running, microphone(tmp_path, "mic-1", 1):
        running.first(child.Opened)
        for stream, codec in ((f"{TRACK}.pcm", "pcm_s16le"), (TRACK, "opus")):
            with peer(Path(bus.socket_path(str(tmp_path), stream))) as sock:
                frames = FrameReader()
                got: list[tuple[Any, bytes]] = []
                while len(got) < 60:
                    got += [(bus.from_writer.decode(head), body) for head, body in frames.feed(sock.recv(65536))]
            assert got[0][0].codec == codec
            packets = got[1:]
            assert all(b[0].mono_us - a[0].mono_us == 20_000 for a, b in itertools.pairwise(packets))
            assert all(b[0].sequence == a[0].sequence + 1 for a, b in itertools.pairwise(packets))
            if codec == "pcm_s16le":
                sound = np.frombuffer(b"".join(body for _, body in packets), "<i2") / 32768
                assert level(sound[:48_000], tone_hz(1)) == pytest.approx(0.1, rel=0.2)
            else:
                decoder = av.CodecContext.create("opus", "r")
                assert isinstance(decoder, av.AudioCodecContext)
                opus = np.concatenate([f.to_ndarray().reshape(-1) for _, body in packets for f in decoder.decode(av.Packet(body))])
                assert np.abs(opus).max() > 0.05


def test_muted_the_mix_is_neither_recorded_nor_served_and_starts_clean_again(tmp_path: Path) -> None:
    with linked("recorder.children.mixer", DEVICE, tmp_path) as running, microphone(tmp_path, "mic-1", 1):
        running.first(child.Opened)
        with peer(Path(bus.socket_path(str(tmp_path), f"{TRACK}.pcm"))) as reader:
            start_us = now_us()
            running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={TRACK: 1}))
            wait_for(lambda: running.all(child.Fragment), "sound")
            running.tell(child.Mute(on=True))
            muted = running.first(child.Muted)
            while reader.recv(65536):
                pass
        count = len(running.all(child.Stats))
        ended = running.first(child.PartEnded)
        assert ended.end_us is not None
        assert ended.end_us <= muted.at_mono_us - start_us
        running.tell(child.Mute(on=False))
        wait_for(lambda: len(running.all(child.Stats)) > count, "sound after it")
        record(running, 0.5, part=2)
        resumed = running.all(child.Muted)[1].at_mono_us
        first = next(m for m in running.all(child.Fragment) if m.part == 2)
        assert resumed > muted.at_mono_us
        assert first.t0 >= 47_000


def test_without_any_microphone_the_mix_is_lost_and_says_so(tmp_path: Path) -> None:
    running = Linked("recorder.children.mixer")
    running.tell(child.Configure(device=DEVICE, run_dir=str(tmp_path)))
    with microphone(tmp_path, "mic-1", 1):
        running.first(child.Opened)
    assert running.first(child.SourceLost).cause == "eof"
    assert running.ended.wait(5)
    assert running.close() == 0
