"""The readable copy of a record, for whoever holds a recipient's key: a new object that names its source, never the record itself.

Media is decrypted byte for byte (``cenc.py``), fragment by fragment, each checked against the journal's hash first. What is of a higher
level than asked for, by the journal and the orders in force, is left out and listed (``fragment_choice.py``). What stands beside the media
in a copy is made by ``copy_files.py``.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from recorder.cenc import CencError, clear_fragment, clear_header
from recorder.codec_name import codec_name
from recorder.copy_story import CopyError, Segment, Story, Track, read_story, total_bytes
from recorder.fragment_choice import Candidate, LeftOut, add, highest_of_groups, overlapping
from recorder.fragment_look import look
from recorder.part_keys import KeyDamagedError, NotAddressedError, open_key
from recorder.playlist import PlaylistSegment, PlaylistTrack, media_playlist, peak_bits_per_s
from recorder.record import entries, layout
from recorder.record.entries import Level
from recorder.record.file_check import open_inside
from recorder.record.levels import LEVELS, rank

__all__ = [
    "LEVELS",
    "Choice",
    "Copied",
    "CopyError",
    "Reader",
    "Story",
    "copy_media",
    "load_reader",
    "read_story",
    "total_bytes",
]

_FIT_US = 100_000
"""By how much a sample's time, fitted to its device's clock, may lie behind the moment at which the recorder cut a part for a ``level``
entry: what the cut kept in the part of the lower level is not left out for that."""
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Reader:
    """The recipient who makes the copy."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a record to copy: tracks (empty: all), session time, and the highest level.

    A fragment of sound, or a group of pictures, that has a moment of that time is copied whole.
    """

    tracks: frozenset[str] = frozenset()
    from_us: int = 0
    to_us: int | None = None
    max_level: Level = "closed"


@dataclass(slots=True)
class Copied:
    """What was copied: playlists by track, what was left out, and what was damaged."""

    tracks: list[PlaylistTrack] = field(default_factory=list)
    segments: dict[str, list[PlaylistSegment]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes_left_out: int = 0
    reasons_left_out: int = 0
    """Of how many intervals that were not recorded the words are of too high a level."""
    damaged: list[str] = field(default_factory=list)
    film_first_us: int = 0
    """Session time at which the one-file film begins."""
    film_without: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of session time whose pictures the one-file film cannot show, but the track's playlist."""


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
        what = "key by --key" if error.filename == str(key) else "certificate by --cert"
        raise CopyError(f"cannot read {error.filename}: {error.strerror}; name the recipient's {what}") from error
    except (ValueError, TypeError) as error:
        raise CopyError(f"{key} or {certificate} is no PEM key and certificate: {error}") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise CopyError(f"{key} is no RSA key; recipients have RSA keys")
    if private.public_key() != public.public_key():
        raise CopyError(f"{key} does not belong to {certificate}; name its certificate by --cert")
    return Reader(private, public)


def copy_media(record: Path, out: Path, story: Story, choice: Choice, reader: Reader | None, progress: Callable[[int], None]) -> Copied:
    """Decrypt what is chosen into ``out``, which exists and is empty; ``progress`` is told the bytes of each fragment.

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
        made = _TrackCopy(record, out, story, track, choice, reader, copied, progress).segments()
        if not made:
            continue
        copied.segments[name] = made
        playlist = f"tracks/{name}/playlist.m3u8"
        local = [PlaylistSegment(Path(s.file).name, Path(s.header).name, s.t_us, s.dur_us, s.utc_us) for s in made]
        (out / playlist).write_text(media_playlist(local), encoding="utf-8")
        copied.tracks.append(_describe(out, track, made, playlist))
    if not copied.tracks and any(one.because == "key" for one in copied.left_out):
        names = ", ".join(recipient.name for recipient in story.genesis.recipients)
        raise CopyError(f"this key does not open the record, or nothing of this choice; it was encrypted to: {names}")
    if not copied.tracks and copied.damaged:
        raise CopyError("\n".join(["nothing of the record could be copied:", *copied.damaged[:_SHOWN]]))
    if not copied.tracks:
        raise CopyError("nothing of the record is of this choice of tracks, time and level")
    return copied


@dataclass(slots=True)
class _Fragment:
    """A fragment as it is looked at: its bytes, or None where they are not what was recorded."""

    frag: entries.Frag
    data: bytes | None
    candidate: Candidate


@dataclass(slots=True)
class _TrackCopy:
    """The copy of one track."""

    record: Path
    out: Path
    story: Story
    track: Track
    choice: Choice
    reader: Reader | None
    copied: Copied
    progress: Callable[[int], None]
    keys: dict[int, bytes | None] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def segments(self) -> list[PlaylistSegment]:
        """Copy the chosen segments; each unbroken run of fragments that may be copied is one file."""
        made = []
        for _, segment in sorted(self.track.segments.items()):
            init = self.track.inits.get(segment.part)
            if init is None or not segment.frags or not self._is_chosen(init, segment):
                continue
            for number, run in enumerate(self._runs(init, segment), 1):
                done = self._write(init, segment, run, number)
                if done is not None:
                    made.append(done)
        self.copied.left_out += self.left_out
        return made

    def _is_chosen(self, init: entries.Init, segment: Segment) -> bool:
        start_us = segment.frags[0].t0 * 1_000_000 // init.timescale
        end_us = (segment.frags[-1].t0 + segment.frags[-1].dur) * 1_000_000 // init.timescale
        return end_us > self.choice.from_us and (self.choice.to_us is None or start_us < self.choice.to_us)

    def _runs(self, init: entries.Init, segment: Segment) -> list[list[_Fragment]]:
        """The runs of fragments that were chosen and the level allows; what it does not is noted as left out."""
        fragments = self._read(init, segment)
        runs: list[list[_Fragment]] = []
        open_run = False
        candidates = [fragment.candidate for fragment in fragments]
        judged = highest_of_groups(candidates, init.kind)
        chosen = overlapping(candidates, init.kind, self.choice.from_us, self.choice.to_us)
        for fragment, level, is_chosen in zip(fragments, judged, chosen, strict=True):
            because = self._refusal(init, level) if is_chosen else ""
            if because is not None:
                at = fragment.candidate
                if because:
                    add(self.left_out, LeftOut(self.track.name, segment.part, at.from_us, at.to_us, level, because))
                open_run = False
                continue
            if not open_run:
                runs.append([])
            runs[-1].append(fragment)
            open_run = True
        return runs

    def _refusal(self, init: entries.Init, level: Level) -> str | None:
        """Why a fragment of this level is left out, or None; empty where its part is damaged, which is told elsewhere."""
        if rank(level) > rank(self.choice.max_level):
            return "level"
        if init.part not in self.keys:
            try:
                self.keys[init.part] = self._key(init)
            except NotAddressedError:
                return "key"
            except KeyDamagedError as error:
                if str(error) not in self.copied.damaged:
                    self.copied.damaged.append(str(error))
                return ""
        return None

    def _key(self, init: entries.Init) -> bytes | None:
        if init.key is None:
            return None
        if self.reader is None:
            raise CopyError("the record is encrypted: give a recipient's key by --key")
        part = self.story.levels.parts[init.track, init.part]
        orders = [given.order for given in self.story.orders]
        uuid = self.story.genesis.record
        return bytes.fromhex(open_key(self.record, uuid, part, orders, self.reader.certificate, self.reader.key).key)

    def _read(self, init: entries.Init, segment: Segment) -> list[_Fragment]:
        path = layout.segment_file(self.track.name, segment.number)
        found: list[_Fragment] = []
        try:
            file = open_inside(self.record, path)
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            self.copied.damaged.append(f"{path}: {_why(error)}; left out")
            return found
        with file:
            for frag in segment.frags:
                data = self._bytes(file, size, path, frag)
                self.progress(frag.len)
                first, last, end, key = 0, frag.dur, frag.dur, False
                try:
                    if data is not None:
                        seen = look(data)
                        first, last, end, key = min(0, seen.first), seen.last, max(frag.dur, seen.end), seen.key
                except CencError as error:
                    self._damage(path, frag, str(error))
                    data = None
                from_us = max(0, (frag.t0 + first) * 1_000_000 // init.timescale)
                to_us = -(-(frag.t0 + end) * 1_000_000 // init.timescale)
                begun_us = max(from_us, (frag.t0 + last) * 1_000_000 // init.timescale - _FIT_US)
                level = self.story.levels.highest(self.track.name, segment.part, from_us, to_us, begun_us)
                found.append(_Fragment(frag, data, Candidate(from_us, to_us, key, level)))
        return found

    def _bytes(self, file: BinaryIO, size: int, path: str, frag: entries.Frag) -> bytes | None:
        """A fragment's bytes, or None where they are not what was recorded."""
        data = None
        try:
            if frag.off + frag.len <= size:
                file.seek(frag.off)
                data = file.read(frag.len)
        except OSError as error:
            self._damage(path, frag, f"{_why(error)}; left out")
            return None
        if data is None or hashlib.sha256(data).hexdigest() != frag.sha256:
            self._damage(path, frag, "not what was recorded; left out")
            return None
        return data

    def _write(self, init: entries.Init, segment: Segment, run: list[_Fragment], number: int) -> PlaylistSegment | None:
        """Decrypt and write one run; None where nothing of it is whole."""
        path = layout.segment_file(self.track.name, segment.number)
        target = path if number == 1 else path.replace(".m4s", f"-{number}.m4s")
        key = self.keys[segment.part]
        pieces = []
        for fragment in run:
            if fragment.data is None:
                continue
            try:
                pieces.append(fragment.data if key is None else clear_fragment(fragment.data, key))
            except CencError as error:
                self._damage(path, fragment.frag, str(error))
        header = self._header(init, key) if pieces else None
        if header is None:
            return None
        (self.out / target).write_bytes(b"".join(pieces))
        start_us = run[0].frag.t0 * 1_000_000 // init.timescale
        end_us = (run[-1].frag.t0 + run[-1].frag.dur) * 1_000_000 // init.timescale
        return PlaylistSegment(target, header, start_us, end_us - start_us, self.story.utc.utc_us(start_us))

    def _header(self, init: entries.Init, key: bytes | None) -> str | None:
        target = self.out / init.file
        if target.exists():
            return init.file
        try:
            with open_inside(self.record, init.file) as file:
                data = file.read(init.len + 1)
            if len(data) != init.len or hashlib.sha256(data).hexdigest() != init.sha256:
                self._leave_part(f"{init.file}: not what was recorded")
                return None
            clear = data if key is None else clear_header(data)
        except OSError as error:
            self._leave_part(f"{init.file}: {_why(error)}")
            return None
        except CencError as error:
            self._leave_part(f"{init.file}: {error}")
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(clear)
        return init.file

    def _leave_part(self, text: str) -> None:
        if f"{text}; its part is left out" not in self.copied.damaged:
            self.copied.damaged.append(f"{text}; its part is left out")

    def _damage(self, path: str, frag: entries.Frag, text: str) -> None:
        self.copied.damaged.append(f"{path}, bytes {frag.off} to {frag.off + frag.len}: {text}")


def _why(error: OSError) -> str:
    return "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def _describe(out: Path, track: Track, segments: list[PlaylistSegment], playlist: str) -> PlaylistTrack:
    """Of all parts that were copied: a device may have changed its format."""
    of_header = {init.file: init for init in track.inits.values()}
    parts = {header: of_header[header] for header in dict.fromkeys(segment.header for segment in segments)}
    codecs = dict.fromkeys(codec_name((out / header).read_bytes(), init.codec) for header, init in parts.items())
    largest = max(parts.values(), key=lambda init: init.width * init.height)
    first = next(iter(parts.values()))
    sizes = [((out / segment.file).stat().st_size, segment.dur_us) for segment in segments]
    return PlaylistTrack(
        track.name, first.label, first.kind, playlist, tuple(codecs), peak_bits_per_s(sizes), largest.width, largest.height
    )
