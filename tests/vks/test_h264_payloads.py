"""H.264 in RTP: what was split comes back whole, fits into packets, and hostile payloads give nothing."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract import h264
from vks.h264_payloads import IDR, PAYLOAD_BYTES, PPS, SPS, annex_b, is_keyframe, join, kind, nal_units, picture, split

SETS = [b"\x67\x42\xc0\x1f\x01", b"\x68\xce\x3c\x80"]


@st.composite
def unit(draw: st.DrawFn) -> bytes:
    """A NAL unit of a slice, SEI or parameter set; no bytes of it look like a start code."""
    header = draw(st.sampled_from([0x41, 0x61, 0x65, 0x06, 0x67, 0x68]))
    size = draw(st.one_of(st.integers(1, 40), st.integers(PAYLOAD_BYTES - 6, PAYLOAD_BYTES + 6), st.integers(1, 9_000)))
    return bytes([header]) + bytes([draw(st.integers(1, 255))]) * size


@given(st.lists(unit(), min_size=1, max_size=8))
def test_what_is_split_comes_back_as_it_was_in_packets_that_fit(units: list[bytes]) -> None:
    payloads = split(units, SETS)
    assert all(len(payload) <= PAYLOAD_BYTES for payload in payloads)
    back = join(tuple(payloads))
    kinds = {kind(one) for one in units}
    assert back == ([*SETS, *units] if IDR in kinds and SPS not in kinds else units)
    assert nal_units(annex_b(units)) == units


def test_what_is_not_in_annex_b_form_has_no_units_for_a_camera_may_send_anything() -> None:
    assert nal_units(b"") == []
    assert nal_units(b"\x65picture") == []


@given(st.lists(unit(), min_size=1, max_size=4), st.data())
def test_where_a_piece_is_missing_nothing_that_is_not_whole_comes_back(units: list[bytes], data: st.DataObject) -> None:
    payloads = split(units, [])
    gone = data.draw(st.integers(0, len(payloads) - 1))
    back = join(tuple(payloads[:gone] + payloads[gone + 1 :]))
    # A large unit whose middle is missing cannot be told by its payloads alone: the numbers of the packets tell that (jitter.py).
    assert back is None or all(one in units or any(whole.startswith(one[:1]) and len(one) < len(whole) for whole in units) for one in back)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_payloads_give_units_or_nothing(payloads: list[bytes]) -> None:
    back = join(tuple(payloads))
    assert back is None or all(back)


def together(*units: bytes) -> bytes:
    """A packet that holds several units (STAP-A)."""
    return b"\x18" + b"".join(len(one).to_bytes(2) + one for one in units)


@pytest.mark.parametrize(
    "payloads",
    [
        (together(b"\x67\x42", b"\x68\xce", b"\x65\x88\x84"),),
        (together(*[b"\x01"] * 390), together(*[b"\x01"] * 390)),
        (together(b"\x00"),),
        (together(b"\x41\x9a", b"\x18\x01"),),
        (b"\x41\x9a" + b"\0\0\1\x01" * 200, b"\x41" + b"\0\0\1\x01" * 300, b"\x41" + b"\0\0\1\x01" * 200),
    ],
    ids=["a damaged parameter set", "too many units", "a unit of zeros", "a unit that is a packet", "start codes within units"],
)
def test_what_the_recorder_would_not_take_is_no_picture(payloads: tuple[bytes, ...]) -> None:
    assert picture(payloads) is None


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.lists(st.binary(min_size=1, max_size=9)).map(lambda units: together(*units))), max_size=6)
)
def test_every_picture_is_for_the_recorder_what_it_is_here(payloads: list[bytes]) -> None:
    units = picture(tuple(payloads))
    if units is not None:
        assert h264.nal_units(annex_b(units)) == [one.rstrip(b"\0") for one in units]


def test_a_keyframe_of_a_real_encoder_is_decoded_after_the_journey() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    (packet,) = encoder.encode(frame)
    units = nal_units(bytes(packet))
    assert is_keyframe(units)
    bare = [one for one in units if kind(one) not in {SPS, PPS}]
    payloads = split(bare, [one for one in units if kind(one) in {SPS, PPS}])
    assert len(payloads) > 10
    back = picture(tuple(payloads))
    assert back is not None
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    (shown,) = [*decoder.decode(av.Packet(annex_b(back))), *decoder.decode(None)]
    assert (shown.width, shown.height) == (1280, 720)
