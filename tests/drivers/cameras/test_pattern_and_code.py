"""The test picture, and the number in it that tests of the whole chain stand on."""

import itertools
import time

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cameras.frame_code import read_frame_number, rows_of, write_frame_number
from drivers.capabilities import Picture
from drivers.registry import open_source
from tests.lab import frame_strip

STANZA = {"id": "cam", "driver": "test-pattern", "width": 640, "height": 360, "fps": 25}


@settings(max_examples=50)
@given(number=st.integers(0, 2**32 - 1), size=st.sampled_from([(160, 90), (320, 180), (640, 360), (1280, 720), (1918, 1080)]))
def test_what_is_written_is_read_by_us_and_by_the_lab_s_own_reader(number: int, size: tuple[int, int]) -> None:
    luma = np.full((size[1], size[0]), 120, np.uint8)
    write_frame_number(luma, number)
    assert read_frame_number(luma) == number == frame_strip.read(luma)
    assert (luma[rows_of(size[1]) :] == 120).all()


def test_a_picture_without_a_number_has_none() -> None:
    dice = np.random.default_rng(5)
    found = [read_frame_number(dice.integers(0, 255, (360, 640), np.uint8)) for _ in range(200)]
    assert sum(number is not None for number in found) < 10, "a checksum of 8 bits lets one in 256 pass"
    assert read_frame_number(np.full((360, 640), 16, np.uint8)) is None


@pytest.mark.parametrize("bitrate_bps", [60_000, 300_000])
def test_the_number_survives_encoding_at_low_bitrates(bitrate_bps: int) -> None:
    source = open_source(STANZA)
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 640, 360, "yuv420p", 25  # type: ignore[assignment]
    encoder.bit_rate, encoder.options = bitrate_bps, {"preset": "superfast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    sent, got = [], []
    for index in range(25):
        picture = source.read()
        assert isinstance(picture, Picture)
        sent.append(picture.sequence)
        picture.frame.pts = index
        got += [frame for packet in encoder.encode(picture.frame) for frame in decoder.decode(packet)]
    got += [frame for packet in encoder.encode(None) for frame in decoder.decode(packet)]
    got += decoder.decode(None)
    assert [read_frame_number(frame.to_ndarray(format="gray").astype(np.uint8)) for frame in got] == [number % 2**32 for number in sent]


def test_pictures_come_on_time_move_and_number_themselves_by_the_clock() -> None:
    source = open_source(STANZA)
    pictures = [picture for picture in (source.read() for _ in range(15)) if isinstance(picture, Picture)]
    assert [b.sequence - a.sequence for a, b in itertools.pairwise(pictures)] == [1] * 14
    assert all(picture.device_us == picture.sequence * 40_000 for picture in pictures)
    assert all(0 <= picture.arrival_us - picture.device_us < 40_000 for picture in pictures)
    planes = [picture.frame.to_ndarray(format="gray")[40:].astype(int) for picture in pictures]
    assert all(np.abs(a - b).mean() > 0.1 for a, b in itertools.pairwise(planes)), "no two pictures are the same: none is called frozen"


def test_drawing_costs_little() -> None:
    source = open_source(STANZA | {"width": 1280, "height": 720})
    source.read()
    began = time.thread_time()
    for _ in range(25):
        source.read()
    assert time.thread_time() - began < 0.15, "of one second of a core"
