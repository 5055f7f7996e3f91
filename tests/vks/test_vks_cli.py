"""The command's exit statuses, as its unit reads them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.vks.test_display_door import ROOM
from vks.cli import app

UNIT = Path(__file__).parents[2] / "systemd" / "courtroom-vks.service"


def stays_down(status: int) -> bool:
    """Whether systemd leaves the service as it is where the command ends so, and counts that as no failure."""
    text = UNIT.read_text(encoding="utf-8")
    settings = [re.findall(rf"^{name}=(.*)$", text, re.MULTILINE) for name in ("RestartPreventExitStatus", "SuccessExitStatus")]
    assert settings[0] == settings[1]
    return str(status) in settings[0][0].split()


@pytest.mark.parametrize(
    ("room", "rests", "words"),
    [(ROOM, True, "there is no [vks] table"), (ROOM + "[vks]\nport = 'none'\n", False, "port"), ("[room\n", False, "room.toml")],
)
def test_a_room_without_a_videoconference_is_left_in_peace_and_a_broken_configuration_is_told_again(
    tmp_path: Path, room: str, *, rests: bool, words: str
) -> None:
    config = tmp_path / "room.toml"
    config.write_text(room, encoding="utf-8")
    done = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert done.exit_code != 0
    assert words in done.stderr
    assert stays_down(done.exit_code) == rests
