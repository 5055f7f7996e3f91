import time
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capabilities import SourceLostError
from drivers.microphones import test_tone
from drivers.microphones.edge import SLIP_US, EdgeModel
from drivers.microphones.pcm import from_16, from_24_in_3, from_32, interleaved, sample_bits
from drivers.microphones.rtsp_sound import with_password, without_secrets


@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=2, max_size=64).filter(lambda v: len(v) % 2 == 0))
def test_every_24_bit_sample_keeps_its_value_in_the_high_bits(values: list[int]) -> None:
    packed = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    wide = from_24_in_3(packed, 2)
    assert (wide.reshape(-1) // 256).tolist() == values
    assert wide.shape == (len(values) // 2, 2)
    assert from_32(wide.astype("<i4").tobytes(), 2).tolist() == wide.tolist()


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=64))
def test_16_bit_samples_keep_their_value(values: list[int]) -> None:
    assert from_16(np.array(values, "<i2").tobytes(), 1)[:, 0].tolist() == values


def test_planar_and_interleaved_frames_give_the_same_channels() -> None:
    block = np.array([[1, -1], [2, -2], [3, -3]], np.int16)
    assert interleaved(block.T, "s16p", 2).tolist() == block.tolist()
    assert interleaved(block.reshape(1, -1), "s16", 2).tolist() == block.tolist()


@pytest.mark.parametrize(("codec", "peak"), [("pcm_s24be", 2**31), ("pcm_s16be", 2**15), ("pcm_mulaw", 2**15), ("mp3float", 2**15)])
def test_what_a_network_sends_keeps_its_level_in_the_bits_that_are_told(codec: str, peak: int) -> None:
    if codec == "mp3float":
        block = interleaved(np.array([[0.5, -0.5]], np.float32), "fltp", 1)
    else:
        decoder = av.CodecContext.create(codec, "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.layout, decoder.sample_rate = "mono", 8000
        half = {"pcm_s24be": b"\x40\0\0\xc0\0\0", "pcm_s16be": b"\x40\0\xc0\0", "pcm_mulaw": b"\x90\x10"}[codec]
        frame = decoder.decode(av.Packet(half))[0]
        block = interleaved(frame.to_ndarray(), frame.format.name, 1)
    assert block.dtype == (np.int32 if sample_bits(codec) == 24 else np.int16)
    assert block[:, 0] / peak == pytest.approx([0.5, -0.5], abs=0.02)


@given(ppm=st.floats(-300, 300), jitter=st.lists(st.integers(0, 60_000), min_size=50, max_size=50))
def test_a_drifting_clock_and_jitter_are_no_loss(ppm: float, jitter: list[int]) -> None:
    model = EdgeModel(48_000, 0)
    for n in range(3_000):
        edge_us = round((n + 1) * 20_000 * (1 + ppm * 1e-6)) + jitter[n % len(jitter)]
        assert model.lost(960, edge_us) == 0


@given(st.integers(SLIP_US + 50_000, 30_000_000))
def test_a_loss_is_found_with_its_length(lost_us: int) -> None:
    model = EdgeModel(48_000, 0)
    for n in range(100):
        model.lost(960, (n + 1) * 20_000)
    found = model.lost(960, 101 * 20_000 + lost_us)
    assert abs(found - lost_us * 48 // 1000) <= 48
    assert model.lost(960, 102 * 20_000 + lost_us) == 0


def test_a_url_is_shown_without_its_password_and_a_strange_password_survives(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p@ss:w/rd\n")
    url = with_password("rtsp://camera.local:554/a?b=c", "court", str(secret))
    assert url == "rtsp://court:p%40ss%3Aw%2Frd@camera.local:554/a?b=c"
    assert without_secrets(url) == "rtsp://camera.local:554/a"


def test_a_password_file_that_windows_wrote_holds_the_password_alone(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("\ufeffпароль\r\n".encode())
    assert with_password("rtsp://camera.local/a", "court", str(tmp_path / "password")) == f"rtsp://court:{quote('пароль')}@camera.local/a"


def test_a_password_in_another_coding_is_told_of_by_its_files_name(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("пароль\n".encode("cp1251"))
    with pytest.raises(SourceLostError, match=r"password file .*/password: is no UTF-8") as lost:
        with_password("rtsp://camera.local/a", "court", str(tmp_path / "password"))
    assert lost.value.cause == "error"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://192.0.2.10:554/live?user=admin&password=S3cret&channel=1#S3cret", "rtsp://192.0.2.10:554/live"),
        ("rtsp://admin:S3cret@192.0.2.10/live?password=S3cret", "rtsp://192.0.2.10/live"),
        ("rtsp://192.0.2.10/a/user=admin_password=S3cret_channel=1.sdp", "rtsp://192.0.2.10/a/"),
        ("rtsp://[2001:db8::1]:8554/users/1", "rtsp://[2001:db8::1]:8554/users/1"),
    ],
)
def test_what_is_told_of_an_address_holds_no_secret(url: str, told: str) -> None:
    assert without_secrets(url) == told


def test_the_tone_s_beep_begins_on_every_fifth_second_of_the_clock_and_each_channel_has_its_tone() -> None:
    five_s = 5 * 48_000
    sound = np.concatenate([test_tone.block(at, 3) for at in range(five_s - 48_000, five_s + 48_000, test_tone.BLOCK)])
    loud = np.flatnonzero(np.abs(sound[:, 0]) > test_tone.AMPLITUDE + 1)
    assert 0 < loud[0] - 48_000 < 48
    assert 1900 < loud[-1] - 48_000 < 1920
    for channel in range(3):
        spectrum = np.abs(np.fft.rfft(sound[:48_000, channel]))
        assert np.argmax(spectrum) == test_tone.tone_hz(channel + 1)
        assert abs(20 * np.log10(np.sqrt(2 * np.mean((sound[:48_000, channel] / 32768) ** 2)) + 20)) < 40


def test_the_tone_is_paced_and_its_positions_are_the_monotonic_clock_without_a_hole() -> None:
    source = test_tone.open({"channels": [{"number": 2}]})
    blocks = [source.read() for _ in range(25)]
    assert [b.position for b in blocks] == [blocks[0].position + 960 * n for n in range(25)]
    assert source.formats["audio"].channels == 2
    late_us = [b.arrival_us - (b.position + 960) * 1_000 // 48 for b in blocks]
    assert min(late_us) >= -1
    assert time.monotonic_ns() // 1000 - blocks[-1].arrival_us < 1_000_000
