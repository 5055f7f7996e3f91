"""A copy of an interval holds all of it, no more of what was recorded before and behind it than it must, and says from when to when."""

import json
from pathlib import Path

import pytest

from recorder.contract import control
from tests.lab.room import room
from tests.recorder.test_level_copies import FRAGMENT_US, GOP_US, Sealed, courtroom, of_copy, of_record

pytestmark = [pytest.mark.timeout(120)]
FROM_US, TO_US = 2_300_000, 3_100_000
UNIT_US = 100_000
"""Longer than any picture or block of sound."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Six seconds in one segment, a note in the first of them. Not to be changed."""
    with room(tmp_path_factory.mktemp("interval"), extra="[encoding]\ngop_s = 1\n") as it:
        it.wait_live("cam", "judge", "room-mix")
        record = it.begin()
        it.do(control.AddNote(author="Clerk", text="Witness A lives in Abai street"))
        it.recorded(6)
        it.stop()
    return Sealed(it, it.keys, record)


@pytest.fixture(scope="module")
def out(sealed: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "copy"
    done = sealed.copy(out, "--from", f"{FROM_US / 1e6}", "--to", f"{TO_US / 1e6}")
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(("track", "more_us"), [("cam", GOP_US + FRAGMENT_US), ("judge", FRAGMENT_US), ("room-mix", FRAGMENT_US)])
def test_it_is_cut_at_the_nearest_seams_outside(sealed: Sealed, out: Path, track: str, more_us: int) -> None:
    copied, recorded = of_copy(out, track), of_record(sealed, track)
    assert [one for one in recorded if FROM_US <= one[0] < TO_US] == [one for one in copied if FROM_US <= one[0] < TO_US]
    assert FROM_US - more_us - UNIT_US <= copied[0][0]
    assert copied[-1][0] <= TO_US + more_us + UNIT_US
    assert recorded[0][0] < copied[0][0]
    assert copied[-1][0] < recorded[-1][0]


@pytest.mark.parametrize("track", ["cam", "judge", "room-mix"])
def test_it_says_from_when_to_when_it_has_each_track(out: Path, track: str) -> None:
    told = json.loads((out / "derivative.json").read_text())
    assert (told["choice"]["from_us"], told["choice"]["to_us"]) == (FROM_US, TO_US)
    span = next(one for one in told["copied"] if one["track"] == track)
    times = [at_us for at_us, _ in of_copy(out, track)]
    assert abs(span["from_us"] - times[0]) <= UNIT_US
    assert 0 <= span["to_us"] - times[-1] <= UNIT_US


def test_its_notes_are_those_of_the_interval(sealed: Sealed, out: Path, tmp_path: Path) -> None:
    for folder in (out, tmp_path / "whole"):
        if folder != out:
            assert sealed.copy(folder).returncode == 0
        said = "Abai street" in (folder / "notes.vtt").read_text() + (folder / "index.html").read_text()
        assert said == (folder != out)


def test_whoever_is_given_it_verifies_it(sealed: Sealed, out: Path) -> None:
    done = courtroom("verify", str(out), "--ca", str(sealed.room.keys.root))
    assert done.returncode == 0, done.stdout
