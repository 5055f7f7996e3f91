"""What somebody laid in a file's place on one of the disks, a link or a pipe, neither leads bytes elsewhere nor holds anybody up."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.disk import Disk, Write
from recorder.file_copy import DamagedError, Pair, append_line, bring, copy_receipts
from recorder.file_table import Stored
from recorder.read_back import Seen, read_on
from recorder.record import layout
from recorder.sealed_copy import complete, is_level
from recorder.storage import BALLAST, Ballast
from tests.recorder.committing import NAME, bytes_of, judged, sealed_and_behind

SEGMENT = layout.segment_file("cam", 0)
ELSEWHERE = b"x" * 4096
Plant = Callable[[Path, Path], None]


def pipe(place: Path, _: Path) -> None:
    place.unlink(missing_ok=True)
    os.mkfifo(place)


def link(place: Path, elsewhere: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(elsewhere)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    made = tmp_path / "elsewhere"
    made.write_bytes(ELSEWHERE)
    return made


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Path]:
    """A sealed record, and a copy of it that stayed behind."""
    return sealed_and_behind(tmp_path)


@pytest.mark.parametrize("plant", [pipe, link])
def test_what_lies_in_a_file_s_place_on_the_second_disk_is_set_aside(sealed: tuple[Path, Path], elsewhere: Path, plant: Plant) -> None:
    record, behind = sealed
    plant(behind / SEGMENT, elsewhere)
    assert complete(record, behind, lambda: True)
    assert bytes_of(record) == bytes_of(behind)
    assert judged(behind).level == "sealed"
    [kept] = (behind.parent / ".differs" / NAME / SEGMENT).parent.iterdir()
    assert kept.is_fifo() or kept.is_symlink()
    assert elsewhere.read_bytes() == ELSEWHERE


@pytest.mark.parametrize("plant", [pipe, link])
@pytest.mark.parametrize("there", [True, False])
def test_what_lies_in_a_file_s_place_on_the_first_disk_is_not_copied(
    sealed: tuple[Path, Path], elsewhere: Path, plant: Plant, there: bool
) -> None:
    record, behind = sealed
    data = (record / SEGMENT).read_bytes()
    elsewhere.write_bytes(data)
    if not there:
        (behind / SEGMENT).write_bytes(data[:20])
    plant(record / SEGMENT, elsewhere)
    with pytest.raises(DamagedError):
        bring(Pair(record, behind, SEGMENT), Stored(len(data), None), 0)
    assert (behind / SEGMENT).read_bytes() == (data if there else data[:20])
    assert not is_level(record, behind)


def test_a_directory_that_is_a_link_is_neither_read_nor_written(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    record, behind = sealed
    data = (record / SEGMENT).read_bytes()
    for root, damaged in ((behind, OSError), (record, DamagedError)):
        there = (root / SEGMENT).parent
        there.rename(tmp_path / f"away-{root.parent.name}")
        there.symlink_to(tmp_path / f"away-{root.parent.name}")
        with pytest.raises(damaged):
            bring(Pair(record, behind, SEGMENT), Stored(len(data) - 1, None), 0)
        with pytest.raises(OSError, match="a link stands in its path"):
            Disk(root).write(Write(SEGMENT, 0, b"y"))
        there.unlink()
        (tmp_path / f"away-{root.parent.name}").rename(there)
    assert (record / SEGMENT).read_bytes() == (behind / SEGMENT).read_bytes() == data


@pytest.mark.parametrize("plant", [pipe, link])
def test_the_recorder_writes_and_reads_back_files_alone(tmp_path: Path, elsewhere: Path, plant: Plant) -> None:
    disk = Disk(tmp_path / NAME)
    disk.make()
    plant(disk.root / "journal.jsonl", elsewhere)
    with pytest.raises(OSError, match="is no regular file"):
        disk.write(Write("journal.jsonl", 0, b"y"))
    with pytest.raises(OSError, match="is no regular file"):
        append_line(disk.root / "journal.jsonl", b"y")
    with pytest.raises(OSError, match=r"is no regular file|symbolic links"):
        read_on(str(disk.root / "journal.jsonl"), Seen(), 1)
    assert elsewhere.read_bytes() == ELSEWHERE


@pytest.mark.parametrize("plant", [pipe, link])
@pytest.mark.parametrize("side", [0, 1])
def test_receipts_are_copied_from_file_to_file_alone(sealed: tuple[Path, Path], elsewhere: Path, plant: Plant, side: int) -> None:
    for root in sealed:
        append_line(root / layout.ANCHORS, b"{}")
    plant(sealed[side] / layout.ANCHORS, elsewhere)
    with pytest.raises(OSError, match=r"is no regular file|symbolic links"):
        copy_receipts(*sealed)
    assert elsewhere.read_bytes() == ELSEWHERE


@pytest.mark.parametrize("plant", [pipe, link])
def test_ballast_is_room_of_its_own_disk(tmp_path: Path, elsewhere: Path, plant: Plant) -> None:
    plant(tmp_path / BALLAST, elsewhere)
    assert Ballast(tmp_path, len(ELSEWHERE)).lay()
    assert (tmp_path / BALLAST).lstat().st_blocks * 512 >= len(ELSEWHERE)
    assert elsewhere.read_bytes() == ELSEWHERE
