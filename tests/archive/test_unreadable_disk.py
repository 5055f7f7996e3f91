"""What on a disk cannot be looked at is told, and hides no record beside it: in the room and at the archive."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.archive.records import Records
from agent.archive.station import records_on
from recorder.record.trust import Authorities
from tests.lab.forbidden import forbid
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    made = tmp_path / "mirror"
    made.mkdir()
    return made


def test_what_a_file_system_keeps_for_root_is_no_record_and_no_alarm(
    make_record: Make, mirror: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is mounted where the records are, as ext4 makes it."""
    root = make_record().root
    shutil.copytree(root, mirror / root.name)
    for base in (root.parent, mirror):
        (base / "lost+found").mkdir()
    forbid(monkeypatch, root.parent / "lost+found", mirror / "lost+found")
    records = Records([root.parent, mirror], authorities)
    assert [one.copies for one in records.look()] == [(root, mirror / root.name)]
    assert records.broken == {}
    assert records_on(mirror) == [mirror / root.name]


def test_a_record_that_cannot_be_looked_at_is_told_of_until_it_can_and_hides_no_other(
    make_record: Make, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, other = make_record().root, make_record().root
    records = Records([closed.parent], authorities)
    with monkeypatch.context() as patched:
        forbid(patched, closed)
        for _ in range(2):
            assert [one.root for one in records.look()] == [other]
            assert records.broken == {str(closed): "cannot be read: Permission denied"}
    assert [one.root for one in records.look()] == [closed, other]
    assert records.broken == {}


def test_a_disk_that_cannot_be_listed_is_told_of_and_hides_nothing_on_the_other(
    make_record: Make, mirror: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, lists = make_record().root, Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == mirror:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return lists(path)

    records = Records([root.parent, mirror], authorities)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", iterdir)
        assert [one.root for one in records.look()] == [root]
        assert records.broken == {str(mirror): "cannot be read: Input/output error"}
    records.look()
    assert records.broken == {}


def test_at_the_archive_a_record_that_cannot_be_read_is_not_passed_over_in_silence(
    make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its turn, in which why it is not taken is said."""
    closed, other = make_record().root, make_record().root
    (closed.parent / "notes").mkdir()
    forbid(monkeypatch, closed, closed.parent / "notes")
    assert records_on(closed.parent) == [closed, other]
