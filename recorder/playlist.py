"""HLS playlists of a readable copy (RFC 8216): one a track, and a master that names them. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class PlaylistSegment:
    """A segment: its file, its part's header, its place on the session clock, its place in UTC."""

    file: str
    header: str
    t_us: int
    dur_us: int
    utc_us: int


@dataclass(frozen=True, slots=True)
class PlaylistTrack:
    """A track for the master playlist. ``codecs`` is RFC 6381's."""

    name: str
    label: str
    kind: str
    playlist: str
    codecs: str
    bits_per_s: int
    width: int = 0
    height: int = 0


def _quoted(text: str) -> str:
    """What may stand between quotes: RFC 8216, 4.2, lets no quote and no line end in, and knows no escape."""
    plain = text.replace('"', "'").replace("\\", "/")
    return "".join(one if one.isprintable() else " " for one in plain)


def media_playlist(segments: Sequence[PlaylistSegment]) -> str:
    """A track's playlist; a change of part, and a hole of more than half a second, is a discontinuity."""
    longest_s = max((math.ceil(segment.dur_us / 1e6) for segment in segments), default=1)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{max(1, longest_s)}", "#EXT-X-PLAYLIST-TYPE:VOD"]
    lines += ["#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-INDEPENDENT-SEGMENTS"]
    header, end_us = None, None
    for segment in segments:
        new_part = segment.header != header
        if header is not None and (new_part or (end_us is not None and abs(segment.t_us - end_us) > 500_000)):
            lines.append("#EXT-X-DISCONTINUITY")
        if new_part:
            lines.append(f'#EXT-X-MAP:URI="{segment.header}"')
        moment = datetime.fromtimestamp(segment.utc_us / 1e6, tz=UTC)
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z")
        lines += [f"#EXTINF:{segment.dur_us / 1e6:.6f},", segment.file]
        header, end_us = segment.header, segment.t_us + segment.dur_us
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def master_playlist(tracks: Sequence[PlaylistTrack], default_sound: str | None) -> str:
    """The master: cameras as variants, every sound as a rendition to choose, the room mix first."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    sounds = [track for track in tracks if track.kind == "audio"]
    for track in sounds:
        chosen = "YES" if track.name == default_sound else "NO"
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{_quoted(track.label or track.name)}",DEFAULT={chosen},AUTOSELECT={chosen},'
            f'URI="{track.playlist}"'
        )
    chosen_sound = next((track for track in sounds if track.name == default_sound), None)
    for track in tracks:
        if track.kind != "video":
            continue
        codecs = ",".join(filter(None, [track.codecs, chosen_sound.codecs if chosen_sound else ""]))
        bandwidth = track.bits_per_s + (chosen_sound.bits_per_s if chosen_sound else 0)
        group = ',AUDIO="sound"' if sounds else ""
        lines += [
            f'#EXT-X-STREAM-INF:BANDWIDTH={max(1, bandwidth)},RESOLUTION={track.width}x{track.height},CODECS="{_quoted(codecs)}"{group}',
            track.playlist,
        ]
    if not any(track.kind == "video" for track in tracks) and chosen_sound is not None:
        lines += [
            f'#EXT-X-STREAM-INF:BANDWIDTH={max(1, chosen_sound.bits_per_s)},CODECS="{_quoted(chosen_sound.codecs)}"',
            chosen_sound.playlist,
        ]
    return "\n".join([*lines, ""])
