"""Who may import whom, as it turns out when the modules are really loaded. The import linter holds the same rules on the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODECS = {"av", "numpy", "cv2", "sounddevice"}
CORE = sorted(f"recorder.{path.stem}" for path in (ROOT / "recorder").glob("*.py") if path.stem != "__init__")
RECORD = sorted((ROOT / "recorder" / "record").glob("*.py"))


def loaded_by(module: str) -> set[str]:
    """Names of all top-level packages in a process that imports one module."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", CORE)
def test_no_module_of_the_core_brings_a_codec_into_its_process(module: str) -> None:
    assert not loaded_by(module) & CODECS


def test_the_core_is_among_what_is_tested() -> None:
    assert "recorder.core" in CORE
    assert loaded_by("av") & CODECS == {"av"}


@pytest.mark.parametrize("path", RECORD, ids=lambda path: path.stem)
def test_the_record_stands_alone_so_that_anyone_can_verify(path: Path) -> None:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports, so that this test sees them"
            names.append(node.module or "")
    ours = [name for name in names if name.split(".")[0] in {"recorder", "agent", "vks", "drivers"}]
    assert [name for name in ours if not (name == "recorder.record" or name.startswith("recorder.record."))] == []
