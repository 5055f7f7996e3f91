"""What the ``courtroom`` command says of itself."""

import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "tables"), [(["conference"], {"[vks.audience]"}), (["deliver"], {"[centre]", "[retention]"}), (["vks", "run"], {"[vks]"})]
)
def test_the_help_names_the_tables_of_room_toml(words: list[str], tables: set[str]) -> None:
    said = subprocess.run([sys.executable, "-m", "agent.cli", *words, "--help"], capture_output=True, text=True, check=True).stdout
    assert tables <= set(re.findall(r"\[[a-z.]+\]", said))
    assert "\\[" not in said
