"""The watch as a process: what it decodes itself, what it has decoded, and what it says meanwhile."""

import io
import os
import signal
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from recorder.children.decoder_link import DecoderLink, Question
from recorder.contract import child
from tests.children.linked import Linked, linked, wait_for

PICTURES = 100
TIMESCALE = 12_800
BLACK, GRADIENT = 16, 120


def black(shade: int = BLACK) -> bytes:
    """Four seconds of one shade of grey, a keyframe each second, in fragments."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"g": "25"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for n in range(PICTURES):
            frame = av.VideoFrame.from_ndarray(np.full((270, 320), shade, np.uint8), "yuv420p")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def split(stream: bytes) -> tuple[bytes, bytes]:
    at = stream.index(b"moof") - 4
    return stream[:at], stream[at:]


class Watched:
    """A record's folder, and a watch that is told of what lies in it."""

    def __init__(self, base: Path, process: Linked) -> None:
        self.record = base / "record"
        self.process = process
        self.begun: dict[str, int] = {}

    def give(self, track: str, stream: bytes) -> None:
        header, media = split(stream)
        folder = self.record / "tracks" / track
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "init-00.mp4").write_bytes(header)
        segment = folder / "seg-000000.m4s"
        segment.write_bytes(media)
        self.process.tell(
            child.WatchPart(
                track=track, kind="video", part=0, init_path=str(folder / "init-00.mp4"), timescale=TIMESCALE, key=None
            )
        )  # fmt: skip
        dur = PICTURES * TIMESCALE // 25
        self.process.tell(child.WatchCommitted(track=track, part=0, path=str(segment), off=0, len=len(media), t0=0, dur=dur))

    def told(self, track: str, code: str) -> list[child.Finding]:
        return [message for message in self.process.all(child.Finding) if (message.track, message.code) == (track, code)]

    def decoders(self) -> list[int]:
        """The processes of the watch."""
        pids = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for listed in pids for pid in listed.read_text(encoding="ascii").split()]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with linked("recorder.children.watch", {"id": "watch", "alarm_s": 8}, tmp_path) as process:
        process.first(child.Opened, 30)
        yield Watched(tmp_path, process)


def test_a_participant_s_media_is_decoded_where_no_file_no_socket_and_no_key_of_the_room_is(watched: Watched) -> None:
    watched.give("cam", black())
    wait_for(lambda: watched.told("cam", "black"), "the room's own camera", 20)
    assert not watched.decoders(), "the room's own devices need none"
    watched.give("remote-p", black())
    [found] = wait_for(lambda: watched.told("remote-p", "black"), "the participant's black picture", 30)
    assert found.on
    [decoder] = watched.decoders()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{decoder}/status").read_text(encoding="utf-8").splitlines())
    assert status["Seccomp"].strip() == "2"
    assert status["NoNewPrivs"].strip() == "1"
    assert {int(entry.name) for entry in Path(f"/proc/{decoder}/fd").iterdir()} <= {0, 1, 2, child.LINK_FD}


def test_what_crashes_the_decoder_costs_the_room_nothing(watched: Watched) -> None:
    watched.give("remote-p", black())
    wait_for(lambda: watched.told("remote-p", "black"), "the decoder", 30)
    [decoder] = watched.decoders()
    os.kill(decoder, signal.SIGSTOP)  # as it hangs on what a participant sent
    watched.give("remote-q", black())
    watched.give("cam", black())
    wait_for(lambda: watched.told("cam", "black"), "the room's own camera", 20)
    [found] = wait_for(lambda: watched.told("remote-q", "unreadable"), "the stretch that its decoder hung on", 30)
    assert "crashed, or hung" in found.detail
    assert len(found.detail) < 400


def test_bytes_that_are_no_media_are_told_and_the_next_ones_are_judged(watched: Watched) -> None:
    watched.give("remote-p", bytes(range(256)) * 64 + b"\0\0\0\x08moof")
    [found] = wait_for(lambda: watched.told("remote-p", "unreadable"), "the nonsense", 30)
    assert found.on
    watched.give("remote-q", black())
    wait_for(lambda: watched.told("remote-q", "black"), "the next participant", 20)


def test_times_of_a_participant_that_no_clock_has_are_no_alarm_of_the_room(watched: Watched) -> None:
    watched.give("cam", black(GRADIENT))
    watched.give("remote-p", black(GRADIENT))
    folder = watched.record / "tracks" / "remote-p"
    far = child.WatchCommitted(
        track="remote-p", part=0, path=str(folder / "seg-000000.m4s"), off=0, len=100, t0=child.MAX_INTEGER, dur=1
    )  # fmt: skip
    watched.process.tell(far)
    judged = len(watched.process.all(child.Judged))
    wait_for(lambda: len(watched.process.all(child.Judged)) > judged + 2, "the watch's next rounds", 20)
    assert not watched.told("cam", "late")


def test_the_watch_tells_how_far_the_room_s_tracks_are_judged_and_nothing_while_it_hangs(watched: Watched) -> None:
    watched.give("cam", black(GRADIENT))
    wait_for(lambda: any(said.until_us.get("cam") == 4_000_000 for said in watched.process.all(child.Judged)), "the camera judged", 20)
    assert not any("remote-p" in said.until_us for said in watched.process.all(child.Judged))
    os.kill(watched.process.pid, signal.SIGSTOP)
    try:
        state = Path(f"/proc/{watched.process.pid}/stat")
        wait_for(lambda: state.read_text(encoding="ascii").split()[2] == "T", "the stop")
        said = len(watched.process.said)
        end = time.monotonic() + 1.5
        wait_for(lambda: len(watched.process.said) > said or time.monotonic() > end, "silence")
        assert len(watched.process.said) <= said + 1
    finally:
        os.kill(watched.process.pid, signal.SIGCONT)


def test_after_a_decoder_that_died_none_is_started_for_a_while() -> None:
    link = DecoderLink(rest_s=3600)
    header, media = split(black())

    def ask() -> None:
        assert link.ask(Question("r", "remote-p", 0, "video", None, header, 1, lambda: media))

    ask()
    [(_, first)] = wait_for(link.answers, "the first answer", 30)
    assert first is not None
    assert first.values is not None
    assert len(first.values.pictures) == PICTURES // 25
    assert link.pid is not None
    os.kill(link.pid, signal.SIGKILL)
    ask()
    [(_, died)] = wait_for(link.answers, "the answer for one that died")
    assert died is not None
    assert died.values is None
    ask()
    [(_, passed_over)] = wait_for(link.answers, "the answer while it rests")
    assert passed_over is None
    assert link.pid is None
