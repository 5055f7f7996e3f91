"""What the real ingest child refuses: what nobody may ask for ends that connection, what a participant does amiss costs his track alone."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from recorder.contract import child, control, ingest
from recorder.contract.framing import LENGTHS, FrameReader, pack
from tests.children.linked import Linked, linked, peer, wait_for
from tests.children.test_ingest import DEVICE, QUOTA_BYTES_PER_S, encode, hear, now_us, opus, say
from tests.children.test_ingest import running as running  # noqa: PLC0414 - a fixture is used by its name


def refused(running: Linked, sock: socket.socket) -> tuple[str, str]:
    heard = [message for message in hear(sock) if isinstance(message, ingest.Refusal)]
    told = wait_for(lambda: running.all(child.Refused), "the core to be told")
    assert [message.what for message in heard] == [told[-1].what]
    return told[-1].what, told[-1].detail


def test_control_verbs_are_refused_and_the_connection_ends(running: Linked, tmp_path: Path) -> None:
    for number, request in enumerate((control.StopRequest(actor="x"), control.PauseRequest(state="off_record", actor="x")), start=1):
        with peer(tmp_path / "ingest.sock") as sock:
            sock.sendall(pack(msgspec.msgpack.encode(request)))
            assert refused(running, sock)[0] == "verb"
            wait_for(lambda: len(running.all(child.Refused)) == number, "the refusal")  # noqa: B023 - called at once


@pytest.mark.parametrize("bytes_", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", LENGTHS.pack(2, 0) + b"\xc1\xc1", LENGTHS.pack(40, 2**31)])
def test_garbage_ends_that_connection_only(running: Linked, tmp_path: Path, bytes_: bytes) -> None:
    with peer(tmp_path / "ingest.sock") as good, peer(tmp_path / "ingest.sock") as bad:
        say(good, ingest.TrackStart(track="p1", kind="audio", codec="opus", label=""))
        running.first(child.TrackOpened)
        bad.sendall(bytes_)
        refused(running, bad)
        say(good, ingest.TrackStop(track="p1", cause="left"))
        assert running.first(child.TrackClosed).cause == "left"


def test_a_name_that_is_a_path_is_refused(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        say(sock, ingest.TrackStart(track="../../../etc/cron.d/x", kind="audio", codec="opus", label=""))
        assert refused(running, sock)[0] == "name"
    assert not running.all(child.TrackOpened)


def test_ten_thousand_tracks_stop_at_the_limit(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        try:
            for number in range(10_000):
                say(sock, ingest.TrackStart(track=f"t{number}", kind="audio", codec="opus", label=""))
        except (BrokenPipeError, ConnectionResetError):
            pass
    wait_for(lambda: len(running.all(child.TrackClosed)) == 40, "all tracks of the peer to end")
    assert len(running.all(child.TrackOpened)) == 40
    assert running.first(child.Refused).what == "tracks"


def two_sounds(running: Linked, sock: socket.socket) -> int:
    """Two tracks of one peer that are recorded, from the time that is returned on."""
    for track in ("bad", "good"):
        say(sock, ingest.TrackStart(track=track, kind="audio", codec="opus", label=""))
    wait_for(lambda: len(running.all(child.TrackOpened)) == 2, "both tracks")
    start_us = now_us() - 5_000_000
    running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-bad": 1, "remote-good": 1}))
    return start_us


def goes_on(running: Linked, sock: socket.socket, start_us: int) -> None:
    """All that is sent of the other track is recorded, and no track ended."""
    for n, packet in enumerate(opus(100)):
        say(sock, ingest.MediaPacket(track="good", mono_us=start_us + n * 20_000, dur_us=20_000, key=True), packet)
    say(sock, ingest.TrackStop(track="good", cause="left"))
    assert running.first(child.TrackClosed) == child.TrackClosed(track="remote-good", cause="left", detail="")
    assert sum(one.dur for one in running.all(child.Fragment) if one.track == "remote-good") == 100 * 960


def test_an_endless_track_is_cut_at_its_quota_and_costs_the_others_nothing(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        start_us = two_sounds(running, sock)
        packet = bytes([0xF8]) + os.urandom(60_000)
        began_s = time.monotonic()
        for n in range(500):
            say(sock, ingest.MediaPacket(track="bad", mono_us=start_us + n * 1_000, dur_us=20_000, key=True), packet)
        goes_on(running, sock, start_us)
        most_bytes = QUOTA_BYTES_PER_S * (4 + time.monotonic() - began_s)
    assert {one.what for one in running.all(child.Refused)} == {"quota"}
    assert len(running.all(child.Refused)) < 100, "the record is not filled with it"
    wait_for(lambda: len(running.all(child.TrackClosed)) == 2, "the end of both")
    assert len(running.media("remote-bad")) < most_bytes * 1.01


BAD_SPS = b"".join(b"\x00\x00\x00\x01" + unit for unit in (b"\x67\x42", b"\x68\xce", b"\x65\x88\x84"))


@pytest.mark.parametrize("picture", [b"\x00\x00\x01" * 5_000, BAD_SPS, b"\x00\x00\x01\x00", b"\x00\x00\x01\x65" * 700, b"no start code"])
def test_a_picture_that_is_no_picture_is_passed_over_alone(running: Linked, tmp_path: Path, picture: bytes) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        start_us = two_sounds(running, sock)
        say(sock, ingest.TrackStart(track="v", kind="video", codec="h264", label=""))
        wait_for(lambda: len(running.all(child.TrackOpened)) == 3, "the pictures' track")
        running.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks={"remote-v": 1}))
        asked = [ingest.from_ingest.decode(head) for head, _ in FrameReader().feed(sock.recv(65536))]
        assert asked == [ingest.KeyframeWanted(track="v")], "the part has begun"
        say(sock, ingest.MediaPacket(track="v", mono_us=start_us + 1, dur_us=40_000, key=True), picture)
        assert wait_for(lambda: running.all(child.Refused), "the core to be told")[0].what == "packet"
        for n, unit in enumerate(encode((160, 90), 25)):
            say(sock, ingest.MediaPacket(track="v", mono_us=start_us + 100_000 + n * 40_000, dur_us=40_000, key=n == 0), unit)
        goes_on(running, sock, start_us)
        say(sock, ingest.TrackStop(track="v", cause="left"))
        wait_for(lambda: len(running.all(child.TrackClosed)) == 2, "the end of the pictures")
    assert sum(one.dur for one in running.all(child.Fragment) if one.track == "remote-v") == 90_000


def test_a_packet_from_long_ago_is_passed_over_alone(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        start_us = two_sounds(running, sock)
        say(sock, ingest.MediaPacket(track="bad", mono_us=now_us() - 11_000_000, dur_us=20_000, key=True), opus(1)[0])
        goes_on(running, sock, start_us)
    assert [one.what for one in running.all(child.Refused)] == ["time"]


def test_a_track_whose_start_is_refused_costs_the_others_nothing(running: Linked, tmp_path: Path) -> None:
    with peer(tmp_path / "ingest.sock") as sock:
        start_us = two_sounds(running, sock)
        say(sock, ingest.TrackStart(track="odd", kind="audio", codec="opus", label="И.\u00a0О."))
        for n in range(50):
            say(sock, ingest.MediaPacket(track="odd", mono_us=start_us + n, dur_us=20_000, key=True), b"x")
        say(sock, ingest.TrackStop(track="odd", cause="left"))
        goes_on(running, sock, start_us)
    assert [one.what for one in running.all(child.Refused)] == ["label"], "what was on its way is not told once more"
    assert [one.track for one in running.all(child.TrackOpened)] == ["remote-bad", "remote-good"]


def test_the_child_cannot_open_a_file_make_a_socket_or_start_a_process(tmp_path: Path) -> None:
    code = """
import fcntl, os, socket, signal, struct, sys, threading
ours, _ = socket.socketpair()
ours.setblocking(False)
from recorder.children.sandbox import drop_powers
drop_powers(1 << 30, 64)
done = []
for what, act in {
    "read": lambda: open("/etc/passwd"), "write": lambda: open(sys.argv[1], "w"), "socket": lambda: socket.socket(),
    "fork": os.fork, "exec": lambda: os.execv("/bin/true", ["true"]), "unlink": lambda: os.unlink(sys.argv[2]),
    "kill": lambda: os.kill(os.getppid(), 0), "thread's kill": lambda: signal.pthread_kill(threading.get_ident(), 0),
    "owner": lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid()), "signal": lambda: fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGKILL),
    "owner by ioctl": lambda: fcntl.ioctl(ours, 0x8901, struct.pack("i", os.getpid())),
}.items():
    try:
        act()
        done.append(what)
    except OSError:
        pass
os.write(1, (",".join(done) or "nothing").encode())
"""
    victim = tmp_path / "victim"
    victim.touch()
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "new"), str(victim)], capture_output=True, text=True, check=True)
    assert done.stdout == "nothing"


def test_a_stranger_s_user_may_not_connect(tmp_path: Path) -> None:
    with linked("recorder.children.ingest", {**DEVICE, "user": "nobody"}, tmp_path) as running, peer(tmp_path / "ingest.sock") as sock:
        assert refused(running, sock)[0] == "user"
