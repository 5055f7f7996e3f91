"""The command's exit statuses, as its unit reads them."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recorder.contract import conference as contract
from tests.vks.test_display_door import ROOM
from vks.cli import app
from vks.service import Settings, serve

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


def at(run_dir: Path, **more: object) -> Settings:
    return Settings(run_dir=run_dir, own_run_dir=run_dir, cameras=[], **more)  # type: ignore[arg-type]


def in_the_way(base: Path, _: int) -> Settings:
    Path(contract.socket_path(str(base))).mkdir()
    return at(base)


def no_directory(base: Path, _: int) -> Settings:
    return at(base / "none")


def too_long(base: Path, _: int) -> Settings:
    return at(base / ("r" * 120))


def taken(base: Path, port: int) -> Settings:
    return at(base, address="127.0.0.1", port=port)


def no_key(base: Path, _: int) -> Settings:
    return at(base, address="127.0.0.1", certificate=base / "chain.pem", key=base / "key.pem")


@pytest.mark.parametrize(
    ("settings", "place", "remedy"),
    [
        (in_the_way, "vks.sock", "by --own-run"), (no_directory, "/none/vks.sock", "by --own-run"), (too_long, "/vks.sock", "by --own-run"),
        (taken, "[vks] address = '127.0.0.1', port = {port}", "a port that nothing else"), (no_key, "chain.pem", "No such file"),
    ],
)  # fmt: skip
def test_a_door_that_cannot_be_opened_is_one_clear_error_with_the_status_of_a_wrong_configuration(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: Callable[[Path, int], Settings], place: str, remedy: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status = asyncio.run(serve(settings(tmp_path, port)))
    written = "".join(capfd.readouterr())
    assert status == CliRunner().invoke(app, ["run", "--config", str(tmp_path)]).exit_code
    assert place.format(port=port) in written
    assert remedy in written
    assert "Traceback" not in written
