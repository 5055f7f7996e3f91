"""What docs/threats.md says to be stopped is tried by a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", (ROOT / "docs" / "threats.md").read_text(encoding="utf-8"))
ROWS = re.findall(r"^\| (?!he tries|it tries|---)(.+) \|$", (ROOT / "docs" / "threats.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_attack_that_is_said_to_be_stopped_has_its_test() -> None:
    without = [row for row in ROWS if not row.startswith("-") and "::test_" not in row]
    assert ROWS
    assert not without


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_the_test_that_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
