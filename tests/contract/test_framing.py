"""Frames survive any cutting of the stream, and lengths that no frame has are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract.framing import LENGTHS, MAX_HEAD_BYTES, FrameError, FrameReader, pack

frames = st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=2000)), max_size=8)


@given(frames, st.lists(st.integers(min_value=1, max_value=500), max_size=50))
def test_frames_arrive_whole_however_the_stream_is_cut(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(pack(head, body) for head, body in sent)
    reader, received, at = FrameReader(), [], 0
    for cut in [*cuts, len(stream)]:
        received += reader.feed(stream[at : at + cut])
        at += cut
    assert received == sent


@pytest.mark.parametrize(("head_bytes", "body_bytes"), [(MAX_HEAD_BYTES + 1, 0), (0, 1001), (2**32 - 1, 2**32 - 1)])
def test_a_length_over_the_limit_is_refused_before_its_bytes_are_awaited(head_bytes: int, body_bytes: int) -> None:
    with pytest.raises(FrameError):
        FrameReader(max_body_bytes=1000).feed(LENGTHS.pack(head_bytes, body_bytes))
