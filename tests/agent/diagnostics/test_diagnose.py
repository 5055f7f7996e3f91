"""``courtroom diagnose`` beside a real recorder."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.contract import control
from tests.lab.room import TEST_DEVICES, Room, room

LOST_CAMERA = TEST_DEVICES + '[[camera]]\nid = "witness-cam"\nlabel = "Witness stand"\ndriver = "v4l2"\npath = "/dev/v4l/by-path/no-such"\n'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with room(tmp_path_factory.mktemp("lab"), LOST_CAMERA) as it:
        it.wait_live("cam", "judge", "witness")
        yield it


def diagnose(it: Room, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", "diagnose", "--config", str(it.config), "--run", str(it.run_dir), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_camera_is_named_with_what_to_do_and_the_rest_is_good(lab: Room) -> None:
    done = diagnose(lab, "--json", "-l", "en")
    assert done.returncode == 2, done.stderr
    checks = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert checks["capture"]["result"] == "bad"
    assert "'Witness stand' (witness-cam) is not there" in checks["capture"]["detail"]
    assert "courtroom devices" in checks["capture"]["remedy"]
    assert checks["capture"]["values"]["tracks_live"] == 3
    assert checks["disk"]["result"] == "good", checks["disk"]


def test_it_refuses_politely_while_a_hearing_is_recorded(lab: Room) -> None:
    lab.begin()
    try:
        done = diagnose(lab)
    finally:
        lab.do(control.StopRequest(actor="Clerk"))
    assert done.returncode == 4
    assert "a hearing is being recorded" in done.stderr


def test_a_recorder_that_is_away_is_told_as_a_table_in_the_rooms_language(tmp_path: Path, lab: Room) -> None:
    command = [sys.executable, "-m", "agent.cli", "diagnose", "--config", str(lab.config), "--run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Камералар мен микрофондар" in done.stdout
    assert "courtroom-recorder" in done.stdout
