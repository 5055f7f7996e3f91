import contextlib
import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder import mirror as module
from recorder.disk import Disk, Write
from recorder.file_copy import bring
from recorder.file_table import FileTable, Stored
from recorder.ledger import Round
from recorder.mirror import Mirror
from recorder.record import entries, layout
from recorder.seal import read_journal
from tests.recorder.committing import NAME, TRACKS, FaultyDisk, Writer, bytes_of, judged


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)


class Pair:
    """A record on two disks. ``disk`` is the second one."""

    def __init__(self, base: Path, memory_bytes: int = 1 << 20) -> None:
        self.second = base / "second"
        self.second.mkdir()
        self.disk = FaultyDisk(self.second / NAME, name="mirror")
        self.writer = Writer(base / "first", other=self.disk, memory_bytes=memory_bytes)

    @property
    def mirror(self) -> Mirror:
        """The disk that follows."""
        found = self.writer.committer.mirror
        assert found is not None
        return found

    def wait(self, code: str, on: bool, count: int = 1) -> None:
        """Wait until an alarm was raised or ended so often."""
        self.writer.wait(lambda: self.writer.troubles.count((code, on)) >= count, f"{code} {on} {count} times")

    def wait_in_step(self, count: int = 1) -> None:
        """Wait until the second disk came in step so often."""
        self.wait("mirror_left", on=False, count=count)

    def pull(self) -> None:
        """Pull the second disk while it is written to."""
        self.writer.troubles.clear()
        self.disk.refuse = only("write", "", errno.EIO)
        self.second.rename(self.second.with_name("pulled"))
        self.writer.record(1)
        self.wait("mirror_left", on=True)

    def put_back(self) -> None:
        """Put the second disk back, and wait until it is in step again."""
        self.writer.troubles.clear()
        while self.second.with_name("pulled").exists():
            shutil.rmtree(self.second, ignore_errors=True)  # directories that were made in its place meanwhile
            with contextlib.suppress(OSError):
                self.second.with_name("pulled").rename(self.second)
        self.disk.refuse = lambda *_: 0
        self.wait_in_step()

    def wait_level(self, timeout_s: float = 20.0) -> None:
        """Wait until the disk that follows has all that was committed."""
        end_s = time.monotonic() + timeout_s
        while self.mirror.lag_bytes:
            assert time.monotonic() < end_s
            time.sleep(0.005)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.writer.disk.refuse = made.disk.refuse = lambda *_: 0
    made.writer.committer.close()


def only(what: str, start: str, number: int) -> Callable[[int, str, str], int]:
    return lambda _operation, asked, path: number if asked == what and path.startswith(start) else 0


def disk_states(root: Path) -> list[tuple[str, str]]:
    return [(entry.disk, entry.state) for _, entry in read_journal(root) if isinstance(entry, entries.DiskState)]


def test_both_disks_hold_the_same_bytes(pair: Pair) -> None:
    pair.wait_in_step()
    pair.writer.record(10)
    assert pair.writer.seal() == "identical"
    copy = bytes_of(pair.disk.root)
    assert copy == {path: data for path, data in bytes_of(pair.writer.root).items() if path in copy}
    assert {layout.JOURNAL, layout.segment_file("cam", 2)} <= set(copy)


def test_a_mirror_that_stalls_never_delays_the_first_disk_and_comes_back(tmp_path: Path) -> None:
    pair = Pair(tmp_path, memory_bytes=5000)
    pair.wait_in_step()
    stalled = threading.Event()
    pair.disk.refuse = lambda *_: 0 if stalled.wait(20) else errno.EIO
    pair.writer.record(20)
    pair.wait("mirror_left", on=True)
    pair.writer.record(4)
    stalled.set()
    pair.wait_in_step(2)
    pair.writer.record(2)
    assert pair.writer.seal() == "identical"


def test_a_disk_that_fails_whenever_it_has_come_back_is_tried_ever_less_often(tmp_path: Path) -> None:
    pair = Pair(tmp_path, memory_bytes=1 << 28)  # it never leaves because it is too slow
    pair.wait_in_step()
    pair.disk.refuse = only("sync", "tracks/", errno.EIO)
    began_s = time.monotonic()
    while pair.writer.troubles.count(("mirror_left", True)) < 5:
        pair.writer.record(1)
    assert time.monotonic() - began_s >= (2 + 4 + 8 + 16) * module.RETRY_S
    pair.disk.refuse = lambda *_: 0
    pair.wait_level()
    assert pair.writer.seal() == "identical"


def test_a_disk_that_has_failed_is_not_tried_once_more_when_the_session_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hang, and the end of the session with it."""
    pair, tries = Pair(tmp_path), list[float]()
    pair.wait_in_step()
    monkeypatch.setattr(module, "RETRY_S", 3600.0)

    def no_room() -> None:
        tries.append(time.monotonic())
        raise OSError(errno.EIO, "no disk")

    monkeypatch.setattr(pair.mirror, "_make_room", no_room)
    pair.disk.refuse = only("sync", "tracks/", errno.EIO)
    pair.writer.record(1)
    pair.writer.wait(lambda: bool(tries), "the disk is tried at once")
    pair.mirror.close(10)
    assert len(tries) == 1


def test_a_mirror_is_caught_up_while_the_recording_goes_on_however_much_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_PASS_BYTES", 3000)
    pair = Pair(tmp_path, memory_bytes=5000)
    pair.wait_in_step()
    pair.pull()
    pair.writer.record(40)
    real, passes = bring, 0

    def copy_slowly(*args: object) -> object:
        nonlocal passes
        if passes < 3:  # more is recorded during each pass than may wait in memory
            passes += 1
            pair.writer.record(8)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "bring", copy_slowly)
    pair.put_back()
    assert passes == 3
    assert ("mirror_left", True) not in pair.writer.troubles
    assert pair.writer.seal() == "identical"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("what", ["write", "sync"])
@pytest.mark.parametrize("where", ["tracks/", "journal", "keys/"])
def test_a_failing_first_disk_hands_the_lead_to_the_mirror_and_nothing_is_lost(pair: Pair, number: int, what: str, where: str) -> None:
    pair.wait_in_step()
    pair.writer.record(3)
    pair.writer.disk.refuse = only(what, where, number)
    pair.writer.part += 1
    pair.writer.begin_parts()
    pair.writer.record(5)
    assert pair.writer.committer.lead == "mirror"
    pair.writer.seal()
    verdict = judged(pair.disk.root)
    assert verdict.level == "sealed", verdict.findings
    assert {total.track: total.fragments for total in verdict.tracks} == dict.fromkeys(TRACKS, 8)
    assert ("mirror", "leads") in disk_states(pair.disk.root)


def test_where_a_journal_failed_the_mirror_is_given_what_it_took_behind_the_media_that_its_lines_speak_of(pair: Pair) -> None:
    pair.wait_in_step()
    pair.writer.record(1)
    pair.wait_level()
    asked: list[tuple[str, str]] = []

    def note(_operation: int, what: str, path: str) -> int:
        asked.append((what, path))
        return 0

    pair.disk.refuse = note
    failures = iter([errno.EIO])
    pair.writer.disk.refuse = lambda _operation, what, path: next(failures, 0) if (what, path) == ("sync", layout.JOURNAL) else 0
    pair.writer.record(1)
    pair.wait_level()
    lines = [path for what, path in asked if what == "write" and layout.journal_number(path)]
    assert lines == [layout.JOURNAL, layout.journal_file(2)]
    for track in TRACKS:
        assert asked.index(("sync", layout.segment_file(track, 0))) < asked.index(("write", layout.JOURNAL))


def test_a_mirror_that_is_behind_may_not_lead(pair: Pair) -> None:
    pair.wait_in_step()
    pair.pull()
    pair.writer.disk.refuse = only("sync", "tracks/cam/seg-000000", errno.EIO)
    pair.writer.record(2)
    assert pair.writer.committer.lead == "primary"
    assert ("disk_error", True) in pair.writer.troubles
    pair.writer.seal()
    assert judged(pair.writer.root).level == "sealed"


def test_what_a_failing_first_disk_took_and_gave_up_is_on_a_mirror_that_was_caught_up_meanwhile(pair: Pair) -> None:
    pair.wait_in_step()
    pair.pull()
    pair.writer.record(2)
    pair.writer.disk.refuse = only("sync", "tracks/cam/seg-000000", errno.EIO)
    pair.writer.record(1, per_segment=100)
    pair.writer.disk.refuse = only("sync", "journal.jsonl", errno.EIO)
    pair.writer.record(1, per_segment=100)
    pair.put_back()
    pair.writer.record(1)
    pair.writer.disk.refuse = lambda *_: errno.EIO
    pair.writer.record(2)
    assert pair.writer.committer.lead == "mirror"
    pair.writer.seal()
    verdict = judged(pair.disk.root)
    assert verdict.level == "sealed", verdict.findings


def test_what_the_mirror_alone_holds_is_set_aside_and_never_deleted(pair: Pair) -> None:
    pair.wait_in_step()
    pair.writer.record(3)
    pair.wait_level()
    pair.pull()
    other = pair.second.with_name("pulled") / pair.disk.root.name / layout.segment_file("cam", 0)
    evidence = b"another recording" * 200
    other.write_bytes(evidence)
    pair.put_back()
    kept = pair.disk.root.parent / ".differs" / pair.disk.root.name / f"{layout.segment_file('cam', 0)}.1"
    assert kept.read_bytes() == evidence
    pair.writer.record(2)
    assert pair.writer.seal() == "identical"


def test_a_file_that_the_first_disk_lost_stays_on_the_mirror(pair: Pair) -> None:
    pair.wait_in_step()
    pair.writer.record(6, per_segment=2)
    whole = (pair.writer.root / layout.segment_file("cam", 0)).read_bytes()
    pair.wait_level()
    pair.pull()
    (pair.writer.root / layout.segment_file("cam", 0)).unlink()
    pair.put_back()
    assert (pair.disk.root / layout.segment_file("cam", 0)).read_bytes() == whole
    pair.writer.committer.close()


def test_a_mirror_whose_disk_lost_bytes_leaves_instead_of_writing_behind_a_hole(pair: Pair) -> None:
    pair.wait_in_step()
    pair.writer.record(2, per_segment=100)
    segment = pair.disk.root / layout.segment_file("cam", 0)
    pair.wait_level()
    segment.write_bytes(segment.read_bytes()[:100])
    pair.writer.record(1, per_segment=100)
    pair.wait("mirror_left", on=True)
    pair.wait_in_step(2)
    assert pair.writer.seal() == "identical"


def test_of_a_journal_in_several_files_the_one_that_goes_on_is_proven(tmp_path: Path) -> None:
    """As an earlier run left them: of none of them is the hash known."""
    root, files = tmp_path / NAME, FileTable()
    root.mkdir()
    for number in (1, 2, 3):
        line = f"line {number}\n".encode()
        (root / layout.journal_file(number)).write_bytes(line)
        files.put(layout.journal_file(number), Stored(len(line), None))
    mirror = Mirror(Disk(root, "mirror"), 1 << 20, lambda *_: None)
    mirror._read_journal(files)
    place, data = layout.journal_file(3), b"line 3\nline 4\n"
    done = Round(journal=Write(place, 7, data[7:]), after={place: Stored(len(data), None)})
    assert mirror._with_journal_hash(done)[place] == Stored(len(data), hashlib.sha256(data).digest())


@pytest.mark.parametrize("place", [f"{layout.TRACKS}/cam", layout.TRACKS, layout.ANCHORS, f"{layout.TRACKS}/pipe"])
def test_a_disk_that_somebody_prepared_has_nothing_read_or_written_elsewhere(pair: Pair, tmp_path: Path, place: str) -> None:
    pair.writer.record(2)
    pair.wait_in_step()
    pair.wait_level()
    pair.pull()
    link, elsewhere = tmp_path / "pulled" / NAME / place, tmp_path / "elsewhere"
    elsewhere.mkdir()
    if link.is_dir():
        shutil.rmtree(link)
    if place.endswith("pipe"):
        os.mkfifo(link)
    else:
        link.symlink_to("/dev/zero" if place == layout.ANCHORS else elsewhere)
    pair.put_back()
    pair.writer.record(2)
    pair.wait_level()
    assert not list(elsewhere.iterdir())
    assert bytes_of(pair.second / NAME) == bytes_of(pair.writer.root)
    assert (pair.second / ".differs" / NAME / f"{place}.1").lstat()
