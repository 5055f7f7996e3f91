"""The readable copy of a record, for whoever holds a recipient's key: a new object that names its source, never the record itself.

Media is decrypted byte for byte (``cenc.py``), segment by segment, each checked against the journal's hash first. What is of a higher level
than asked for is left out and listed. The copy is signed by the recipient who made it.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from recorder import media_keys
from recorder.cenc import CencError, clear_fragment, clear_header
from recorder.manifest import manifest
from recorder.player_page import player_page
from recorder.playlist import PlaylistSegment, PlaylistTrack, master_playlist, media_playlist
from recorder.record import canonical, entries, layout
from recorder.record.entries import AnyEntry, Level, Line
from recorder.seal import file_sha256, read_journal

_CODECS = {"flac": "fLaC", "opus": "Opus", "aac": "mp4a.40.2", "hevc": "hvc1.1.6.L120.90"}
LEVELS: tuple[Level, ...] = get_args(Level)


class CopyError(Exception):
    """The copy cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The recipient who makes the copy."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a record to copy: tracks (empty: all), session time, and the highest level."""

    tracks: frozenset[str] = frozenset()
    from_us: int = 0
    to_us: int | None = None
    max_level: Level = "closed"


@dataclass(slots=True)
class _Segment:
    number: int
    part: int
    frags: list[entries.Frag] = field(default_factory=list)
    closed: entries.Segment | None = None


@dataclass(slots=True)
class _Track:
    name: str
    inits: dict[int, entries.Init] = field(default_factory=dict)
    segments: dict[int, _Segment] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """What the journal tells, as far as a copy needs it."""

    genesis: entries.Genesis
    utc_of_zero_us: int
    tracks: dict[str, _Track] = field(default_factory=dict)
    notes: list[entries.Note] = field(default_factory=list)
    lines: list[tuple[Line, AnyEntry]] = field(default_factory=list)
    """The entries of which ``manifest`` makes the intervals that were not recorded."""


@dataclass(slots=True)
class Copied:
    """What was copied: playlists by track, what was left out, and what was damaged."""

    tracks: list[PlaylistTrack] = field(default_factory=list)
    segments: dict[str, list[PlaylistSegment]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    film_first_us: int = 0
    """Session time at which the one-file film begins."""


def load_reader(key: Path, certificate: Path | None) -> Reader:
    """The recipient's key and certificate; without a certificate the file beside the key is taken (``court.key``: ``court.pem``).

    Raises:
        CopyError: one of them cannot be used.
    """
    certificate = certificate or key.with_suffix(".pem")
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        public = x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise CopyError(f"cannot read {error.filename}: {error.strerror}; name the certificate by --cert") from error
    except (ValueError, TypeError) as error:
        raise CopyError(f"{key} or {certificate} is no PEM key and certificate: {error}") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise CopyError(f"{key} is no RSA key; recipients have RSA keys")
    if private.public_key() != public.public_key():
        raise CopyError(f"{key} does not belong to {certificate}; name its certificate by --cert")
    return Reader(private, public)


def read_story(record: Path) -> Story:
    """Read the journal.

    Raises:
        CopyError: there is no record.
    """
    if not (record / layout.JOURNAL).exists():
        raise CopyError(f"{record} is no record: it has no {layout.JOURNAL}")
    story: Story | None = None
    for line, entry in read_journal(record):
        if isinstance(entry, entries.Genesis):
            story = Story(entry, line.utc_us - line.t_us)
        if story is None:
            continue
        if not isinstance(entry, entries.Frag | entries.Checkpoint | entries.Alive):
            story.lines.append((line, entry))
        if isinstance(entry, entries.Init):
            story.tracks.setdefault(entry.track, _Track(entry.track)).inits[entry.part] = entry
        elif isinstance(entry, entries.Frag):
            track = story.tracks.setdefault(entry.track, _Track(entry.track))
            track.segments.setdefault(entry.seg, _Segment(entry.seg, entry.part)).frags.append(entry)
        elif isinstance(entry, entries.Segment) and entry.track in story.tracks and entry.seg in story.tracks[entry.track].segments:
            story.tracks[entry.track].segments[entry.seg].closed = entry
        elif isinstance(entry, entries.Note):
            story.notes.append(entry)
    if story is None:
        raise CopyError(f"{record} is no record: its journal has no first line")
    return story


def copy_media(record: Path, out: Path, story: Story, choice: Choice, reader: Reader | None, progress: Callable[[int], None]) -> Copied:
    """Decrypt what is chosen into ``out``, which exists and is empty; ``progress`` is told the bytes of each segment.

    Raises:
        CopyError: the key opens nothing of it.
    """
    unknown = choice.tracks - story.tracks.keys()
    if unknown:
        raise CopyError(f"the record has no track {', '.join(sorted(unknown))}; it has {', '.join(sorted(story.tracks))}")
    copied = Copied()
    for name, track in sorted(story.tracks.items()):
        if choice.tracks and name not in choice.tracks:
            continue
        keys = _keys(record, track, choice, reader, copied)
        segments = [
            _copy_segment(record, out, story, track, segment, choice, keys, copied, progress)
            for _, segment in sorted(track.segments.items())
        ]
        made = [segment for segment in segments if segment is not None]
        if not made:
            continue
        copied.segments[name] = made
        playlist = f"tracks/{name}/playlist.m3u8"
        local = [PlaylistSegment(Path(s.file).name, Path(s.header).name, s.t_us, s.dur_us, s.utc_us) for s in made]
        (out / playlist).write_text(media_playlist(local), encoding="utf-8")
        copied.tracks.append(_describe(out, track, made, playlist))
    if not copied.tracks:
        raise CopyError("nothing of the record is of this choice of tracks, time and level")
    return copied


def total_bytes(story: Story) -> int:
    """How much media the record has."""
    return sum(frag.len for track in story.tracks.values() for segment in track.segments.values() for frag in segment.frags)


def write_notes(out: Path, story: Story) -> None:
    """The notes as WebVTT, each for five seconds from its time."""
    lines = ["WEBVTT", ""]
    for note in sorted(story.notes, key=lambda note: note.at_us):
        text = note.text.replace("-->", "→").replace("\n", " ")
        lines += [f"{_vtt(note.at_us)} --> {_vtt(note.at_us + 5_000_000)}", f"{note.author}: {text}", ""]
    (out / "notes.vtt").write_text("\n".join(lines), encoding="utf-8")


def write_page(out: Path, story: Story, copied: Copied) -> None:
    """The page that plays the copy."""
    ends = [segment.t_us + segment.dur_us for segments in copied.segments.values() for segment in segments]
    told = manifest(story.lines)
    page = player_page(
        title=story.genesis.title or story.genesis.hearing,
        case=story.genesis.case,
        first_us=copied.film_first_us,
        duration_us=max(ends, default=0),
        notes=[{"at_us": note.at_us, "author": note.author, "text": note.text} for note in story.notes],
        gaps=told["not_recorded"],
        tracks=[{"name": track.name, "label": track.label, "playlist": track.playlist} for track in copied.tracks],
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def write_master(out: Path, copied: Copied) -> None:
    """The master playlist."""
    names = [track.name for track in copied.tracks if track.kind == "audio"]
    default = "room-mix" if "room-mix" in names else (names[0] if names else None)
    (out / "master.m3u8").write_text(master_playlist(copied.tracks, default), encoding="utf-8")


def sign(record: Path, out: Path, story: Story, choice: Choice, reader: Reader | None, copied: Copied, arguments: Sequence[str]) -> None:
    """Name the source, list the files, and sign the list as the recipient (a ``clear`` record's copy has no signer)."""
    sums = record / layout.SUMS
    derivative = {
        "type": "courtroom-copy/1",
        "source": {"record": story.genesis.record, "sha256sums_sha256": file_sha256(sums) if sums.exists() else None},
        "hearing": story.genesis.hearing,
        "tool": {"name": "courtroom copy", "version": version("courtroom-agent"), "arguments": list(arguments)},
        "choice": {"tracks": sorted(choice.tracks), "from_us": choice.from_us, "to_us": choice.to_us, "max_level": choice.max_level},
        "left_out": copied.left_out,
        "damaged": copied.damaged,
        "by": reader.certificate.subject.rfc4514_string() if reader else None,
    }
    (out / "derivative.json").write_bytes(canonical.encode(derivative) + b"\n")
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.name != layout.SUMS)
    listed = "".join(f"{file_sha256(out / name)}  {name}\n" for name in files).encode()
    (out / layout.SUMS).write_bytes(listed)
    if reader is not None:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(listed).add_signer(reader.certificate, reader.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        (out / layout.SUMS_SIGNATURE).write_bytes(builder.sign(serialization.Encoding.DER, options))


def _keys(record: Path, track: _Track, choice: Choice, reader: Reader | None, copied: Copied) -> dict[int, bytes | None]:
    """The content key of every part that may be copied; a part that may not is listed."""
    keys: dict[int, bytes | None] = {}
    for number, init in sorted(track.inits.items()):
        if LEVELS.index(init.level) > LEVELS.index(choice.max_level):
            copied.left_out.append({"track": track.name, "part": number, "level": init.level})
            continue
        if init.key is None:
            keys[number] = None
            continue
        if reader is None:
            raise CopyError("the record is encrypted: give a recipient's key by --key")
        try:
            wrapped = media_keys.unwrap((record / init.key).read_bytes(), reader.certificate, reader.key)
        except OSError as error:
            copied.damaged.append(f"{init.key}: {error.strerror}")
            continue
        except media_keys.MediaKeyError as error:
            names = ", ".join(recipient.name for recipient in story_recipients(record))
            raise CopyError(f"this key does not open the record; it was encrypted to: {names}") from error
        if (wrapped.record, wrapped.track, wrapped.part) != (_record_id(record), track.name, number):
            copied.damaged.append(f"{init.key}: is the key of another part")
            continue
        keys[number] = bytes.fromhex(wrapped.key)
    return keys


def story_recipients(record: Path) -> list[entries.Recipient]:
    """To whom the record's media is encrypted."""
    return next((entry.recipients for _, entry in read_journal(record) if isinstance(entry, entries.Genesis)), [])


def _record_id(record: Path) -> str:
    return next((entry.record for _, entry in read_journal(record) if isinstance(entry, entries.Genesis)), "")


def _copy_segment(
    record: Path,
    out: Path,
    story: Story,
    track: _Track,
    segment: _Segment,
    choice: Choice,
    keys: dict[int, bytes | None],
    copied: Copied,
    progress: Callable[[int], None],
) -> PlaylistSegment | None:
    """Check, decrypt and write one segment; None where it is not chosen, or damaged."""
    init = track.inits.get(segment.part)
    if init is None or segment.part not in keys or not segment.frags:
        return None
    start_us = segment.frags[0].t0 * 1_000_000 // init.timescale
    end_us = (segment.frags[-1].t0 + segment.frags[-1].dur) * 1_000_000 // init.timescale
    if end_us <= choice.from_us or (choice.to_us is not None and start_us >= choice.to_us):
        return None
    path = layout.segment_file(track.name, segment.number)
    key = keys[segment.part]
    pieces = []
    with (record / path).open("rb") as file:
        for frag in segment.frags:
            file.seek(frag.off)
            data = file.read(frag.len)
            progress(frag.len)
            if hashlib.sha256(data).hexdigest() != frag.sha256:
                copied.damaged.append(f"{path}, bytes {frag.off} to {frag.off + frag.len}: not what was recorded; left out")
                continue
            try:
                pieces.append(data if key is None else clear_fragment(data, key))
            except CencError as error:
                copied.damaged.append(f"{path}, bytes {frag.off} to {frag.off + frag.len}: {error}")
    header = _copy_header(record, out, init, key, copied)
    if not pieces or header is None:
        return None
    target = out / path
    target.write_bytes(b"".join(pieces))
    return PlaylistSegment(path, header, start_us, end_us - start_us, story.utc_of_zero_us + start_us)


def _copy_header(record: Path, out: Path, init: entries.Init, key: bytes | None, copied: Copied) -> str | None:
    target = out / init.file
    if target.exists():
        return init.file
    data = (record / init.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != init.sha256:
        copied.damaged.append(f"{init.file}: not what was recorded; its part is left out")
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data if key is None else clear_header(data))
    return init.file


def _describe(out: Path, track: _Track, segments: list[PlaylistSegment], playlist: str) -> PlaylistTrack:
    init = next(iter(track.inits.values()))
    size = sum((out / segment.file).stat().st_size for segment in segments)
    length_us = sum(segment.dur_us for segment in segments) or 1
    codecs = _avc(out / segments[0].header) if init.codec == "h264" else _CODECS.get(init.codec, init.codec)
    return PlaylistTrack(init.track, init.label, init.kind, playlist, codecs, size * 8_000_000 // length_us, init.width, init.height)


def _avc(header: Path) -> str:
    """RFC 6381 name of an H.264 track, from its avcC box (profile, constraints, level)."""
    data = header.read_bytes()
    at = data.find(b"avcC")
    return f"avc1.{data[at + 5 : at + 8].hex()}" if at > 0 else "avc1.64001f"


def _vtt(t_us: int) -> str:
    milliseconds = t_us // 1000
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}"
