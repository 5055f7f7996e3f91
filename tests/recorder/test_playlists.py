"""A copy's playlists say of its media what RFC 8216 wants said, though devices and clocks changed in the record's course."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.children.fmp4 import box
from recorder.codec_name import codec_name
from recorder.copy_files import write_master
from recorder.playlist import PlaylistTrack, master_playlist, peak_bits_per_s
from recorder.readable import Choice, copy_media, read_story
from recorder.record import entries, layout
from recorder.record.entries import Entry
from recorder.record.journal import Chain, Times
from recorder.utc_map import UtcMap
from tests.record.boxed_media import boxed

BEGUN_UTC_US = 1_767_225_600_000_000  # 2026-01-01
SECOND_US = 1_000_000


def avc(profile: str, entry: bytes = b"avc1") -> bytes:
    """As much of a header as names an H.264 track."""
    return box(b"ftyp", b"iso6") + box(entry, bytes(78), box(b"avcC", b"\x01" + bytes.fromhex(profile)))


def hevc(profile: int, compatible: str, constraints: str, level: int, entry: bytes = b"hvc1") -> bytes:
    said = bytes([1, profile]) + bytes.fromhex(compatible) + bytes.fromhex(constraints) + bytes([level])
    return box(entry, bytes(78), box(b"hvcC", said))


@dataclass
class ClearRecord:
    """A record in the clear, of parts of one segment and one fragment, a second long."""

    root: Path
    utc_us: int = BEGUN_UTC_US
    t_us: int = 0
    chain: Chain = field(default_factory=Chain)
    parts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir()
        zeros = "0" * 64
        clock = entries.ClockState(source="kernel", stratum=2, offset_us=0, error_us=1000)
        self.put(
            entries.Genesis(
                record="r", hearing="h", case="c", title="t", court="c", room="r", actor="a", start_token="", previous_head=zeros,
                device_certificate_sha256=zeros, boot="b", agent_version="1", config_sha256=zeros, origin_mono_us=0, clock=clock,
                sources=[], recipients=[], media="clear",
            )
        )  # fmt: skip

    def put(self, entry: Entry) -> None:
        with (self.root / layout.JOURNAL).open("ab") as file:
            file.write(self.chain.line(entry, Times(self.t_us, self.utc_us, self.t_us)))

    def store(self, path: str, data: bytes) -> tuple[int, str]:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)
        return len(data), hashlib.sha256(data).hexdigest()

    def part(self, track: str, kind: entries.TrackKind, codec: str, header: bytes, width: int = 0, height: int = 0) -> None:
        number = self.parts[track] = self.parts.get(track, -1) + 1
        path = layout.init_file(track, number)
        size, digest = self.store(path, header)
        self.put(
            entries.Init(
                track=track, part=number, file=path, len=size, sha256=digest, kind=kind, codec=codec, timescale=1000, width=width,
                height=height, label="",
            )
        )  # fmt: skip
        at = self.t_us // 1000
        path = layout.segment_file(track, number)
        size, digest = self.store(path, boxed(at, 1000, b"media"))
        self.t_us, self.utc_us = self.t_us + SECOND_US, self.utc_us + SECOND_US
        self.put(entries.Frag(track=track, part=number, seg=number, n=number, off=0, len=size, sha256=digest, t0=at, dur=1000))
        self.put(entries.Segment(track=track, seg=number, file=path, len=size, sha256=digest))

    def copied(self, out: Path) -> Path:
        out.mkdir()
        story = read_story(self.root)
        for track in story.tracks:
            (out / "tracks" / track).mkdir(parents=True)
        write_master(out, copy_media(self.root, out, story, Choice(), None, lambda _: None))
        return out


def test_the_master_names_all_formats_that_its_tracks_had_and_the_largest_picture(tmp_path: Path) -> None:
    record = ClearRecord(tmp_path / "record")
    record.part("cam", "video", "h264", avc("64001f"), 1280, 720)
    record.part("cam", "video", "hevc", hevc(1, "60000000", "900000000000", 150), 3840, 2160)
    record.part("cam", "video", "h264", avc("64001f"), 640, 360)
    record.part("judge", "audio", "flac", b"header")
    record.part("room-mix", "audio", "opus", b"header")
    master = (record.copied(tmp_path / "out") / "master.m3u8").read_text()
    assert re.findall(r'RESOLUTION=([0-9x]+),CODECS="([^"]+)"', master) == [("3840x2160", "avc1.64001f,hvc1.1.6.L150.90,fLaC,Opus")]


@pytest.mark.parametrize("after", ["a step of the clock", "nobody knows how long"])
def test_each_segment_says_its_time_by_the_clock_that_the_record_had_then(tmp_path: Path, after: str) -> None:
    record = ClearRecord(tmp_path / "record")
    record.part("judge", "audio", "flac", b"header")
    record.utc_us += 3600 * SECOND_US
    if after == "a step of the clock":
        record.put(entries.ClockStep(delta_us=3600 * SECOND_US))
    else:
        record.put(
            entries.Recovered(
                last=record.chain.head.at, boot="c", same_boot=False, torn=[], damaged=[], from_us=record.t_us, to_us=None, origin_mono_us=0
            )
        )
    record.part("judge", "audio", "flac", b"header")
    playlist = (record.copied(tmp_path / "out") / "tracks/judge/playlist.m3u8").read_text()
    assert re.findall("PROGRAM-DATE-TIME:(.*)", playlist) == ["2026-01-01T00:00:00.000Z", "2026-01-01T01:00:01.000Z"]


def test_lines_that_stand_in_another_order_than_that_of_their_times_turn_no_clock_back() -> None:
    known = UtcMap()
    for t_us, utc_us in ((0, 100), (5_000_000, 9_000_000), (4_000_000, 4_000_100), (6_000_000, 10_050_000)):
        known.take(t_us, utc_us)
    assert [known.utc_us(at) for at in (-1, 0, 4_999_999, 5_000_000, 7_000_000)] == [99, 100, 5_000_099, 9_000_000, 11_000_000]


@pytest.mark.parametrize(
    ("header", "codec", "name"),
    [
        (avc("4d0028"), "h264", "avc1.4d0028"),
        (avc("42e01f", b"avc3"), "avc3", "avc3.42e01f"),
        (hevc(1, "60000000", "b00000000000", 93), "hevc", "hvc1.1.6.L93.B0"),
        (hevc(2, "20000000", "b00000000000", 153), "hevc", "hvc1.2.4.L153.B0"),
        (hevc(0x21, "60000000", "900000000001", 120, b"hev1"), "hevc", "hev1.1.6.H120.90.0.0.0.0.1"),
        (hevc(0x41, "60000000", "000000000000", 30), "hevc", "hvc1.A1.6.L30"),
        (b"header", "flac", "fLaC"),
        (b"header", "opus", "Opus"),
    ],
)
def test_a_header_s_media_have_the_name_of_rfc_6381(header: bytes, codec: str, name: str) -> None:
    assert codec_name(header, codec) == name


def test_every_sound_counts_for_a_variant_and_none_has_another_s_name() -> None:
    sounds = [
        PlaylistTrack("mic-1", "Judge", "audio", "tracks/mic-1/playlist.m3u8", ("fLaC",), 700_000),
        PlaylistTrack("mic-2", "Judge", "audio", "tracks/mic-2/playlist.m3u8", ("fLaC",), 800_000),
        PlaylistTrack("room-mix", "", "audio", "tracks/room-mix/playlist.m3u8", ("Opus",), 60_000),
    ]
    camera = PlaylistTrack("cam", "", "video", "tracks/cam/playlist.m3u8", ("avc1.64001f",), 4_000_000, 1280, 720)
    shown = master_playlist([camera, *sounds], "room-mix")
    assert re.findall('NAME="([^"]*)"', shown) == ["Judge (mic-1)", "Judge (mic-2)", "room-mix"]
    assert '#EXT-X-STREAM-INF:BANDWIDTH=4800000,RESOLUTION=1280x720,CODECS="avc1.64001f,fLaC,Opus",AUDIO="sound"' in shown.splitlines()
    heard = master_playlist(sounds, "room-mix")
    assert '#EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS="Opus,fLaC",AUDIO="sound"' in heard.splitlines()


@pytest.mark.parametrize(
    ("segments", "bits_per_s"),
    [
        ([], 0),
        ([(1_000_000, 60_000_000)], 133_333),
        ([(600_000, 60_000_000), (1_200_000, 60_000_000), (600_000, 60_000_000)], 160_000),
        ([(600_000, 60_000_000), (1_000_000, 1_000_000)], 209_836),  # one that lasts less than half a target counts with its neighbour
        ([(50_000, 400_000)], 1_000_000),
    ],
)
def test_the_bandwidth_is_the_peak_of_what_is_as_long_as_a_segment(segments: list[tuple[int, int]], bits_per_s: int) -> None:
    assert peak_bits_per_s(segments) == bits_per_s
