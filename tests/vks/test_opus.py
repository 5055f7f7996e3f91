"""Voices survive the codec, and what is no Opus gives nothing."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.children.test_ingest import opus
from tests.vks.test_mixing import tone
from vks.mixing import BLOCK, RATE_HZ
from vks.opus import BITRATE_BPS, MOST_US, Decoder, Encoder, duration_us


def dominant_hz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples.astype(np.float64)))) * RATE_HZ / samples.size)


def test_a_tone_comes_back_block_by_block_at_the_bitrate_of_speech() -> None:
    encoder, decoder, heard, size = Encoder(), Decoder(), [], 0
    for number in range(100):
        packet = encoder.encode(tone(1_000, 8_000, number))
        size += len(packet)
        block = decoder.decode(packet)
        assert block is not None
        assert block.size == BLOCK
        heard.append(block)
    samples = np.concatenate(heard[10:])
    assert dominant_hz(samples) == pytest.approx(1_000, abs=2)
    assert np.max(np.abs(samples.astype(np.int32))) == pytest.approx(8_000, rel=0.2)
    assert size * 8 / 2 < 1.5 * BITRATE_BPS


def test_a_browsers_stereo_is_one_voice() -> None:
    decoder = Decoder()
    heard = np.concatenate([block for packet in opus(50) if (block := decoder.decode(packet)) is not None])
    assert dominant_hz(heard[5 * BLOCK :]) == pytest.approx(440, abs=3)


@given(st.binary(max_size=400))
def test_whatever_a_peer_calls_opus_the_next_packet_is_decoded(garbage: bytes) -> None:
    encoder, decoder = Encoder(), Decoder()
    block = decoder.decode(garbage)
    assert block is None or block.dtype == np.int16
    after = decoder.decode(encoder.encode(tone(1_000, 8_000)))
    assert after is not None


@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
@pytest.mark.parametrize("length_ms", ["2.5", "5", "10", "20", "40", "60", "80", "100", "120"])
def test_a_packet_says_how_long_it_sounds(length_ms: str, application: str) -> None:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE_HZ, "mono", "s16", 16_000
    codec.options = {"application": application, "frame_duration": length_ms}
    frame = av.AudioFrame.from_ndarray(tone(1_000, 8_000).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
    resized = av.AudioFifo()
    for number in range(20):
        frame.pts = number * BLOCK
        resized.write(frame)
    codec.open()
    packets = [bytes(packet) for whole in resized.read_many(codec.frame_size) for packet in codec.encode(whole)]
    assert packets
    assert {duration_us(packet) for packet in packets} == {round(float(length_ms) * 1_000)}


@given(st.binary(max_size=4))
def test_whatever_stands_in_a_packet_it_sounds_no_longer_than_one_can(garbage: bytes) -> None:
    assert 0 <= duration_us(garbage) <= MOST_US
