"""What ``courtroom level`` says and which status it has, whatever becomes of its output and of the record."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from recorder.record import layout
from tests.record.ordering import Ordered, ordered


@pytest.fixture(scope="module")
def whole(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Ordered:
    """Not to be changed."""
    return ordered(tmp_path_factory.mktemp("ordered"), keys, keys.court)


@pytest.fixture
def it(whole: Ordered, tmp_path: Path) -> Ordered:
    return whole.copied(tmp_path / "record")


@pytest.fixture
def command(it: Ordered, keys: Hierarchy, tmp_path: Path) -> list[str]:
    key = key_files.write(keys, tmp_path / "keys").court_key
    wish = ["--level", "secret", "--actor", "Judge", "--order", "No 12/3", "--key", str(key)]
    return [sys.executable, "-m", "agent.cli", "level", str(it.root), *wish]


def test_an_order_whose_report_cannot_be_written_is_told_to_be_given(it: Ordered, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (70, False)
    assert "do not give it again" in done.stderr
    assert (it.root / layout.order_file(1)).exists()


def test_an_order_of_whose_report_nothing_is_read_is_given(it: Ordered, command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert (it.root / layout.order_file(1)).exists()


def run(command: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *more], check=False, capture_output=True, text=True, timeout=60)


def test_no_order_is_given_beside_a_broken_record_unless_asked_for(it: Ordered, command: list[str]) -> None:
    (it.root / "tracks/mic-judge/seg-000000.m4s").write_bytes(b"x")
    done = run(command)
    assert (done.returncode, (it.root / layout.order_file(1)).exists()) == (1, False)
    assert "BROKEN" in done.stderr
    assert "--even-if-broken" in done.stderr
    done = run(command, "--even-if-broken")
    assert (done.returncode, (it.root / layout.order_file(1)).exists()) == (0, True)
    assert "The record is broken" in done.stdout


def test_what_is_no_record_is_called_that(it: Ordered, command: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        done = run([str(tmp_path / place) if part == str(it.root) else part for part in command])
        assert done.returncode == 1
        assert "is no record" in done.stderr
        assert "give it again" not in done.stderr.lower()
