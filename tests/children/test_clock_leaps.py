"""The leaps of a device's clock: what follows one is dated on, and what is really missing still shows."""

import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.children.clock_leaps import ClockLeaps
from recorder.children.drift import DriftFit
from recorder.contract import child
from tests.children.linked import linked, wait_for

CAPTURE = "recorder.children.capture"
FRAME_US = 40_000
Leap = Callable[[int], int]
"""What the device's clock is ahead of before, by the picture's number, in microseconds."""


def dated(pictures: int, leap: Leap, *, missing: range = range(0), late_us: Callable[[int], int] = lambda _: 0) -> list[tuple[int, int]]:
    """For each picture that came when it was captured, and when the record would say it was (both in microseconds since the first)."""
    leaps, fit = ClockLeaps(1_000_000), DriftFit()
    found = []
    arrived_us = 0
    for number in range(pictures):
        if number in missing:
            continue
        true_us = number * FRAME_US
        arrived_us = max(arrived_us, true_us + 30_000 + late_us(number))
        device_us = true_us + 7_000_000 + leap(number) + leaps.shift
        so_far = fit.fit()
        device_us -= leaps.look(device_us, 0, arrived_us, 0 if so_far is None else so_far.mono_us(device_us) - arrived_us)
        fit.add(device_us, arrived_us)
        line = fit.fit()
        assert line is not None
        found.append((true_us, line.mono_us(device_us) - 30_000))
    return found


def worst_us(found: list[tuple[int, int]]) -> int:
    return max(abs(said - true) for true, said in found)


leap_lengths = st.one_of(st.integers(-7_200_000_000, -1_100_000), st.integers(600_000, 7_200_000_000))


@settings(max_examples=40, deadline=None)
@given(at=st.integers(1, 900), by_us=leap_lengths, seed=st.integers(0, 99))
@example(at=500, by_us=3_600_000_000, seed=0)
def test_a_leap_of_the_devices_clock_misplaces_nothing(at: int, by_us: int, seed: int) -> None:
    dice = random.Random(seed)
    found = dated(1000, lambda number: by_us if number >= at else 0, late_us=lambda _: int(dice.expovariate(1 / 3_000)))
    assert worst_us(found) < 60_000, "the first picture alone says how late pictures come"
    assert worst_us(found[-100:]) < 20_000


@settings(max_examples=25, deadline=None)
@given(at=st.integers(30, 500), lost=st.integers(25, 250), by_us=st.one_of(st.just(0), leap_lengths))
def test_pictures_that_are_missing_stay_missing_whether_the_clock_leapt_with_them_or_not(at: int, lost: int, by_us: int) -> None:
    by_us -= lost * FRAME_US if by_us < 0 else 0  # else it may look like a picture that is shown before the one sent before it
    found = dated(1000, lambda number: by_us if number >= at else 0, missing=range(at, at + lost))
    assert worst_us(found) < 20_000


@settings(max_examples=25, deadline=None)
@given(begins=st.integers(100, 400), waits=st.integers(10, 100), hole=st.integers(0, 80))
def test_what_piled_up_on_the_way_and_comes_at_once_is_no_leap(begins: int, waits: int, hole: int) -> None:
    # The network stands still; behind it the camera dropped the pictures that its memory did not hold.
    stands_us = (begins + waits) * FRAME_US
    found = dated(
        1000,
        lambda _: 0,
        missing=range(begins + waits // 2, begins + min(waits // 2 + hole, waits)),
        late_us=lambda number: max(0, stands_us - number * FRAME_US) if begins <= number < begins + waits else 0,
    )
    assert worst_us(found) < 1_000


@contextmanager
def aes67_sender(tmp_path: Path, leaps: threading.Event) -> Iterator[Path]:
    """One channel of silence by AES67 (RTP, 48 kHz, 1 ms a packet), whose clock leaps by 5 s when it is told to; its SDP file."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] // 2 * 2
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            began_s, number = time.monotonic(), 0
            while not stop.is_set():
                at = number * 48 + (5 * 48_000 if leaps.is_set() else 0)
                sender.sendto(struct.pack(">BBHII", 0x80, 97, number & 0xFFFF, at, 7) + bytes(48 * 3), ("127.0.0.1", port))
                number += 1
                stop.wait(max(0, began_s + number / 1000 - time.monotonic()))

    sdp = tmp_path / "stream.sdp"
    sdp.write_text(
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=mics\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 97\r\n"
        "a=rtpmap:97 L24/48000/1\r\na=ptime:1\r\n"
    )
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sdp
    finally:
        stop.set()
        thread.join()


@pytest.mark.lab
def test_a_microphone_whose_clock_leaps_is_recorded_on_without_a_hole(tmp_path: Path) -> None:
    leaps = threading.Event()
    with aes67_sender(tmp_path, leaps) as sdp:
        device = {"id": "mic", "driver": "aes67", "sdp": str(sdp), "channels": [{"id": "judge", "number": 1}]}
        with linked(CAPTURE, device, tmp_path, segment_s=1) as running:
            running.first(child.Opened, 15)
            from_us = time.monotonic_ns() // 1000
            running.tell(child.StartPart(from_mono_us=from_us, origin_mono_us=from_us, tracks={"judge": 1}, keys={}))

            def recorded() -> float:
                return sum(m.dur for m in running.all(child.Fragment)) / 48_000

            wait_for(lambda: recorded() > 1, "sound")
            leaps.set()
            before_s = recorded()
            wait_for(lambda: recorded() > before_s + 3, "sound from behind the leap")
            fragments = running.all(child.Fragment)
            assert all(abs(b.t0 - a.t0 - a.dur) < 48_000 // 20 for a, b in itertools.pairwise(fragments))
            now_s = (time.monotonic_ns() // 1000 - from_us) / 1e6
            assert (fragments[-1].t0 + fragments[-1].dur) / 48_000 < now_s
            assert running.all(child.Stats)[-1].tracks[0].dropped == 0
