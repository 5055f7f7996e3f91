"""The one film of a copy shows each part's pictures as that part has them, in FFmpeg and in a browser."""

import functools
import http.server
import itertools
import json
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recorder.children.encoder import PictureEncoder, SoundEncoder
from recorder.children.fragmenter import Fragmenter, PartPlan
from recorder.children.parameter_sets import ParameterSets
from recorder.contract import child
from tests.lab import browser

PICTURES = 50
INTERVAL_US = 40_000
LENGTH_US = PICTURES * INTERVAL_US


def piece(folder: Path, number: int, width: int, height: int, luma: int) -> dict[str, Any]:
    """A part of two seconds, all pictures of one brightness, as a camera's child makes it."""
    header: list[bytes] = []
    fragments: list[bytes] = []

    def keep(message: Any, data: Any) -> None:
        (header if isinstance(message, child.Init) else fragments).append(bytes(data))

    encoder = PictureEncoder(width, height, Fraction(25), codec="libx264", options={})
    fragmenter = Fragmenter(PartPlan(track="cam", part=number, key=None), encoder.stream, 90_000, keep)
    packets = []
    for index in range(PICTURES):
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = luma
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        packets += encoder.encode(frame, number * LENGTH_US + index * INTERVAL_US)
    for packet, at_us in [*packets, *encoder.flush()]:
        fragmenter.mux(packet, at_us)
    fragmenter.close()
    named = {"header": f"init-{number}.mp4", "file": f"seg-{number}.m4s"}
    (folder / named["header"]).write_bytes(b"".join(header))
    (folder / named["file"]).write_bytes(b"".join(fragments))
    return {**named, "t_us": number * LENGTH_US}


def film(folder: Path, video: list[dict[str, Any]], audio: list[dict[str, Any]] | None = None) -> Path:
    (folder / "film.json").write_text(json.dumps({"video": video, "audio": audio or []}))
    command = [sys.executable, "-m", "recorder.children.film", str(folder / "film.json"), str(folder / "hearing.mp4")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "hearing.mp4"


def shown(path: Path) -> list[tuple[int, int, int]]:
    """Width, height and brightness of each picture, the last rounded to tens."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
    return [(frame.width, frame.height, round(int(frame.to_ndarray(format="gray").mean()) / 10) * 10) for frame in frames]


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a camera that was set to another size, and back."""
    folder = tmp_path_factory.mktemp("film")
    sizes = ((320, 240, 60), (640, 360, 180), (320, 240, 60))
    return film(folder, [piece(folder, number, *size) for number, size in enumerate(sizes)])


def test_pictures_of_a_part_with_another_format_are_that_part_s(tmp_path: Path, changing: Path) -> None:
    alone = [shown(film(tmp_path, [piece(tmp_path, 0, *size)])) for size in ((320, 240, 60), (640, 360, 180))]
    assert shown(changing) == [*alone[0], *alone[1], *alone[0]]
    assert {size[:2] for size in shown(changing)} == {(320, 240), (640, 360)}


def test_what_decodes_the_film_finds_nothing_wrong_and_each_part_where_it_lies(changing: Path) -> None:
    with av.open(str(changing)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0) if frame.pts is not None and frame.time_base]
        assert container.streams.video[0].codec_context.codec_tag == "avc3"
    assert [float(time) for time in times] == pytest.approx([index * INTERVAL_US / 1e6 for index in range(3 * PICTURES)])
    with av.open(str(changing)) as container:
        container.seek(3 * 1_000_000)
        assert next(container.decode(video=0)).width == 640, "a player may begin anywhere"


def test_a_film_of_one_format_stays_as_every_old_player_knows_it(tmp_path: Path) -> None:
    path = film(tmp_path, [piece(tmp_path, number, 320, 240, 60) for number in range(2)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "avc1"
    assert len(shown(path)) == 2 * PICTURES


RATE_HZ = 48_000
SPAN_S = 5


def sound_piece(folder: Path, number: int, samples: int) -> dict[str, Any]:
    """A part that begins every five seconds, with a click a second behind that, however many samples its device gave."""
    header: list[bytes] = []
    fragments: list[bytes] = []

    def keep(message: Any, data: Any) -> None:
        (header if isinstance(message, child.Init) else fragments).append(bytes(data))

    encoder = SoundEncoder(RATE_HZ, 16)
    fragmenter = Fragmenter(PartPlan(track="judge", part=number, key=None), encoder.stream, RATE_HZ, keep)
    sound = np.zeros(samples, np.int16)
    sound[RATE_HZ : RATE_HZ + 480] = 20_000
    for packet in encoder.encode(sound) + encoder.flush():
        assert packet.pts is not None
        fragmenter.mux(packet, number * SPAN_S * 1_000_000 + packet.pts * 1_000_000 // RATE_HZ)
    fragmenter.close()
    named = {"header": f"sound-{number}.mp4", "file": f"sound-{number}.m4s"}
    (folder / named["header"]).write_bytes(b"".join(header))
    (folder / named["file"]).write_bytes(b"".join(fragments))
    return {**named, "t_us": number * SPAN_S * 1_000_000}


@pytest.mark.parametrize("off_ms", [-15, 15, 30, 500])
def test_sound_of_a_device_whose_clock_is_off_stays_where_it_was_heard(tmp_path: Path, off_ms: int) -> None:
    pieces = [sound_piece(tmp_path, number, RATE_HZ * (SPAN_S * 1000 + off_ms) // 1000) for number in range(10)]
    with av.open(str(film(tmp_path, [], pieces))) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loud = np.flatnonzero(np.abs(sound) > 0.2)
    clicks = [int(loud[0]), *(int(at) for before, at in itertools.pairwise(loud) if at - before > RATE_HZ)]
    assert [at / RATE_HZ for at in clicks] == pytest.approx([number * SPAN_S + 1 for number in range(10)], abs=0.05)


SEEN = """(async () => {
  const film = document.createElement("video"), seen = [];
  film.muted = true;
  document.body.append(film);
  const whole = URL.createObjectURL(await (await fetch("hearing.mp4")).blob());
  await new Promise((done, failed) => { film.onloadeddata = done; film.onerror = () => failed(film.error.message);
    film.src = whole });
  const look = () => { const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d"); context.drawImage(film, 0, 0, 1, 1);
    seen.push([film.videoWidth, film.videoHeight, context.getImageData(0, 0, 1, 1).data[0] > 128]) };
  const shown = () => new Promise(done => film.requestVideoFrameCallback((now, data) => done(data.mediaTime)));
  for (const at of [5, 1, 3]) { film.currentTime = at; await new Promise(done => film.onseeked = done); look() }
  film.currentTime = 0; await film.play();
  for (const after of [1, 3, 5]) { while (await shown() < after); look() }
  return seen;
})()"""


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
def test_a_browser_shows_each_part_in_its_own_size_and_brightness(changing: Path) -> None:
    (changing.parent / "index.html").write_text("<!doctype html><title>film</title>")
    handler = functools.partial(QuietFiles, directory=str(changing.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen = browser.ask(f"http://127.0.0.1:{server.server_port}/index.html", SEEN)
        server.shutdown()
    small, large = [320, 240, False], [640, 360, True]
    assert seen == [small, small, large, small, large, small]


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


AVCC = b"\x01\x64\x00\x1f\xff\xe1\x00\x02\x67A\x01\x00\x02\x68B\xfd\xf8\xf8\x00"


def test_sets_go_before_a_picture_that_begins_a_decoding_and_behind_its_delimiter() -> None:
    sets = ParameterSets(AVCC)
    unit, delimiter = b"\0\0\0\2\x65C", b"\0\0\0\2\x09D"
    both = b"\0\0\0\2\x67A\0\0\0\2\x68B"
    assert sets.put(unit, key=True) == both + unit
    assert sets.put(delimiter + unit, key=True) == delimiter + both + unit
    assert sets.put(delimiter + unit, key=False) == delimiter + unit


def test_units_with_shorter_lengths_get_longer_ones() -> None:
    sets = ParameterSets(AVCC[:4] + b"\xfd" + AVCC[5:])
    assert sets.put(struct.pack(">H", 2) + b"\x61C", key=False) == b"\0\0\0\2\x61C"


@pytest.mark.parametrize("data", [b"", AVCC[:9], AVCC[:12], b"\x02" + AVCC[1:]])
def test_what_are_no_parameter_sets_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="parameter sets"):
        ParameterSets(data)


def test_a_cut_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="cut"):
        ParameterSets(AVCC).put(b"\0\0\0\7\x65C", key=True)
