"""Of what a copy's one film is made: one camera and one sound. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recorder.copy_story import Track
from recorder.playlist import PlaylistSegment, PlaylistTrack

ROOM_MIX = "room-mix"
CODEC = "h264"
"""The pictures that any player shows."""


@dataclass(slots=True)
class FilmPieces:
    """The segments in order, and the stretches of session time whose pictures the film cannot show: the camera gave another format."""

    video: list[PlaylistSegment] = field(default_factory=list)
    audio: list[PlaylistSegment] = field(default_factory=list)
    without: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first_us(self) -> int:
        """Session time at which the film begins."""
        return min((segment.t_us for segment in (*self.video, *self.audio)), default=0)


def film_pieces(
    tracks: Sequence[PlaylistTrack], segments: Mapping[str, Sequence[PlaylistSegment]], recorded: Mapping[str, Track]
) -> FilmPieces:
    """Choose from a copy's tracks and their segments; ``recorded`` says by what codec each part was made."""
    made = FilmPieces()
    for track in tracks:
        headers = {init.file for init in recorded[track.name].inits.values() if init.codec == CODEC}
        if track.kind == "video" and any(segment.header in headers for segment in segments[track.name]):
            made.video = [segment for segment in segments[track.name] if segment.header in headers]
            made.without = _joined([segment for segment in segments[track.name] if segment.header not in headers])
            break
    sounds = [track.name for track in tracks if track.kind == "audio"]
    if sounds:
        made.audio = list(segments[ROOM_MIX if ROOM_MIX in sounds else sounds[0]])
    return made


def _joined(segments: Sequence[PlaylistSegment]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for segment in segments:
        end_us = segment.t_us + segment.dur_us
        if joined and segment.t_us - joined[-1][1] <= 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_us))
        else:
            joined.append((segment.t_us, end_us))
    return joined
