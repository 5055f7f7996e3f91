"""The room's baseline, taken live from a real recorder by the real command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.room import room

pytestmark = pytest.mark.timeout(120)


def baseline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "agent.cli", "baseline", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.lab
def test_the_quiet_room_is_measured_without_a_session_and_without_a_key(tmp_path: Path) -> None:
    out = tmp_path / "baseline.json"
    with room(tmp_path / "room") as it:
        levels = {c.track: c.rms_dbfs for c in it.wait_live("judge", "witness").channels if c.rms_dbfs is not None}
        done = baseline("--run", str(it.run_dir), "--seconds", "5", "--out", str(out))
        assert not any(it.primary.glob("*_lab_*")), "nothing was recorded for it"
    assert done.returncode == 0, done.stderr
    tracks = json.loads(out.read_text())["tracks"]
    assert set(tracks) == {"judge", "witness", "room-mix"}
    for track in ("judge", "witness"):
        assert tracks[track]["floor_dbfs"] == pytest.approx(levels[track], abs=1.5)
        assert tracks[track]["floor_dbfs"] <= tracks[track]["level_dbfs"]


def test_without_a_recorder_the_command_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = baseline("--run", str(tmp_path), "--out", str(tmp_path / "baseline.json"))
    assert done.returncode == 1
    assert "recorder" in done.stderr
    assert not (tmp_path / "baseline.json").exists()
