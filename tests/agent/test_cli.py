"""What the ``courtroom`` command says of itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.desk import SOCKET
from tests.lab.room import Room


@pytest.mark.parametrize(
    ("words", "tables"), [(["conference"], {"[vks.audience]"}), (["deliver"], {"[centre]", "[retention]"}), (["vks", "run"], {"[vks]"})]
)
def test_the_help_names_the_tables_of_room_toml(words: list[str], tables: set[str]) -> None:
    said = subprocess.run([sys.executable, "-m", "agent.cli", *words, "--help"], capture_output=True, text=True, check=True).stdout
    assert tables <= set(re.findall(r"\[[a-z.]+\]", said))
    assert "\\[" not in said


@pytest.mark.parametrize(
    ("in_the_way", "says"),
    [("", "the directory {} cannot be made"), (f"{SOCKET}/kept", f"the agent's socket {{}}/{SOCKET} cannot be made")],
)
def test_an_agent_whose_socket_cannot_be_made_says_where_and_what_to_do(tmp_path: Path, in_the_way: str, says: str) -> None:
    sockets = tmp_path / "sockets"
    (sockets / in_the_way).parent.mkdir(parents=True, exist_ok=True)
    (sockets / in_the_way).touch()
    command = [sys.executable, "-m", "agent.cli", "agent", "run", "--config", str(Room(tmp_path).config)]
    places = ["--run", str(tmp_path), "--own-run", str(sockets), "--state", str(tmp_path / "state")]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ, COLUMNS="500"))
    assert done.returncode == 1
    assert says.format(sockets) in done.stderr
    assert "by --own-run" in done.stderr
    assert "Traceback" not in done.stderr
