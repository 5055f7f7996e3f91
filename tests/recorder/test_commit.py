import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder import commit
from recorder.contract import child
from recorder.record import entries, layout
from recorder.record.verdict import Verdict
from recorder.seal import read_journal
from tests.recorder.committing import TRACKS, Writer, bytes_of, copy_of, judged, media


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """A committer that tries a failed disk again at once."""
    before, commit.RETRY_S = commit.RETRY_S, 0.005
    yield
    commit.RETRY_S = before


def failing(first: int, last: int, number: int) -> Callable[[int, str, str], int]:
    return lambda operation, _what, _path: number if first <= operation <= last else 0


def fragments_of(root: Path, track: str) -> list[bytes]:
    """The stored bytes of a track's fragments, as a reader of the journal finds them."""
    return [
        (root / layout.segment_file(track, entry.seg)).read_bytes()[entry.off : entry.off + entry.len]
        for _, entry in read_journal(root)
        if isinstance(entry, entries.Frag) and entry.track == track
    ]


def problems(verdict: Verdict) -> list[str]:
    return [f"{finding.code} {finding.place}: {finding.text}" for finding in verdict.findings if finding.severity == "error"]


def test_what_was_put_is_on_the_disk_in_order_and_the_record_seals(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(10)
    writer.seal()
    assert judged(writer.root).level == "sealed"
    for track in TRACKS:
        assert fragments_of(writer.root, track) == [media(track, n, 300) for n in range(10)]
        assert len(list((writer.root / "tracks" / track).glob("seg-*"))) == 3


def test_a_line_becomes_durable_only_after_the_bytes_that_it_speaks_of(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def look(_operation: int, what: str, path: str) -> int:
        seen.append((what, path))
        return 0

    writer = Writer(tmp_path, refuse=look)
    writer.flush()
    writer.fragment(new_segment=True)
    writer.flush()
    writer.seal()
    journal_at = [index for index, (what, path) in enumerate(seen) if what == "write" and path == layout.JOURNAL]
    for index, (what, path) in enumerate(seen):
        if what == "write" and path != layout.JOURNAL:
            following = min(at for at in journal_at if at > index)
            assert ("sync", path) in seen[index:following]
    first_media = next(index for index, (_, path) in enumerate(seen) if path.startswith("tracks/"))
    assert all(("sync", layout.key_file(track, 0)) in seen[:first_media] for track in TRACKS)


def test_files_are_for_the_recorder_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(2)
    writer.seal()
    modes = {path.stat().st_mode & 0o777 for path in writer.root.rglob("*") if path.is_dir()}
    assert modes | {writer.root.stat().st_mode & 0o777} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in writer.root.rglob("*") if path.is_file()} == {0o600}


@settings(max_examples=150)
@given(
    windows=st.lists(st.tuples(st.integers(1, 80), st.integers(0, 12), st.sampled_from([errno.EIO, errno.ENOSPC])), min_size=1, max_size=3),
    kill_at=st.integers(1, 120),
    at_once=st.sampled_from([1, 6]),
)
@example(windows=[(1, 9, errno.EIO), (27, 1, errno.EIO)], kill_at=29, at_once=1)  # an append torn in two files at the same byte
@example(windows=[(11, 0, errno.EIO)], kill_at=2, at_once=1)  # given up in a segment before which a crash left another
def test_a_disk_that_refuses_at_any_moment_costs_nothing_and_a_kill_meanwhile_breaks_nothing(
    windows: list[tuple[int, int, int]], kill_at: int, at_once: int
) -> None:
    """Also while what was killed is taken up again, and where many lines are in each round."""
    with tempfile.TemporaryDirectory() as base:
        killed: list[Path] = []
        root = Path()

        def refuse(operation: int, _what: str, _path: str) -> int:
            if operation == kill_at and writer_root():
                killed.append(copy_of(root, Path(base, "killed")))
            return next((number for first, more, number in windows if first <= operation <= first + more), 0)

        def writer_root() -> bool:
            return root != Path()

        writer = Writer(Path(base, "records"))
        root = writer.root
        writer.flush()
        writer.disk.operations, writer.disk.refuse = 0, refuse
        for _ in range(8 // at_once):
            for _ in range(at_once - 1):
                writer.fragment()
            writer.record(1, per_segment=3)
            writer.checkpoint()
        made = writer.n
        writer.disk.refuse = lambda *_: 0
        writer.seal()
        verdict = judged(writer.root)
        assert verdict.level == "sealed", problems(verdict)
        for track in TRACKS:
            assert fragments_of(writer.root, track) == [media(track, n, 300) for n in range(made)]
        for left in killed:
            first, more, number = windows[0]
            writer.take_up(left, refuse=failing(first, first + more, number))
            writer.record(2)
            writer.disk.refuse = lambda *_: 0
            writer.seal()
            again = judged(left)
            assert again.level == "sealed", problems(again)


def test_a_file_whose_sync_failed_is_not_written_again(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(2)
    before = bytes_of(writer.root)
    writer.disk.operations, touched = 0, list[str]()

    def refuse(_operation: int, what: str, path: str) -> int:
        touched.append(path)
        return errno.EIO if what == "sync" and path == layout.segment_file("cam", 0) else 0

    writer.disk.refuse = refuse
    writer.record(2)
    writer.disk.refuse = lambda *_: 0
    writer.seal()
    assert touched.count(layout.segment_file("cam", 0)) == 2  # the write, and the sync that failed
    assert (writer.root / layout.segment_file("cam", 0)).read_bytes().startswith(before[layout.segment_file("cam", 0)])
    assert judged(writer.root).level == "sealed"


def test_lines_whose_sync_failed_stand_byte_for_byte_in_the_next_journal_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(2)
    good = (writer.root / layout.JOURNAL).stat().st_size
    writer.disk.refuse = lambda _operation, what, path: errno.EIO if what == "sync" and path == layout.JOURNAL else 0
    writer.fragment()
    writer.flush()
    failed = (writer.root / layout.JOURNAL).read_bytes()[good:]
    assert failed
    assert (writer.root / layout.journal_file(2)).read_bytes().startswith(failed)
    writer.record(2)
    writer.seal()
    assert (writer.root / layout.JOURNAL).stat().st_size == good + len(failed)
    assert judged(writer.root).level == "sealed"


def test_a_disk_that_stays_full_for_long_neither_fills_memory_nor_the_journal(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(2)
    writer.disk.operations = 0
    writer.disk.refuse = failing(1, 400, errno.ENOSPC)
    writer.fragment()
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    writer.flush()
    writer.wait(lambda: ("storage_failed", False) in writer.troubles, "the end of the alarm")
    writer.seal()
    told = [entry for _, entry in read_journal(writer.root) if isinstance(entry, entries.DiskState | entries.Abandoned | entries.Segment)]
    assert len(told) < 15
    assert judged(writer.root).level == "sealed"


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [(errno.ENOSPC, "disk_full", "make room at once"), (errno.EIO, "disk_error", "check its cable and power, or change it")],
)
def test_a_disk_that_refuses_is_named_with_what_to_do(tmp_path: Path, number: int, code: str, remedy: str) -> None:
    writer = Writer(tmp_path)
    writer.record(2)
    writer.disk.refuse = lambda *_: number
    writer.fragment()
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    writer.disk.refuse = lambda *_: 0
    writer.seal()
    assert writer.details[code] == f"{writer.root.parent}: {os.strerror(number)}; {remedy}"
    assert writer.details["storage_failed"].startswith(f"{writer.root.parent}: {os.strerror(number)}; nothing can be written")


@pytest.mark.parametrize("recorded_after", [2, 0], ids=["it goes on", "it is sealed as soon as the disk is back"])
def test_when_memory_is_used_up_the_newest_are_given_up_and_the_journal_says_how_much(tmp_path: Path, recorded_after: int) -> None:
    writer = Writer(tmp_path, memory_bytes=4000)
    writer.record(2)
    writer.disk.refuse = lambda *_: errno.ENOSPC
    for _ in range(10):
        writer.fragment(size=500)
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    writer.disk.refuse = lambda *_: 0
    if recorded_after:
        writer.flush()
        writer.record(recorded_after)
    writer.seal()
    lost = [entry for _, entry in read_journal(writer.root) if isinstance(entry, entries.Overflow)]
    assert {entry.track for entry in lost} == set(TRACKS)
    kept = len(fragments_of(writer.root, "cam"))
    assert kept + sum(entry.fragments for entry in lost if entry.track == "cam") == 12 + recorded_after
    verdict = judged(writer.root)
    assert verdict.level == "sealed"
    assert not [interval for interval in verdict.not_recorded if not interval.declared]


def test_times_that_no_journal_holds_cannot_stop_what_is_written(tmp_path: Path) -> None:
    writer = Writer(tmp_path, memory_bytes=4000)
    writer.record(2)
    beyond = child.Fragment(track="remote-a", part=0, t0=child.MAX_INTEGER, dur=1, timescale=1, key=True, new_segment=False)
    writer.committer.put_fragment(beyond, bytes(5000), writer.times())
    writer.record(2)
    writer.seal()
    [lost] = [entry for _, entry in read_journal(writer.root) if isinstance(entry, entries.Overflow)]
    assert (lost.track, lost.bytes, lost.from_us) == ("remote-a", 5000, child.MAX_INTEGER)
    assert judged(writer.root).level == "sealed"


def test_participants_that_flood_leave_half_of_memory_to_the_room(tmp_path: Path) -> None:
    writer = Writer(tmp_path, memory_bytes=8000)
    writer.record(2)
    writer.disk.refuse = lambda *_: errno.ENOSPC
    for n in range(20):
        flood = child.Fragment(track=f"remote-{n}", part=0, t0=n, dur=1, timescale=1, key=True, new_segment=False)
        writer.committer.put_fragment(flood, bytes(1000), writer.times())
    for _ in range(3):
        writer.fragment(size=500)
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    writer.disk.refuse = lambda *_: 0
    writer.flush()
    writer.seal()
    lost = [entry.track for _, entry in read_journal(writer.root) if isinstance(entry, entries.Overflow)]
    assert len(lost) == 16
    assert not set(lost) & set(TRACKS)
    assert len(fragments_of(writer.root, "cam")) == 5


def test_what_ends_while_the_disk_refuses_is_told_and_found_by_the_next_start(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.record(3)
    writer.disk.refuse = lambda *_: errno.EIO
    writer.fragment()
    done = writer.committer.flush()
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    writer.committer.close()
    with pytest.raises(OSError, match="Input/output"):
        done.result(5)
    writer.take_up(writer.root)
    writer.record(2)
    writer.seal()
    verdict = judged(writer.root)
    assert verdict.level == "sealed", problems(verdict)
