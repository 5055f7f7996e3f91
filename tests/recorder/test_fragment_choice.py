"""What of a track a copy may hold, decided fragment by fragment; and what fragments say of themselves, against FFmpeg's reading of them."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.cenc import CencError, clear_fragment, clear_header
from recorder.children.boxes import Cutter, read_fragment
from recorder.children.fragmenter import MOVFLAGS
from recorder.fragment_choice import Candidate, LeftOut, add, highest_of_groups, overlapping, summed
from recorder.fragment_look import look
from recorder.record.levels import LEVELS, rank

candidates = st.lists(
    st.builds(lambda at, key, level: (at, key, level), st.just(0), st.booleans(), st.sampled_from(LEVELS)), min_size=1, max_size=20
).map(lambda drawn: [Candidate(at * 500, at * 500 + 500, key, level) for at, (_, key, level) in enumerate(drawn)])


@given(fragments=candidates)
def test_a_fragment_is_never_judged_below_its_own_level_and_a_group_of_pictures_stands_or_falls_as_one(fragments: list[Candidate]) -> None:
    assert highest_of_groups(fragments, "audio") == [fragment.level for fragment in fragments]
    judged = highest_of_groups(fragments, "video")
    groups: list[list[int]] = []
    for at, fragment in enumerate(fragments):
        if fragment.key or not groups:
            groups.append([])
        groups[-1].append(at)
    for group in groups:
        assert {judged[at] for at in group} == {max((fragments[at].level for at in group), key=rank)}


@given(fragments=candidates, from_us=st.integers(0, 11_000), length_us=st.integers(1, 5_000) | st.none())
def test_of_an_interval_every_fragment_of_sound_is_chosen_and_every_whole_group_of_pictures(
    fragments: list[Candidate], from_us: int, length_us: int | None
) -> None:
    to_us = None if length_us is None else from_us + length_us
    sound = [one.to_us > from_us and (to_us is None or one.from_us < to_us) for one in fragments]
    assert overlapping(fragments, "audio", from_us, to_us) == sound
    begins = [at for at, one in enumerate(fragments) if one.key or at == 0]
    group = [max(begin for begin in begins if begin <= at) for at in range(len(fragments))]
    pictures = [any(sound[other] for other in range(len(fragments)) if group[other] == group[at]) for at in range(len(fragments))]
    assert overlapping(fragments, "video", from_us, to_us) == pictures


def test_what_has_no_length_is_of_the_moment_at_which_it_is() -> None:
    assert overlapping([Candidate(0, 0, True, "open")], "audio", 0, None) == [True]


def test_stretches_are_told_as_one_where_they_go_on_and_by_track_where_they_overlap() -> None:
    stretches: list[LeftOut] = []
    for track in ("cam", "judge"):
        add(stretches, LeftOut(track, 0, 100, 200, "secret"))
        add(stretches, LeftOut(track, 0, 200, 300, "identity"))
        add(stretches, LeftOut(track, 0, 400, 500, "identity"))
    add(stretches, LeftOut("judge", 0, 500, 600, "secret", "key"))
    assert [(one.track, one.from_us, one.to_us, one.level) for one in stretches[:2]] == [
        ("cam", 100, 300, "identity"),
        ("cam", 400, 500, "identity"),
    ]
    assert [(one.track, one.from_us, one.to_us, one.because) for one in summed(stretches)] == [
        ("cam, judge", 100, 300, "level"),
        ("cam, judge", 400, 500, "level"),
        ("judge", 500, 600, "key"),
    ]


def fragments_of(b_frames: int, seconds: int = 4) -> tuple[bytes, list[bytes]]:
    """Header and fragments of H.264 at 25 pictures a second, a keyframe each second."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"movflags": MOVFLAGS, "frag_duration": "450000", "use_editlist": "0"}) as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "25", "bf": str(b_frames), "preset": "veryfast", "sc_threshold": "0"}
        noise = np.random.default_rng(1)
        for number in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (72, 64), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pieces = Cutter().feed(sink.getvalue())
    return pieces[0][1], [piece for is_header, piece in pieces if not is_header]


@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_fragment_s_own_times_are_those_that_ffmpeg_reads(b_frames: int) -> None:
    """FFmpeg moves all times of a file so that none is presented before it is decoded; how they lie to each other is the fragment's."""
    header, pieces = fragments_of(b_frames)
    keys = 0
    ticks = []
    for piece in pieces:
        seen, decode_time = look(piece), read_fragment(piece).decode_time
        with av.open(io.BytesIO(header + piece), "r", format="mp4") as container:
            packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        shown = [packet.pts for packet in packets if packet.pts is not None]
        length = packets[0].duration or 0
        assert (seen.last - seen.first, seen.end - seen.last) == (max(shown) - min(shown), length)
        ticks.append((decode_time + seen.first, decode_time + seen.end))
        assert seen.key == packets[0].is_keyframe
        keys += seen.key
    assert len(pieces) > 6
    assert max(end for _, end in ticks) - min(first for first, _ in ticks) == 100 * length
    assert min(first for first, _ in ticks) == read_fragment(pieces[0]).decode_time
    assert keys == 4


CUT = fragments_of(0, 1)[1][0]


@given(cut=st.integers(0, int.from_bytes(CUT[:4], "big") - 1))
def test_a_fragment_whose_boxes_are_cut_is_refused(cut: int) -> None:
    with pytest.raises(CencError):
        look(CUT[:cut])


def test_a_run_of_more_samples_than_bytes_and_boxes_without_end_are_refused() -> None:
    """A fragment of a few bytes must not take the memory and the time of four thousand million samples."""

    def box(kind: bytes, *inner: bytes) -> bytes:
        data = b"".join(inner)
        return struct.pack(">I", 8 + len(data)) + kind + data

    endless = struct.pack(">II", 0, 2**32 - 1)
    fragment = box(b"moof", box(b"traf", box(b"tfhd", bytes(8)), box(b"trun", endless)))
    with pytest.raises(CencError, match="4294967295 samples"):
        look(fragment)
    with pytest.raises(CencError, match="4294967295 samples"):
        clear_fragment(fragment, bytes(16))
    with pytest.raises(CencError, match="4294967295 samples"):
        clear_fragment(box(b"moof", box(b"traf", box(b"senc", endless))), bytes(16))
    nested = b""
    for _ in range(5000):
        nested = box(b"moov", nested)
    with pytest.raises(CencError):
        clear_header(nested)
