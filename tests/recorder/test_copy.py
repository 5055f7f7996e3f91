"""A readable copy holds exactly what was recorded, says where it comes from, and opens in ordinary players."""

import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from recorder.contract import control
from tests.lab import browser, readback
from tests.lab.room import Room, room

pytestmark = [pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Room, Path]:
    base = tmp_path_factory.mktemp("copy")
    with room(base) as it:
        it.wait_live("cam", "judge", "witness", "room-mix")
        record = it.begin()
        it.recorded(2)
        it.do(control.AddNote(author="Clerk", text='<script>alert("x")</script> Сот отырысы'))
        it.do(control.PauseRequest(state="off_record", actor="Judge"))
        it.do(control.ResumeRequest(actor="Judge"))
        it.recorded(1)
        it.do(control.SetLevel(level="secret", actor="Judge"))
        it.recorded(1)
        it.stop()
    return it, record


def courtroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "agent.cli", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(sealed: tuple[Room, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    it, record = sealed
    out = tmp_path_factory.mktemp("out") / "copy"
    done = courtroom("copy", str(record), str(out), "--key", str(it.keys.court_key), "--max-level", "secret")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def digests(container: av.container.InputContainer) -> list[bytes]:
    frames = (frame for frame in container.decode(container.streams[0]) if isinstance(frame, av.VideoFrame | av.AudioFrame))
    return [hashlib.sha256(frame.to_ndarray().tobytes()).digest() for frame in frames]


def decoded(pieces: list[bytes]) -> list[bytes]:
    found = []
    for data in pieces:
        with av.open(io.BytesIO(data), "r", format="mp4") as container:
            found += digests(container)
    return found


@pytest.mark.parametrize("track", ["cam", "judge", "witness", "room-mix"])
def test_every_frame_and_sample_of_the_copy_is_the_record_s(sealed: tuple[Room, Path], copied: Path, track: str) -> None:
    it, record = sealed
    source = []
    for part in readback.parts(record, track, it.keys.court_key, it.keys.court):
        with av.open(io.BytesIO(part.data), "r", format="mp4", options={"decryption_key": part.key or ""}) as container:
            source += digests(container)
    folder = copied / "tracks" / track
    playlist = (folder / "playlist.m3u8").read_text().splitlines()
    pieces, header = [], b""
    for line in playlist:
        if line.startswith("#EXT-X-MAP"):
            header = (folder / line.split('"')[1]).read_bytes()
            pieces.append(header)
        elif line.endswith(".m4s"):
            pieces[-1] += (folder / line).read_bytes()
    assert decoded(pieces) == source
    assert len(source) > 20


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is missing")
def test_ordinary_players_open_every_playlist_and_the_one_file(copied: Path) -> None:
    for path in (copied / "master.m3u8", copied / "hearing.mp4", *sorted(copied.glob("tracks/*/playlist.m3u8"))):
        probed = subprocess.run(
            ["ffprobe", "-v", "error", "-of", "json", "-show_streams", str(path)], capture_output=True, text=True, check=True
        )
        assert probed.stderr == ""
        assert json.loads(probed.stdout)["streams"]
    played = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(copied / "hearing.mp4"), "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert played.stderr == ""


def test_the_copy_is_signed_by_who_made_it_and_names_its_source(sealed: tuple[Room, Path], copied: Path) -> None:
    it, record = sealed
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=copied, check=True)
    subprocess.run(
        [
            "openssl",
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "SHA256SUMS.p7s",
            "-content",
            "SHA256SUMS",
            "-CAfile",
            str(it.keys.root),
            "-purpose",
            "any",
            "-partial_chain",
            "-out",
            os.devnull,
            "-noverify",
        ],
        cwd=copied,
        check=True,
        capture_output=True,
    )
    derivative = json.loads((copied / "derivative.json").read_text())
    assert derivative["source"]["sha256sums_sha256"] == hashlib.sha256((record / "SHA256SUMS").read_bytes()).hexdigest()
    assert derivative["source"]["record"] in record.name


def test_what_is_of_a_higher_level_is_left_out_and_listed(sealed: tuple[Room, Path], tmp_path: Path) -> None:
    it, record = sealed
    done = courtroom("copy", str(record), str(tmp_path / "c"), "--key", str(it.keys.court_key))
    assert done.returncode == 0, done.stderr
    derivative = json.loads((tmp_path / "c" / "derivative.json").read_text())
    assert {one["level"] for one in derivative["left_out"]} == {"secret"}
    assert "secret" in done.stdout
    secret = {one["part"] for one in derivative["left_out"] if one["track"] == "judge"}
    assert not [part for part in secret if (tmp_path / "c" / "tracks" / "judge" / f"init-{part:02d}.mp4").exists()]


def test_a_wrong_key_is_told_in_one_sentence_with_the_recipients(sealed: tuple[Room, Path], tmp_path: Path) -> None:
    from provisioning.keys import make

    stranger = make(tmp_path / "keys", "other")
    done = courtroom("copy", str(sealed[1]), str(tmp_path / "c"), "--key", str(stranger.court_key), "--cert", str(stranger.court))
    assert done.returncode == 1
    assert "does not open the record" in done.stderr
    assert "court" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_media_is_named_and_left_out(sealed: tuple[Room, Path], tmp_path: Path) -> None:
    it, record = sealed
    broken = tmp_path / record.name
    shutil.copytree(record, broken)
    segment = broken / "tracks" / "judge" / "seg-000000.m4s"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    refused = courtroom("copy", str(broken), str(tmp_path / "c"), "--key", str(it.keys.court_key))
    assert refused.returncode == 1
    assert not (tmp_path / "c").exists()
    done = courtroom("copy", str(broken), str(tmp_path / "c"), "--key", str(it.keys.court_key), "--even-if-broken")
    assert done.returncode == 1
    assert "tracks/judge/seg-000000.m4s" in done.stdout.replace("\n", "")
    assert (tmp_path / "c" / "hearing.mp4").exists()


def test_a_copy_never_overwrites(sealed: tuple[Room, Path], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for out, said in (
        (tmp_path / "there", "never overwrites"),
        (sealed[1] / "copy", "lies in the record"),
        (Path("/proc/copy"), "cannot be made"),
    ):
        done = courtroom("copy", str(sealed[1]), str(out), "--key", str(sealed[0].keys.court_key))
        assert done.returncode == 1
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_what_people_wrote_is_text_on_the_page_and_not_markup(copied: Path) -> None:
    page = (copied / "index.html").read_text()
    assert "<script>alert" not in page
    assert "alert" in page


def test_a_record_in_the_clear_needs_no_key(tmp_path: Path) -> None:
    with room(tmp_path / "room", recipients=False) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        it.stop()
    done = courtroom("copy", str(record), str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert np.fromfile(tmp_path / "c" / "hearing.mp4", np.uint8).size > 1000


SEEN = """(async () => {
  const film = document.getElementById("film");
  film.muted = true;
  if (film.readyState < 1) await new Promise((done, failed) => { film.onloadedmetadata = done; film.onerror = failed; });
  film.currentTime = 1;
  await film.play();
  await new Promise(done => film.requestVideoFrameCallback(done));
  return { width: film.videoWidth, height: film.videoHeight, duration_s: film.duration, text: document.body.innerText };
})()"""


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
def test_a_browser_opens_the_page_from_the_disk_and_plays_it(copied: Path, tmp_path: Path) -> None:
    seen = browser.ask(f"file://{copied}/index.html", SEEN, tmp_path / "page.png")
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["duration_s"] > 4
    assert "Сот отырысы" in seen["text"]
    assert "off record" in seen["text"]


HLS = """(async () => {
  const film = document.createElement("video");
  film.muted = true;
  document.body.append(film);
  await new Promise((done, failed) => {
    film.onloadedmetadata = done;
    film.onerror = () => failed(film.error.message);
    film.src = "master.m3u8";
  });
  await film.play();
  film.currentTime = film.duration - 0.5;
  await new Promise(done => film.onseeked = done);
  return { width: film.videoWidth, duration_s: film.duration };
})()"""


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
def test_a_browser_plays_the_playlists_to_their_end(copied: Path) -> None:
    handler = functools.partial(QuietFiles, directory=str(copied))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen = browser.ask(f"http://127.0.0.1:{server.server_port}/index.html", HLS)
        server.shutdown()
    assert seen["width"] == 320
    assert seen["duration_s"] > 4


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012 - as the base class declares it
        ".m3u8": "application/vnd.apple.mpegurl",
        ".mp4": "video/mp4",
        ".html": "text/html",
        "": "application/octet-stream",
    }

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_copy_whose_report_cannot_be_written_is_told_to_be_made(sealed: tuple[Room, Path], tmp_path: Path) -> None:
    it, record = sealed
    command = [sys.executable, "-m", "agent.cli", "copy", str(record), str(tmp_path / "copy"), "--key", str(it.keys.court_key)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (70, False)
    assert "the copy is made" in done.stderr
    assert (tmp_path / "copy" / "SHA256SUMS.p7s").exists()


def test_whoever_is_given_the_copy_verifies_it(sealed: tuple[Room, Path], copied: Path) -> None:
    it, record = sealed
    done = courtroom("verify", str(copied), "--ca", str(it.keys.root), "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["level"], verdict["findings"]) == (0, "copy_whole", [])
    assert record.name.endswith(verdict["record"])
