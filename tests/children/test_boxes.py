import io
import itertools
import struct

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.children.boxes import BoxError, Cutter, find, read_fragment, with_decode_time
from recorder.children.encoder import SoundEncoder
from recorder.children.fragmenter import Fragmenter, PartPlan
from recorder.contract import child

KEY = child.MediaKey(key=bytes(range(16)), kid=bytes(16))


def sound_part(key: child.MediaKey | None, blocks: int = 40) -> list[tuple[child.Message, bytes]]:
    said: list[tuple[child.Message, bytes]] = []
    encoder = SoundEncoder(48_000, 16)
    plan = PartPlan(track="mic", part=1, key=key)
    fragmenter = Fragmenter(plan, encoder.stream, 48_000, lambda message, body: said.append((message, body)))
    dice = np.random.default_rng(1)
    packets = [p for _ in range(blocks) for p in encoder.encode(dice.integers(-3000, 3000, 2400, np.int16))] + encoder.flush()
    for packet in packets:
        if packet.pts is not None and packet.size:
            packet.is_keyframe = True
            fragmenter.mux(packet, 7_000_000 + packet.pts * 1_000_000 // 48_000)
    fragmenter.close()
    return said


PARTS = {name: sound_part(key) for name, key in (("clear", None), ("encrypted", KEY))}


@pytest.mark.parametrize("name", PARTS)
def test_fragments_say_where_they_lie_on_the_session_clock_and_join_without_a_hole(name: str) -> None:
    at = 7 * 48_000
    for message, body in PARTS[name][1:]:
        assert isinstance(message, child.Fragment)
        info = read_fragment(body)
        assert (info.decode_time, info.duration, info.key) == (message.t0, message.dur, message.key)
        assert message.t0 == at
        at += message.dur
    assert at == 7 * 48_000 + 40 * 2400


@pytest.mark.parametrize("name", PARTS)
@given(cuts=st.lists(st.integers(0, 400_000), max_size=30).map(sorted))
def test_however_the_muxer_s_bytes_arrive_the_same_pieces_are_cut(name: str, cuts: list[int]) -> None:
    stream = b"".join(body for _, body in PARTS[name])
    edges = [0, *[cut for cut in cuts if cut < len(stream)], len(stream)]
    cutter = Cutter()
    pieces = [piece for a, b in itertools.pairwise(edges) for piece in cutter.feed(stream[a:b])]
    assert [is_header for is_header, _ in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [data for _, data in pieces] == [body for _, body in PARTS[name]]


@given(time=st.integers(0, 2**63))
def test_another_time_changes_the_time_and_nothing_else(time: int) -> None:
    body = PARTS["encrypted"][1][1]
    moved = with_decode_time(body, time)
    assert read_fragment(moved).decode_time == time
    assert with_decode_time(moved, read_fragment(body).decode_time) == body


@given(damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6), length=st.integers(0, 2000))
def test_damaged_boxes_are_refused_or_read_but_never_crash(damage: list[tuple[int, int]], length: int) -> None:
    data = bytearray(PARTS["clear"][1][1][:length])
    for place, value in damage:
        if place < len(data):
            data[place] = value
    try:
        read_fragment(bytes(data))
    except BoxError:
        return


def test_a_box_that_claims_less_than_its_own_header_is_refused() -> None:
    with pytest.raises(BoxError):
        Cutter().feed(struct.pack(">I4s", 4, b"moof"))
    with pytest.raises(BoxError):
        find(struct.pack(">I4s", 900, b"moof"), b"moof")


def test_encrypted_sound_opens_with_its_key_to_the_same_samples_and_is_noise_without() -> None:
    data = b"".join(body for _, body in PARTS["encrypted"])
    clear = b"".join(body for _, body in PARTS["clear"])

    def samples(file: bytes, **options: str) -> bytes:
        with av.open(io.BytesIO(file), "r", options=options) as container:
            return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))

    plain = samples(clear)
    assert len(plain) == 40 * 2400 * 2
    assert samples(data, decryption_key=KEY.key.hex()) == plain
    media = clear[clear.index(b"mdat") + 4 :][:200]
    assert media not in data
