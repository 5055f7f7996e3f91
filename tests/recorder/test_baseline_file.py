"""The baseline's file: whole or not there, and never the end of who reads it."""

from pathlib import Path

import pytest

from recorder.baseline_file import BaselineError, read_floors, write_baseline
from recorder.children.watch import floors_of


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"tracks": []}', '{"tracks": {"judge": 1}}', '{"tracks": {"judge": {"floor_dbfs": null}}}',
     '{"tracks": {"judge": {"floor_dbfs": NaN}}}', "\x00" * 40],
)  # fmt: skip
def test_the_watch_goes_on_without_a_baseline_that_is_none_and_names_the_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(text)
    assert floors_of(str(file)) == {}
    said = capsys.readouterr().err
    assert str(file) in said
    assert "courtroom baseline" in said


def test_a_baseline_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="cannot be read"):
        read_floors(str(tmp_path))
    assert read_floors(str(tmp_path / "none.json")) == {}


def test_a_baseline_takes_the_place_of_the_one_before_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    write_baseline(file, "live", {"judge": {"floor_dbfs": -60.0}, "cam": {"brightness": 80.0}})
    file.chmod(0o640)
    before = file.stat().st_ino
    write_baseline(file, "live", {"judge": {"floor_dbfs": -55.5}})
    assert read_floors(str(file)) == {"judge": -55.5}
    assert file.stat().st_ino != before
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]
