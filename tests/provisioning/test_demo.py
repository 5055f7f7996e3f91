"""What a demonstration may remove: its own directory, and nothing else."""

from pathlib import Path

import pytest

from provisioning.demo import make_anew
from provisioning.demo_site import DemoError


def test_what_an_earlier_demo_left_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_anew(out)
    (out / "records").mkdir()
    make_anew(out)
    assert [path.name for path in out.iterdir()] == [".courtroom-demo"]


def test_a_directory_of_records_is_never_taken_for_one_that_a_demo_may_remove(tmp_path: Path) -> None:
    record = tmp_path / "records" / "2026-11-29_room-1_x" / "journal.jsonl"
    record.parent.mkdir(parents=True)
    record.write_text("evidence")
    with pytest.raises(DemoError, match="no demo made it: name another directory by --out"):
        make_anew(tmp_path / "records")
    assert record.read_text() == "evidence"


def test_a_file_or_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(DemoError, match=f"{out} .*--out"):
            make_anew(out)
