"""The units are what systemd accepts, and as closed as they claim."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import application

SYSTEMD = Path(__file__).parents[2] / "systemd"
MODULES = {"char-video4linux": "videodev", "char-alsa": "snd", "char-drm": "drm"}
"""Which module gives the kernel a class of devices (``/proc/devices``); NVIDIA's own driver is loaded by its own packages."""
UNITS = sorted(SYSTEMD.glob("*.service"))
pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_systemd_knows_every_line_of_the_unit(unit: Path, tmp_path: Path) -> None:
    # The command is installed elsewhere; its place is the only thing exchanged.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    said = run("systemd-analyze", "verify", "--man=no", copy)
    assert [line for line in said.splitlines() if unit.name in line] == []


def test_the_unit_leaves_little_to_attack(unit: Path) -> None:
    run("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", unit)


def test_the_unit_calls_a_command_that_exists(unit: Path) -> None:
    match = re.search(r"^ExecStart=\S+/courtroom (.+)$", unit.read_text(), flags=re.MULTILINE)
    assert match
    words = match[1].split()
    command = words[: next(index for index, word in enumerate(words) if word.startswith("--"))]
    done = CliRunner().invoke(application(), [*command, "--help"])
    assert done.exit_code == 0, done.output


def test_the_unit_names_a_page_that_is_installed(unit: Path) -> None:
    match = re.search(r"^Documentation=file:(\S+)/(docs/\S+\.md)$", unit.read_text(), flags=re.MULTILINE)
    assert match
    assert (SYSTEMD.parent / match[2]).is_file()
    installed = (SYSTEMD.parent / "scripts/install-room").read_text()
    assert f"\npages={match[1]} " in installed
    assert 'install -D -m 644 -t "$pages/docs" docs/*.md' in installed


def test_each_class_of_devices_that_a_unit_may_open_is_known_to_the_kernel_before_the_unit_starts(unit: Path) -> None:
    lines = [line.partition("=") for line in unit.read_text().splitlines()]
    classes = {value.split()[0] for key, _, value in lines if key == "DeviceAllow"} - {"char-nvidia*"}
    for key in ("Wants", "After"):
        named = {word for each, _, value in lines if each == key for word in value.split()}
        assert {f"modprobe@{MODULES[one]}.service" for one in classes} <= named


def test_users_and_directories_are_what_systemd_accepts(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "courtroom.sysusers.conf")
    made = (tmp_path / "etc" / "passwd").read_text()
    for user in ("courtroom-recorder", "courtroom-agent", "courtroom-vks"):
        assert f"\n{user}:" in f"\n{made}"


def test_cameras_and_sound_cards_are_taken_from_the_consoles_user_between_systemds_tag_and_what_it_does() -> None:
    # Debian 12: 70-uaccess.rules adds the tag, 73-seat-late.rules acts upon it; udev(7): files are read in the order of their names.
    installed = re.findall(r"/usr/lib/udev/rules\.d/(\S+)$", (SYSTEMD.parent / "scripts/install-room").read_text(), flags=re.MULTILINE)
    assert installed == [rules.name for rules in SYSTEMD.glob("*.rules")]
    (name,) = installed
    assert "70-uaccess.rules" < name < "73-seat-late.rules"
    for subsystem in ("video4linux", "sound"):
        assert re.search(rf'^SUBSYSTEM=="{subsystem}", .*TAG-="uaccess"$', (SYSTEMD / name).read_text(), flags=re.MULTILINE)
