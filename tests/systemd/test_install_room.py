"""The room's installer leaves a program alone by which a session is recorded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.room import Room, room

SCRIPT = Path(__file__).parents[2] / "scripts/install-room"
WOULD_INSTALL = "would install"


@pytest.fixture
def installer(tmp_path: Path) -> Path:
    """The script up to where it begins to install, for a program and a recorder that are elsewhere. It believes to be root."""
    text = SCRIPT.read_text()
    head, begins, _ = text.partition("\nwork=$(mktemp -d)\n")
    assert begins
    for name, value in (("program", tmp_path / "program"), ("run", tmp_path / "room/run")):
        head, places = re.subn(rf"^{name}=\S+$", f"{name}={value}", head, flags=re.MULTILINE)
        assert places == 1
    programs = tmp_path / "program/bin"
    programs.mkdir(parents=True)
    for name in ("courtroom", "python"):
        (programs / name).symlink_to(Path(sys.executable).parent / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "bin/id").chmod(0o755)
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/install-room"
    script.write_text(f"{head}\necho '{WOULD_INSTALL}'\n")
    return script


def install(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{script.parents[1] / 'bin'}:{os.environ['PATH']}"
    command = [shutil.which("sh") or "/bin/sh", str(script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | {"PATH": path})


def installs(script: Path, *words: str) -> bool:
    return WOULD_INSTALL in install(script, *words).stdout


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


def test_nothing_is_installed_while_a_session_is_open_unless_told_to(installer: Path, base: Path) -> None:
    assert installs(installer), "no recorder runs"
    with room(base) as it:
        it.wait_live()
        assert installs(installer), "it is idle"
        it.begin()
        _refuses(installer, "A session is open")
        assert installs(installer, "--during-session")
        it.stop()
        assert installs(installer), "the hearing has ended"


def test_nothing_is_installed_under_a_recorder_that_does_not_answer(installer: Path, base: Path) -> None:
    with room(base) as it:
        _killed_in_a_session(it)
        _refuses(installer, "does not say whether a session is open")


def test_a_word_that_is_not_known_installs_nothing(installer: Path) -> None:
    done = install(installer, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--during-session" in done.stderr


def test_the_session_is_asked_for_again_right_before_the_program_is_replaced() -> None:
    text = SCRIPT.read_text()
    first, second = (found.start() for found in re.finditer(r"^refuse_in_a_session\b(?!\()", text, flags=re.MULTILINE))
    assert first < text.index("scripts/setup-debian run") < second < text.index("pip install")


def _killed_in_a_session(it: Room) -> None:
    it.wait_live()
    it.begin()
    it.kill()


def _refuses(script: Path, says: str) -> None:
    done = install(script)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "--during-session" in done.stderr
