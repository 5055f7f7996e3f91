"""docs/record-format.md names what the code writes."""

import re
from pathlib import Path
from typing import get_args

import pytest

from recorder.record import entries
from recorder.record.entries import Entry

PAGE = (Path(__file__).parents[2] / "docs" / "record-format.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("entry", get_args(entries.AnyEntry), ids=lambda entry: str(entry.__struct_config__.tag))
def test_every_entry_and_each_of_its_fields_is_described(entry: type[Entry]) -> None:
    tag = entry.__struct_config__.tag
    rows = [row for row in ROWS if f"`{tag}`" in row.split("|")[1]]
    assert len(rows) == 1
    missing = [name for name in entry.__struct_fields__ if not re.search(rf"`{name}`", rows[0])]
    assert missing == []
