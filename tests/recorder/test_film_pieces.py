"""A copy's film holds one camera and one sound; what it cannot show of them is told."""

from pathlib import Path

import pytest

from recorder.copy_story import Track
from recorder.film_pieces import film_pieces
from recorder.player_page import player_page
from recorder.playlist import PlaylistSegment, PlaylistTrack
from recorder.record import entries, layout
from tests.lab import browser

SEGMENT_US = 60_000_000


def recorded(name: str, *codecs: str) -> Track:
    """A track with a part of each codec."""
    inits = {
        part: entries.Init(
            track=name, part=part, file=layout.init_file(name, part), len=1, sha256="", kind="video" if name.startswith("cam") else "audio",
            codec=codec, timescale=1000,
        )
        for part, codec in enumerate(codecs)
    }  # fmt: skip
    return Track(name, inits)


def segments(track: Track) -> list[PlaylistSegment]:
    """Two a part, one behind the other."""
    made = []
    for index in range(2 * len(track.inits)):
        header = track.inits[index // 2].file
        made.append(PlaylistSegment(layout.segment_file(track.name, index), header, index * SEGMENT_US, SEGMENT_US, 0))
    return made


def choose(*tracks: Track) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    listed = [PlaylistTrack(track.name, "", track.inits[0].kind, "", (), 1) for track in tracks]
    chosen = film_pieces(listed, {track.name: segments(track) for track in tracks}, {track.name: track for track in tracks})
    return [segment.file for segment in chosen.video], [segment.file for segment in chosen.audio], chosen.without


def test_the_film_is_the_first_camera_and_the_room_mix() -> None:
    camera, other, judge, mix = (
        recorded("cam-1", "h264", "h264"),
        recorded("cam-2", "h264"),
        recorded("judge", "flac"),
        recorded("room-mix", "flac"),
    )
    assert choose(camera, other, judge, mix) == ([one.file for one in segments(camera)], [one.file for one in segments(mix)], [])
    assert choose(judge)[:2] == ([], [one.file for one in segments(judge)])


def test_what_a_camera_gave_in_another_format_is_not_in_the_film_and_told() -> None:
    camera = recorded("cam-1", "h264", "hevc", "h264")
    video, _, without = choose(camera)
    assert video == [one.file for one in segments(camera) if one.header != camera.inits[1].file]
    assert without == [(2 * SEGMENT_US, 4 * SEGMENT_US)]


def test_a_camera_that_any_player_shows_is_taken_before_one_that_none_may_show() -> None:
    other = recorded("cam-2", "h264")
    assert choose(recorded("cam-1", "hevc"), other)[::2] == ([one.file for one in segments(other)], [])


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
@pytest.mark.parametrize("without", [[{"from_us": 60_000_000, "to_us": 120_000_000}], []])
def test_the_page_tells_what_the_film_does_not_show(tmp_path: Path, without: list[dict[str, int]]) -> None:
    page = player_page(
        title="", case="", first_us=0, duration_us=1, notes=[], gaps=[], left_out=[], film_without=without, tracks=[],
        source={"level": "sealed", "found": []},
    )  # fmt: skip
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    seen = browser.ask(f"file://{tmp_path}/index.html", "document.body.innerText")
    assert ("Not in the film above" in seen, "0:01:00 – 0:02:00" in seen) == (bool(without), bool(without))
