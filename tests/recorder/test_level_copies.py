"""Orders given after the seal rule every copy made from then on: what they raise is in none, what they lower opens for whom they admit."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from provisioning.keys import KeyFiles, make
from recorder.contract import control
from recorder.readable import read_story
from recorder.record import canonical, layout
from tests.lab import frame_strip, readback
from tests.lab.room import Room, room

pytestmark = [pytest.mark.timeout(120)]

GOP_US = 1_000_000
FRAGMENT_US = 500_000
ROUNDED_US = 1
"""Times are whole microseconds, and a part's end is rounded up: the unit that begins there may begin so little before it."""
RAISED = (1_300_000, 1_900_000)
TRACKS = ("cam", "judge", "witness", "room-mix")


@dataclass(frozen=True)
class Sealed:
    """A record of open, secret, open; the court may open all of it, the press what is open."""

    room: Room
    press: KeyFiles
    record: Path

    def copied(self, base: Path) -> "Sealed":
        shutil.copytree(self.record, base / self.record.name)
        return Sealed(self.room, self.press, base / self.record.name)

    def give(self, *arguments: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        """An order of the judge; the options given stand over these."""
        usual = ["--actor", "Judge", "--order", "No 12/3", "--key", str(key or self.room.keys.court_key)]
        return courtroom("level", str(self.record), *usual, *arguments)

    def copy(self, out: Path, *arguments: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        return courtroom("copy", str(self.record), str(out), "--key", str(key or self.room.keys.court_key), *arguments)

    @property
    def secret_part(self) -> dict[str, tuple[int, int, int]]:
        """For each track its secret part's number and span."""
        parts = read_story(self.record).levels.parts.values()
        return {part.track: (part.number, part.from_us or 0, part.to_us) for part in parts if part.level == "secret" and part.to_us}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Not to be changed."""
    base = tmp_path_factory.mktemp("levels")
    press = make(base / "press", "press")
    extra = f'[encoding]\ngop_s = 1\n[[recipient]]\nname = "press"\ncertificate = "{press.court}"\nlevels = ["open"]\n'
    with room(base / "room", extra=extra) as it:
        it.wait_live(*TRACKS)
        record = it.begin()
        it.recorded(1)
        it.do(control.AddNote(author="Clerk", text="Witness A lives in Abai street"))
        it.recorded(2)
        it.do(control.SetLevel(level="secret", actor="Judge"))
        it.recorded(2)
        it.do(control.SetLevel(level="open", actor="Judge"))
        it.recorded(1)
        it.stop()
    return Sealed(it, press, record)


@pytest.fixture
def sealed(whole: Sealed, tmp_path: Path) -> Sealed:
    return whole.copied(tmp_path)


def courtroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "300"}
    return subprocess.run([sys.executable, "-m", "agent.cli", *arguments], capture_output=True, text=True, check=False, env=environment)


def units(container: av.container.InputContainer) -> list[tuple[int, bytes]]:
    """Every picture or block of sound: its session time and a hash of it."""
    if container.streams[0].codec_context.name == "opus":  # what a packet decodes to hangs on those before: packets are compared
        return [
            (round(packet.pts * packet.time_base * 1_000_000), hashlib.sha256(bytes(packet)).digest())
            for packet in container.demux(container.streams[0])
            if packet.pts is not None and packet.time_base is not None
        ]
    found = []
    for frame in container.decode(container.streams[0]):
        assert isinstance(frame, av.VideoFrame | av.AudioFrame)
        assert frame.pts is not None
        assert frame.time_base is not None
        found.append((round(frame.pts * frame.time_base * 1_000_000), hashlib.sha256(frame.to_ndarray().tobytes()).digest()))
    return found


def of_record(it: Sealed, track: str) -> list[tuple[int, bytes]]:
    found = []
    for part in readback.parts(it.record, track, it.room.keys.court_key, it.room.keys.court):
        with av.open(io.BytesIO(part.data), "r", format="mp4", options={"decryption_key": part.key or ""}) as container:
            found += units(container)
    return found


def of_copy(out: Path, track: str) -> list[tuple[int, bytes]]:
    folder, header, found = out / "tracks" / track, b"", []
    for line in (folder / "playlist.m3u8").read_text().splitlines():
        if line.startswith("#EXT-X-MAP"):
            header = (folder / line.split('"')[1]).read_bytes()
        elif line.endswith(".m4s"):
            with av.open(io.BytesIO(header + (folder / line).read_bytes()), "r", format="mp4") as container:
                found += units(container)
    return found


def derivative(out: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((out / "derivative.json").read_text())
    return told


def test_a_raised_interval_is_in_no_later_copy_and_the_rest_is_frame_for_frame(sealed: Sealed, tmp_path: Path) -> None:
    """What the copy lacks is told, holds all of the interval, and reaches at most to the next keyframe or fragment."""
    before = sealed.copy(tmp_path / "before", "--max-level", "secret")
    assert before.returncode == 0, before.stderr
    given = sealed.give("--level", "identity", "--from", "0:01.3", "--to", "0:01.900")
    assert given.returncode == 0, given.stderr
    assert "keeps them" in given.stdout
    done = sealed.copy(tmp_path / "after", "--max-level", "secret")
    assert done.returncode == 0, done.stderr
    told = derivative(tmp_path / "after")
    assert [(order["number"], order["level"], order["order"]) for order in told["orders"]] == [(1, "identity", "No 12/3")]
    for track in TRACKS:
        source = of_record(sealed, track)
        assert of_copy(tmp_path / "before", track) == source
        (gone,) = [one for one in told["left_out"] if one["track"] == track]
        reach_us = GOP_US + FRAGMENT_US if track == "cam" else FRAGMENT_US + 100_000
        assert gone["from_us"] <= RAISED[0] < RAISED[1] <= gone["to_us"]
        assert gone["from_us"] > RAISED[0] - reach_us
        assert gone["to_us"] < RAISED[1] + reach_us
        kept = of_copy(tmp_path / "after", track)
        assert kept == [unit for unit in source if not gone["from_us"] <= unit[0] < gone["to_us"] - 1]
        assert len(kept) < len(source)


def test_neither_the_pictures_nor_the_sound_of_it_are_in_the_one_file(sealed: Sealed, tmp_path: Path) -> None:
    """By the numbers that are drawn in the pictures, and by the sound's loudness."""
    assert sealed.give("--level", "secret", "--from", "1.3", "--to", "1.9").returncode == 0
    assert sealed.copy(tmp_path / "c").returncode == 0
    pictures = [
        (t_us, n) for t_us, n, _ in readback.frame_numbers(sealed.record, "cam", sealed.room.keys.court_key, sealed.room.keys.court)
    ]
    wanted = {number: t_us for t_us, number in pictures}
    start, end = sealed.secret_part["cam"][1:]
    with av.open(str(tmp_path / "c" / "hearing.mp4")) as film:
        seen = {frame_strip.read(cast("npt.NDArray[np.uint8]", frame.to_ndarray(format="gray"))) for frame in film.decode(video=0)}
    hidden = {n for t_us, n in pictures if RAISED[0] <= t_us < RAISED[1] or start <= t_us < end - ROUNDED_US}
    assert seen & hidden == set()
    times = sorted(wanted[number] for number in seen)
    assert times[0] < RAISED[0]
    assert times[-1] > end
    with av.open(str(tmp_path / "c" / "hearing.mp4")) as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    from_us = min(one[1] for one in sealed.secret_part.values())
    rate_hz = 48_000
    silent = sound[int((RAISED[0] + 100_000) / 1e6 * rate_hz) : int((RAISED[1] - 100_000) / 1e6 * rate_hz)]
    loud = sound[int((RAISED[1] + FRAGMENT_US + 100_000) / 1e6 * rate_hz) : int((from_us - 200_000) / 1e6 * rate_hz)]
    assert np.abs(silent).max() < 1e-3 < np.abs(loud).max()


def test_notes_of_the_interval_go_with_it_unless_the_order_names_tracks(sealed: Sealed, tmp_path: Path) -> None:
    assert sealed.give("--level", "secret", "--to", "2.5", "--track", "witness").returncode == 0
    assert sealed.copy(tmp_path / "one").returncode == 0
    assert "Abai street" in (tmp_path / "one" / "notes.vtt").read_text()
    assert sealed.give("--level", "secret", "--to", "2.5").returncode == 0
    assert sealed.copy(tmp_path / "two").returncode == 0
    for name in ("notes.vtt", "index.html"):
        assert "Abai street" not in (tmp_path / "two" / name).read_text()
    assert derivative(tmp_path / "two")["notes_left_out"] == 1


def test_the_page_says_what_is_not_in_the_copy(sealed: Sealed, tmp_path: Path) -> None:
    assert sealed.give("--level", "secret", "--from", "1.3", "--to", "1.9", "--track", "judge", "--track", "witness").returncode == 0
    assert sealed.copy(tmp_path / "c").returncode == 0
    page = (tmp_path / "c" / "index.html").read_text()
    story = json.loads(page.split('id="story">')[1].split("</script>")[0])
    ordered = next(one for one in story["left_out"] if one["track"] == "judge, witness")
    assert ordered["from_us"] <= RAISED[0] < RAISED[1] <= ordered["to_us"]
    assert [one["level"] for one in story["left_out"] if not one["track"]] == ["secret"]


def test_a_lowered_part_opens_for_whom_the_order_admits_and_did_not_before(sealed: Sealed, tmp_path: Path) -> None:
    press = sealed.press.court_key
    before = sealed.copy(tmp_path / "before", "--max-level", "secret", key=press)
    assert before.returncode == 0, before.stderr
    assert "not encrypted to this key" in before.stdout
    assert {one["because"] for one in derivative(tmp_path / "before")["left_out"]} == {"key"}
    number, from_us, to_us = sealed.secret_part["witness"]
    given = sealed.give(
        "--level", "open", "--track", "witness", "--from", f"{from_us / 1e6:.6f}", "--to", f"{to_us / 1e6:.6f}",
        "--room", str(sealed.room.config),
    )  # fmt: skip
    assert given.returncode == 0, given.stderr
    assert f"Wrapped anew for press: witness part {number}" in given.stdout
    assert sealed.copy(tmp_path / "after", key=press).returncode == 0
    source = of_record(sealed, "witness")
    secret = [unit for unit in source if from_us <= unit[0] < to_us - ROUNDED_US]
    assert len(secret) > 20
    assert [unit for unit in of_copy(tmp_path / "before", "witness") if unit in secret] == []
    assert of_copy(tmp_path / "after", "witness") == source
    assert {one["track"] for one in derivative(tmp_path / "after")["left_out"]} == {"cam", "judge", "room-mix"}
    assert sealed.room.verify(sealed.record).returncode == 0


def test_a_later_order_stands_over_an_earlier_one_in_copies_too(sealed: Sealed, tmp_path: Path) -> None:
    number, from_us, to_us = sealed.secret_part["judge"]
    span = ["--track", "judge", "--from", f"{from_us / 1e6:.6f}", "--to", f"{to_us / 1e6:.6f}"]
    assert sealed.give("--level", "open", *span, "--recipient", str(sealed.press.court)).returncode == 0
    assert sealed.give("--level", "secret", *span).returncode == 0
    assert sealed.copy(tmp_path / "c", key=sealed.press.court_key).returncode == 0
    assert not (tmp_path / "c" / "tracks" / "judge" / layout.init_file("judge", number).rpartition("/")[2]).exists()


def test_a_piece_of_a_part_is_lowered_for_copies_and_its_key_stays(sealed: Sealed, tmp_path: Path) -> None:
    _, from_us, to_us = sealed.secret_part["judge"]
    piece = ["--track", "judge", "--from", f"{from_us / 1e6:.6f}", "--to", f"{(to_us - 700_000) / 1e6:.6f}"]
    given = sealed.give("--level", "open", *piece, "--recipient", str(sealed.press.court))
    assert given.returncode == 0, given.stderr
    assert "no key is wrapped" in given.stdout
    assert f"{to_us / 1e6 % 60:.6f} --track judge" in given.stdout
    assert sealed.copy(tmp_path / "court", "--track", "judge").returncode == 0
    assert sealed.copy(tmp_path / "press", "--track", "judge", key=sealed.press.court_key).returncode == 0
    opened = {unit for unit in of_copy(tmp_path / "court", "judge") if from_us <= unit[0] < to_us - 1_300_000}
    assert len(opened) > 5
    assert not opened & set(of_copy(tmp_path / "press", "judge"))


def altered(record: Path) -> str:
    place = record / layout.order_file(1)
    fields = canonical.decode(place.read_bytes().rstrip(b"\n"))
    place.write_bytes(canonical.encode(fields | {"level": "open"}) + b"\n")
    return "orders/0001.json.p7s"


def unsigned(record: Path) -> str:
    (record / layout.order_signature_file(1)).unlink()
    return "orders/0001.json.p7s"


def first_deleted(record: Path) -> str:
    (record / layout.order_file(1)).unlink()
    return "orders/0001.json"


def stray(record: Path) -> str:
    (record / layout.ORDERS / "0009.json").write_text("{}")
    return "orders/0003.json"


def linked(record: Path) -> str:
    shutil.move(record / layout.ORDERS, record.parent / "elsewhere")
    (record / layout.ORDERS).symlink_to(record.parent / "elsewhere")
    return "orders is no regular file"


def journal_edited(record: Path) -> str:
    place = record / layout.JOURNAL
    place.write_bytes(place.read_bytes().replace(b'"level":"secret"', b'"level":"closed"'))
    return "journal.jsonl is not what the seal lists"


@pytest.mark.parametrize("tamper", [altered, unsigned, first_deleted, stray, linked, journal_edited])
def test_orders_that_do_not_hold_let_no_copy_be_made(sealed: Sealed, tmp_path: Path, tamper: Any) -> None:
    for _ in range(2):
        assert sealed.give("--level", "identity", "--from", "1", "--to", "2").returncode == 0
    place = tamper(sealed.record)
    refused = sealed.copy(tmp_path / "c")
    assert refused.returncode == 1
    assert "BROKEN" in refused.stderr
    done = sealed.copy(tmp_path / "c", "--even-if-broken")
    assert done.returncode == 1
    assert place in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c").exists()
    assert sealed.give("--level", "secret").returncode == 1


def test_an_order_of_another_record_lets_no_copy_be_made(sealed: Sealed, tmp_path: Path) -> None:
    """Of the same room and recipients, a moment later."""
    assert sealed.give("--level", "open").returncode == 0
    place = sealed.record / layout.order_file(1)
    fields = canonical.decode(place.read_bytes().rstrip(b"\n"))
    data = canonical.encode(fields | {"record": "11111111-52a4-4f0e-9c2b-3f6f8f3b9a10"}) + b"\n"
    place.write_bytes(data)
    subprocess.run(
        [
            "openssl", "cms", "-sign", "-binary", "-nosmimecap", "-in", str(place), "-signer", str(sealed.room.keys.court),
            "-inkey", str(sealed.room.keys.court_key), "-outform", "DER", "-md", "sha256",
            "-out", str(sealed.record / layout.order_signature_file(1)),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    done = sealed.copy(tmp_path / "c")
    assert (done.returncode, "another record" in done.stderr) == (1, True)
    assert "order_record" in sealed.room.verify(sealed.record, "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--level", "public"], 2, "none of open"),
        (["--level", "secret", "--from", "half past"], 2, "no session time"),
        (["--level", "secret", "--from", "3", "--to", "2"], 1, "give a --to after --from"),
        (["--level", "secret", "--to", "01:00:00"], 1, "leave --to out"),
        (["--level", "secret", "--track", "window"], 1, "it has cam, judge"),
        (["--level", "secret", "--actor", " "], 2, "is empty"),
        (["--level", "secret", "--key", "/nowhere.key"], 1, "cannot read /nowhere.key"),
        (["--level", "secret", "--recipient", "/nowhere.pem"], 1, "cannot read /nowhere.pem"),
        (["--level", "secret", "--room", "/nowhere.toml"], 1, "cannot be read"),
    ],
)
def test_bad_input_is_one_clear_error(whole: Sealed, arguments: list[str], status: int, said: str) -> None:
    done = whole.give(*arguments)
    assert done.returncode == status, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (whole.record / layout.order_file(1)).exists()


def test_the_press_and_strangers_give_no_order_about_what_they_could_not_open(whole: Sealed, tmp_path: Path) -> None:
    done = whole.give("--level", "open", key=whole.press.court_key)
    assert (done.returncode, "cannot open track cam" in done.stderr) == (1, True)
    done = whole.give("--level", "open", key=make(tmp_path / "other", "other").court_key)
    assert (done.returncode, "those are: court, press" in done.stderr) == (1, True)
    assert not (whole.record / layout.order_file(1)).exists()
