"""RTP built here by hand (RFC 3550, RFC 3190) and sent to the real receiver."""

import collections
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from drivers.capabilities import SourceLostError
from drivers.microphones import aes67

CHANNELS = 8
FRAMES = 48
Stream = tuple[Callable[..., aes67.Aes67Source], threading.Event]


def send(port: int, stop: threading.Event, drop: frozenset[int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        started = time.monotonic()
        number = 0
        while not stop.is_set():
            if number not in drop:
                block = ramp(number * FRAMES, FRAMES)
                payload = (block >> 8).astype(">i4").tobytes()
                packed = np.frombuffer(payload, np.uint8).reshape(-1, 4)[:, 1:].tobytes()
                sender.sendto(struct.pack(">BBHII", 0x80, 97, number & 0xFFFF, number * FRAMES, 7) + packed, ("127.0.0.1", port))
            number += 1
            stop.wait(max(0, started + number / 1000 - time.monotonic()))


def ramp(at: int, count: int) -> npt.NDArray[np.int32]:
    """Every sample says which it is."""
    index = np.arange(at, at + count) % (2**20)
    return ((index[:, None] * 8 + np.arange(CHANNELS)) << 8).astype(np.int32)


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] // 2 * 2
    sdp = tmp_path / "stream.sdp"
    sdp.write_text(
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=mics\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 97\r\n"
        f"a=rtpmap:97 L24/48000/{CHANNELS}\r\na=ptime:1\r\n"
    )
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(drop: frozenset[int] = frozenset()) -> aes67.Aes67Source:
        threads.append(threading.Thread(target=send, args=(port, stop, drop)))
        threads[0].start()
        return aes67.open({"sdp": str(sdp), "channels": [{"number": CHANNELS}]})

    yield start, stop
    stop.set()
    for thread in threads:
        thread.join()


def test_24_bit_samples_of_eight_channels_arrive_bit_for_bit_and_a_silent_sender_is_lost(stream: Stream) -> None:
    start, stop = stream
    source = start()
    blocks = [source.read() for _ in range(50)]
    whole = np.concatenate([block.samples for block in blocks])
    first = int(whole[0, 0] >> 8) // 8
    assert (whole == ramp(first, len(whole))).all()
    assert all(b.position == a.position + len(a.samples) for a, b in itertools.pairwise(blocks))
    assert source.formats["audio"].bits == 24
    stop.set()
    stopped = time.monotonic()
    with pytest.raises(SourceLostError) as lost:
        collections.deque(iter(source.read, None), maxlen=0)
    assert lost.value.cause == "timeout"
    assert time.monotonic() - stopped < 2.5
    source.close()


def test_lost_packets_are_a_jump_of_position_and_never_filler(stream: Stream) -> None:
    start, _ = stream
    source = start(drop=frozenset(range(700, 705)))
    blocks = [source.read() for _ in range(100)]
    origin = blocks[0].position - (int(blocks[0].samples[0, 0]) >> 8) // 8
    for block in blocks:
        assert (block.samples == ramp(block.position - origin, len(block.samples))).all()
    jumps = [b.position - a.position - len(a.samples) for a, b in itertools.pairwise(blocks)]
    assert sum(jumps) == 5 * FRAMES
    source.close()


def test_an_sdp_without_sound_is_refused(tmp_path: Path) -> None:
    sdp = tmp_path / "stream.sdp"
    sdp.write_text(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 15004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    )
    with pytest.raises(SourceLostError) as lost:
        aes67.open({"sdp": str(sdp), "channels": [{"number": 1}]})
    assert lost.value.cause in {"format", "timeout"}
    with pytest.raises(SourceLostError) as lost:
        aes67.open({"sdp": str(tmp_path / "none.sdp"), "channels": [{"number": 1}]})
    assert lost.value.cause == "missing"
