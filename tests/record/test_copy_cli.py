"""What ``courtroom copy`` says where a path that it is given cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest

from recorder.record.checkpoint import Receipt
from tests.record.record_builder import Builder


@pytest.mark.parametrize(
    ("out", "options", "said"), [("x" * 300, (), "cannot be made"), ("out", ("--key", "nope.key"), "name the recipient's key by --key")]
)
def test_a_path_that_cannot_be_used_is_one_clear_error(
    finished: tuple[Builder, list[Receipt]], tmp_path: Path, out: str, options: tuple[str, ...], said: str
) -> None:
    command = [sys.executable, "-m", "agent.cli", "copy", str(finished[0].root), str(tmp_path / out), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said in " ".join(done.stderr.split())
