"""The lines of docs/integration.md run as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.upstream import contract
from tests.lab.centre import Centre, centre

PAGE = (Path(__file__).parents[2] / "docs" / "integration.md").read_text(encoding="utf-8")
LINES = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_every_line_runs_and_does_what_the_page_says(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        it.role("case_system")
        said = run(it, tmp_path, "".join(LINES).replace("https://127.0.0.1:8443", it.url))
    answers = said.split("\n")
    assert re.fullmatch(r'\{"offset":\d{13},"changed":1\}.*', answers[0])
    assert said.count('"changed":1') == 3
    assert '"changed":2' in said
    assert said.count('"title":"The message is not one of the contract."') == 1


def test_every_event_that_a_room_can_tell_is_on_the_page() -> None:
    tags = {str(kind.__struct_config__.tag) for kind in contract.EventData.__subclasses__()}
    assert not {tag for tag in tags if f"`{tag}`" not in PAGE}


def run(it: Centre, place: Path, script: str) -> str:
    shutil.copy(it.home.roots, place / "root.pem")
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=place, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
