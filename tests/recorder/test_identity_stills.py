"""Stills of an identity check in the record of a real recorder: whoever may open level ``identity`` sees them, and no copy has them."""

import io
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from av.error import FFmpegError

from provisioning.keys import KeyFiles, make
from recorder.contract import child, control, ingest
from recorder.contract.framing import pack
from recorder.media_keys import MediaKeyError
from recorder.participants import Participants
from recorder.record import entries, layout
from recorder.room_view import RoomView
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.participants import pictures
from tests.lab.room import Room, room
from tests.recorder.running_session import Session
from tests.recorder.test_level_copies import courtroom

pytestmark = pytest.mark.timeout(180)
TRACK = "remote-p1-identity"


@dataclass(frozen=True)
class Checked:
    """A sealed record of an open hearing in which one still was taken."""

    room: Room
    clerk: KeyFiles
    """May open all but identity."""
    record: Path
    still: bytes


def take(it: Room, still: bytes) -> None:
    """What vks says to ingest: the track, and one access unit."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(it.run_dir / "ingest.sock"))
        start = ingest.TrackStart(track="p1-identity", kind="video", codec="h264", label="P. One (party)", level="identity")
        sock.sendall(pack(ingest.encoder.encode(start)))
        assert sock.recv(65_536), "the record asks for the picture"
        head = ingest.MediaPacket(track="p1-identity", mono_us=time.monotonic_ns() // 1_000, dur_us=40_000, key=True)
        sock.sendall(pack(ingest.encoder.encode(head), still))
        it.wait(lambda status: any(c.track == TRACK and c.written_us for c in status.channels), "the still on the disk")
        sock.sendall(pack(ingest.encoder.encode(ingest.TrackStop(track="p1-identity", cause="taken"))))
        it.wait(lambda status: TRACK not in {c.track for c in status.channels}, "the track's end")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    base = tmp_path_factory.mktemp("identity")
    clerk, still = make(base / "clerk", "clerk"), pictures()[0]
    extra = (
        f'[ingest]\nenabled = true\n[[recipient]]\nname = "clerk"\ncertificate = "{clerk.court}"\nlevels = ["open", "closed", "secret"]\n'
    )
    with room(base / "room", extra=extra) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        take(it, still)
        it.recorded(1)
        it.stop()
        yield Checked(it, clerk, record, still)


def levels(record: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, entry in read_journal(record):
        if isinstance(entry, entries.Init):
            found.setdefault(entry.track, set()).add(entry.level)
    return found


@pytest.mark.lab
def test_the_still_alone_is_identity_and_the_session_stays_what_it_was(checked: Checked) -> None:
    found = levels(checked.record)
    assert found.pop(TRACK) == {"identity"}
    assert set().union(*found.values()) == {"open"}
    assert not [entry for _, entry in read_journal(checked.record) if isinstance(entry, entries.LevelChange)]
    told = [entry.data for _, entry in read_journal(checked.record) if isinstance(entry, entries.Event) and entry.name == "track_opened"]
    assert told == [{"kind": "video", "label": "P. One (party)", "level": "identity"}]
    assert checked.room.verify(checked.record).returncode == 0


@pytest.mark.lab
def test_who_may_open_identity_sees_the_still_as_it_came_and_nobody_else_does(checked: Checked) -> None:
    keys = checked.room.keys
    (part,) = readback.parts(checked.record, TRACK, keys.court_key, keys.court)
    assert part.key is not None
    with av.open(io.BytesIO(part.data), "r", format="mp4", options={"decryption_key": part.key}) as file:
        (stored,) = file.decode(video=0)
    decoder = av.CodecContext.create("h264", "r")
    (sent,) = [*decoder.decode(av.Packet(checked.still)), *decoder.decode(None)]
    assert stored.to_ndarray(format="gray").tolist() == sent.to_ndarray(format="gray").tolist()
    with pytest.raises(MediaKeyError):
        readback.parts(checked.record, TRACK, checked.clerk.court_key, checked.clerk.court)
    assert readback.parts(checked.record, "cam", checked.clerk.court_key, checked.clerk.court), "what is open opens to the clerk"
    assert not decodes_to(part.data, stored), "without its key"


def decodes_to(data: bytes, picture: av.VideoFrame) -> bool:
    try:
        with av.open(io.BytesIO(data), "r", format="mp4") as file:
            found = list(file.decode(video=0))
    except FFmpegError:
        return False
    return any(one.to_ndarray(format="gray").tolist() == picture.to_ndarray(format="gray").tolist() for one in found)


ASKED = [(), ("--max-level", "secret"), ("--max-level", "secret", "--track", TRACK, "--track", "cam")]


@pytest.mark.lab
@pytest.mark.parametrize("options", ASKED)
def test_no_copy_has_it_whatever_is_asked(checked: Checked, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = courtroom("copy", str(checked.record), str(tmp_path / "c"), "--key", str(checked.room.keys.court_key), *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c/tracks/cam").is_dir()
    assert not (tmp_path / "c/tracks" / TRACK).exists()
    left_out = json.loads((tmp_path / "c/derivative.json").read_text())["left_out"]
    assert [(one["track"], one["level"]) for one in left_out] == [(TRACK, "identity")]
    assert courtroom("copy", str(checked.record), str(tmp_path / "i"), "--max-level", "identity").returncode != 0


@pytest.mark.lab
def test_an_order_about_the_whole_hearing_takes_no_key_to_stills_and_uncovers_none(checked: Checked, tmp_path: Path) -> None:
    usual = ["--actor", "Judge", "--order", "No 7"]
    by_clerk, by_court = (["--key", str(key)] for key in (checked.clerk.court_key, checked.room.keys.court_key))
    for who, level in ((by_clerk, "secret"), (by_court, "open")):
        given = courtroom("level", str(checked.record), *usual, "--level", level, *who)
        assert given.returncode == 0, given.stderr
    refused = courtroom("level", str(checked.record), *usual, "--level", "open", "--track", TRACK, *by_court)
    assert refused.returncode != 0
    assert "no order speaks" in refused.stderr
    done = courtroom("copy", str(checked.record), str(tmp_path / "c"), "--max-level", "secret", *by_court)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "c/tracks" / TRACK).exists()
    assert (tmp_path / "c/tracks/cam").is_dir()
    assert checked.room.verify(checked.record).returncode == 0


def opened(level: str | None) -> child.TrackOpened:
    return child.TrackOpened(track=TRACK, kind="video", label="", level=level)  # type: ignore[arg-type]


def begun(session: Session) -> list[str]:
    return [part.level for (track, _), part in session.running.parts.items() if track == TRACK]


def test_a_participants_track_can_be_raised_by_whoever_brings_it_and_never_lowered(tmp_path: Path) -> None:
    session, participants = Session(tmp_path), Participants(RoomView(), lambda: 1)
    session.writer.record(1)
    for level, state in (("identity", "open"), (None, "open"), (None, "secret")):
        session.running.level = state  # type: ignore[assignment]
        participants.opened(opened(level), "ingest", session.running)
        participants.closed(child.TrackClosed(track=TRACK, cause="left", detail=""), session.running)
    assert begun(session) == ["identity"] * 3
    session.running.add_tracks("ingest", {"remote-p2-video": "video"}, continuous=False, least="identity")
    session.running.set_level(control.SetLevel(level="open", actor="Judge"), 2)
    assert session.running.parts["remote-p2-video", 0].level == "identity"
    session.writer.seal()


def test_stills_that_nobody_may_open_are_not_recorded_and_the_record_says_so(tmp_path: Path) -> None:
    session, participants = Session(tmp_path), Participants(RoomView(), lambda: 1, lambda level: level != "identity")
    session.writer.record(1)
    assert participants.opened(opened("identity"), "ingest", session.running)
    assert begun(session) == []
    participants.begin(session.running, "ingest")
    assert begun(session) == []
    session.writer.seal()
    told = [entry for _, entry in read_journal(session.writer.root) if isinstance(entry, entries.Event) and entry.name == "refused"]
    assert [(entry.track, entry.data["what"]) for entry in told] == [(TRACK, "level")] * 2
    assert not (session.writer.root / layout.key_file(TRACK, 0)).exists()
