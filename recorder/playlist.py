"""HLS playlists of a readable copy (RFC 8216): one a track, and a master that names them. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
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
    """A track for the master playlist. ``codecs`` are all that its parts have, by RFC 6381; width and height are those of the largest."""

    name: str
    label: str
    kind: str
    playlist: str
    codecs: tuple[str, ...]
    bits_per_s: int
    width: int = 0
    height: int = 0


def _quoted(text: str) -> str:
    """What may stand between quotes: RFC 8216, 4.2, lets no quote and no line end in, and knows no escape."""
    plain = text.replace('"', "'").replace("\\", "/")
    return "".join(one if one.isprintable() else " " for one in plain)


def media_playlist(segments: Sequence[PlaylistSegment]) -> str:
    """A track's playlist; a change of part, and a hole of more than half a second, is a discontinuity."""
    target_s = _target_s(segment.dur_us for segment in segments)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{target_s}", "#EXT-X-PLAYLIST-TYPE:VOD"]
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


def peak_bits_per_s(segments: Sequence[tuple[int, int]]) -> int:
    """The peak segment bit rate of RFC 8216, 4.1, by each segment's bytes and microseconds.

    That is the largest of any run of segments which lasts between 0.5 and 1.5 target durations; where there is none, of all together.
    """
    target_us = 1_000_000 * _target_s(dur_us for _, dur_us in segments)
    peak = 0
    for first in range(len(segments)):
        size = run_us = 0
        for bytes_, dur_us in segments[first:]:
            size, run_us = size + bytes_, run_us + dur_us
            if 2 * run_us > 3 * target_us:
                break
            if 2 * run_us >= target_us:
                peak = max(peak, size * 8_000_000 // run_us)
    return peak or sum(size for size, _ in segments) * 8_000_000 // max(1, sum(dur_us for _, dur_us in segments))


def master_playlist(tracks: Sequence[PlaylistTrack], default_sound: str | None) -> str:
    """The master: cameras as variants, every sound as a rendition to choose, the room mix first.

    A variant's bandwidth and codecs count every rendition that may be chosen with it (RFC 8216, 4.3.4.2).
    """
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    sounds = [track for track in tracks if track.kind == "audio"]
    names = Counter(_quoted(track.label or track.name) for track in sounds)
    for track in sounds:
        chosen = "YES" if track.name == default_sound else "NO"
        name = _quoted(track.label or track.name)
        if names[name] > 1:  # no two of a group have one name (4.3.4.1.1)
            name = f"{name} ({track.name})"
        lines.append(f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{name}",DEFAULT={chosen},AUTOSELECT={chosen},URI="{track.playlist}"')
    heard = max((track.bits_per_s for track in sounds), default=0)
    variants = [track for track in tracks if track.kind == "video"] or [track for track in sounds if track.name == default_sound]
    for track in variants:
        is_shown = track.kind == "video"
        codecs = dict.fromkeys(codec for one in (track, *sounds) for codec in one.codecs)
        said = [f"BANDWIDTH={max(1, track.bits_per_s + heard if is_shown else heard)}"]
        said += [f"RESOLUTION={track.width}x{track.height}"] * (is_shown and track.width > 0)
        said += [f'CODECS="{_quoted(",".join(codecs))}"'] + ['AUDIO="sound"'] * bool(sounds)
        lines += [f"#EXT-X-STREAM-INF:{','.join(said)}", track.playlist]
    return "\n".join([*lines, ""])


def _target_s(durations_us: Iterable[int]) -> int:
    return max([1, *(math.ceil(dur_us / 1e6) for dur_us in durations_us)])
