"""A copy vouches for its source: what is broken is refused, or copied only with its verdict; no path or number of a record is believed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recorder.contract import control
from recorder.copy_story import CopyError, read_story
from recorder.record import canonical, entries, layout
from recorder.record.entries import Entry
from recorder.record.journal import Chain, Times
from tests.lab import browser
from tests.lab.room import Room, room

pytestmark = [pytest.mark.timeout(120)]
FORGED = '</script>@STORY@ "x"'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Room, Path]:
    """Not to be changed."""
    with room(tmp_path_factory.mktemp("room")) as it:
        it.wait_live("cam", "judge")
        start = control.Start(hearing="lab-1", actor="Clerk", title="@STORY@ & @CASE@", case="@STORY@ <b>")
        record = Path(it.do(start).record)
        it.recorded(2)
        it.do(control.AddNote(author="Clerk --> <b>", text="a --> b & <c>"))
        it.stop()
    return it, record


@pytest.fixture
def record(made: tuple[Room, Path], tmp_path: Path) -> Path:
    shutil.copytree(made[1], tmp_path / made[1].name)
    return tmp_path / made[1].name


def copy(it: Room, record: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", "copy", str(record), str(out), "--key", str(it.keys.court_key), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "400"})


def source(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "derivative.json").read_text())["source"]
    return found


def digit_altered(record: Path) -> None:
    journal = record / layout.JOURNAL
    lines = journal.read_bytes().split(b"\n")
    lines[len(lines) // 2] = lines[len(lines) // 2].replace(b'"t_us":', b'"t_us":9', 1)
    journal.write_bytes(b"\n".join(lines))


def rechained(record: Path) -> None:
    """All lines written anew by somebody without the key, who forges the note."""
    previous, lines = entries.FIRST_PREV, []
    for raw in (record / layout.JOURNAL).read_bytes().splitlines():
        fields = canonical.decode(raw)
        if fields["type"] == "note":
            fields["text"] = FORGED
        lines.append(canonical.encode(fields | {"prev": previous}) + b"\n")
        previous = line_sha256(lines[-1][:-1])
    (record / layout.JOURNAL).write_bytes(b"".join(lines))


def line_sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def signature_altered(record: Path) -> None:
    place = record / layout.SUMS_SIGNATURE
    place.write_bytes(place.read_bytes()[:-1] + bytes([place.read_bytes()[-1] ^ 1]))


def file_added(record: Path) -> None:
    (record / "tracks" / "extra.mp4").write_bytes(b"x")


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        (digit_altered, "journal.jsonl"),
        (rechained, "journal.jsonl"),
        (signature_altered, "SHA256SUMS.p7s"),
        (file_added, "tracks/extra.mp4"),
    ],
)
def test_a_broken_record_is_refused_with_what_was_found_or_its_copy_says_so(
    made: tuple[Room, Path], record: Path, tmp_path: Path, tamper: Callable[[Path], None], place: str
) -> None:
    tamper(record)
    refused = copy(made[0], record, tmp_path / "c")
    assert refused.returncode == 1
    assert "BROKEN" in refused.stderr
    assert place in refused.stderr
    assert not (tmp_path / "c").exists()
    done = copy(made[0], record, tmp_path / "c", "--even-if-broken")
    assert done.returncode == 1, done.stderr
    assert "the record is broken" in done.stdout
    told = source(tmp_path / "c")
    assert told["verdict"] == "broken"
    assert place in " ".join(finding["place"] for finding in told["findings"])
    page = (tmp_path / "c" / "index.html").read_text()
    assert '"source": {"level": "broken"' in page
    assert place in page.split('id="story"')[1]


def test_a_whole_record_s_copy_says_what_was_proven(made: tuple[Room, Path], tmp_path: Path) -> None:
    it, whole = made
    assert copy(it, whole, tmp_path / "a", "--ca", str(it.keys.root)).returncode == 0
    told = source(tmp_path / "a")
    assert told["verdict"] in {"sealed", "anchored"}
    assert told["signer_trusted"]
    last = (whole / layout.JOURNAL).read_bytes().splitlines()[-1]
    assert (told["entries"], told["head"]) == (canonical.decode(last)["seq"] + 1, line_sha256(last))
    assert copy(it, whole, tmp_path / "b").returncode == 0
    assert source(tmp_path / "b")["verdict"] == "signed_only"


def test_an_unsealed_record_is_copied_and_the_copy_says_so(made: tuple[Room, Path], record: Path, tmp_path: Path) -> None:
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        (record / name).unlink()
    done = copy(made[0], record, tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "not sealed" in done.stdout
    told = source(tmp_path / "c")
    assert (told["verdict"], told["sha256sums_sha256"]) == ("unsealed", None)
    assert not told["signer_trusted"]
    assert "Nothing of it is proven" in told["sentence"]  # no authority was given
    assert told["sentence"] in (tmp_path / "c" / "index.html").read_text().split('id="story"')[1]


def test_titles_and_notes_are_text_on_page_and_in_subtitles(made: tuple[Room, Path], tmp_path: Path) -> None:
    assert copy(made[0], made[1], tmp_path / "c").returncode == 0
    page = (tmp_path / "c" / "index.html").read_text()
    assert "<title>@STORY@ &amp; @CASE@</title>" in page
    assert "@STORY@ &lt;b&gt;" in page
    assert page.count('"first_us"') == 1
    json.loads(page.split('id="story">')[1].split("</script>")[0])
    assert "Clerk → &lt;b>: a → b &amp; &lt;c>" in (tmp_path / "c" / "notes.vtt").read_text()


WARNING = """(() => { const it = document.getElementById("source"); return { hidden: it.hidden, text: it.innerText } })()"""


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
def test_the_page_warns_of_a_broken_source_and_of_no_whole_one(made: tuple[Room, Path], record: Path, tmp_path: Path) -> None:
    file_added(record)
    it, whole = made
    assert copy(it, record, tmp_path / "broken", "--even-if-broken").returncode == 1
    assert copy(it, whole, tmp_path / "whole", "--ca", str(it.keys.root)).returncode == 0
    warned = browser.ask(f"file://{tmp_path}/broken/index.html", WARNING)
    assert not warned["hidden"]
    assert "tracks/extra.mp4" in warned["text"]
    assert browser.ask(f"file://{tmp_path}/whole/index.html", WARNING)["hidden"]


INIT = entries.Init(
    track="x", part=0, file="tracks/x/init-00.mp4", len=1, sha256="0" * 64, kind="audio", codec="flac", timescale=48_000
)  # fmt: skip
FRAG = entries.Frag(track="x", part=0, seg=0, n=0, off=0, len=1, sha256="0" * 64, t0=0, dur=1)


def changed(entry: Entry, **fields: object) -> Entry:
    return msgspec.structs.replace(entry, **fields)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([changed(INIT, file="../../../evil.sh")], "names '../../../evil.sh' for a header"),
        ([changed(INIT, file="/etc/passwd")], "names '/etc/passwd'"),
        ([changed(INIT, track="../../x", file="tracks/../../x/init-00.mp4")], "speaks of track '../../x'"),
        ([changed(INIT, key="../court.key")], "names '../court.key' for a key"),
        ([changed(INIT, timescale=0)], "a timescale of 0"),
        ([changed(INIT, width=-1)], "sizes (-1"),
        ([changed(INIT, part=-1, file="tracks/x/init--1.mp4")], "part -1"),
        ([INIT, INIT], "a second time"),
        ([FRAG], "which has no header"),
        ([INIT, changed(FRAG, off=-5)], "at byte -5"),
        ([INIT, changed(FRAG, len=-5)], "-5 bytes"),
        ([INIT, changed(FRAG, seg=-1)], "of segment -1"),
        ([INIT, changed(FRAG, t0=2**53 - 2)], "behind the session's beginning"),
        ([entries.Key(track="x", part=0, file="keys/../x", len=1, sha256="0" * 64)], "names 'keys/../x' for a key"),
    ],
)
def test_no_path_and_no_number_of_a_journal_is_believed(made: tuple[Room, Path], tmp_path: Path, lines: list[Entry], said: str) -> None:
    genesis = read_story(made[1]).genesis
    chain = Chain()
    (tmp_path / layout.JOURNAL).write_bytes(b"".join(chain.line(entry, Times(1, 1, 0)) for entry in [genesis, *lines]))
    with pytest.raises(CopyError, match="no copy can be made") as told:
        read_story(tmp_path)
    assert said in str(told.value)


def test_what_is_no_regular_file_is_not_waited_for(record: Path) -> None:
    (record / layout.JOURNAL).unlink()
    os.mkfifo(record / layout.JOURNAL)
    with pytest.raises(CopyError, match="is no regular file"):
        read_story(record)


def test_media_behind_a_link_is_not_copied(made: tuple[Room, Path], record: Path, tmp_path: Path) -> None:
    shutil.move(record / "tracks" / "judge", tmp_path / "elsewhere")
    (record / "tracks" / "judge").symlink_to(tmp_path / "elsewhere")
    done = copy(made[0], record, tmp_path / "c", "--even-if-broken")
    assert done.returncode == 1
    assert "a link stands in its path" in done.stdout
    assert not (tmp_path / "c" / "tracks" / "judge").exists()
