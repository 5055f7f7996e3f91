import errno
import functools
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from recorder.record import entries, layout
from recorder.recovery import read_left
from recorder.seal import read_journal, seal
from tests.recorder.committing import NAME, FaultyDisk, Writer, bytes_of, copy_of, judged, signer
from tests.recorder.power_cut import Files, Log, fates, lay, logged, stored


def problems(root: Path) -> list[str]:
    return [f"{finding.severity} {finding.code} {finding.place}: {finding.text}" for finding in judged(root).findings]


@functools.cache
def recording(*, failed_sync: bool, fragments: int = 1) -> tuple[Files, Log, int]:
    """A whole session: what was there before its first write, and all that was asked of the disk; a failed round has so many fragments."""
    with tempfile.TemporaryDirectory() as base, logged() as log:
        writer = Writer(Path(base))
        writer.record(5, per_segment=3)
        if failed_sync:
            writer.disk.refuse = lambda _operation, what, path: errno.EIO if (what, path) == ("sync", layout.JOURNAL) else 0
            for _ in range(fragments):
                writer.fragment(size=300 if fragments == 1 else 50)
            writer.flush()
            writer.disk.refuse = lambda *_: 0
        writer.part += 1
        writer.begin_parts()
        writer.record(4, per_segment=3)
        before = Files({layout.DEVICE_CHAIN: (writer.root / layout.DEVICE_CHAIN).read_bytes()})
        writer.seal()
    return before, log, writer.t_us


def writer_behind(root: Path, t_us: int) -> Writer:
    """A new recorder for a record that is there already."""
    writer = Writer(root.parent.parent / "unused")
    writer.flush()
    writer.committer.close()
    writer.t_us, writer.n = t_us, 100
    writer.reports.clear()
    return writer


def failing_once(what: str, number: int) -> Callable[[int, str, str], int]:
    """The first of these operations upon a journal's file fails."""
    left = [number]

    def refuse(_operation: int, operation: str, path: str) -> int:
        return left.pop() if left and operation == what and layout.journal_number(path) is not None else 0

    return refuse


def assert_kept(before: Files, root: Path) -> None:
    after = bytes_of(root)
    assert before.keys() <= after.keys()
    assert [path for path, data in before.items() if not after[path].startswith(data)] == []


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(failed=st.sampled_from([0, 1, 12]), cuts=st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
def test_a_power_cut_at_any_byte_of_any_file_is_told_and_the_record_goes_on(failed: int, cuts: list[int]) -> None:
    """Also where the disk refuses the recovery's own first lines, whichever pages of a failed append it had written."""
    before, log, t_us = recording(failed_sync=failed > 0, fragments=failed)
    for cut, seed in enumerate(cuts):
        chance = Random(seed)  # a recovery's rounds are not the same in each run, so that nothing can be drawn from them
        with tempfile.TemporaryDirectory() as base, logged() as next_log:
            root = Path(base, f"{cut}", NAME)
            moment = chance.randint(0, len(log.operations))
            before = fates(stored(before, log, moment), chance)
            note(f"cut {cut} at operation {moment} leaves {before}")
            lay(root, before)
            level = judged(root).level
            left = read_left(root)
            if left is None:
                assert level == "not_a_record"
                return
            assert level == "unsealed", problems(root)
            assert not left.damaged
            if left.sealed:
                seal(root, signer(), None)
                assert judged(root).level == "sealed", problems(root)
                assert_kept(before, root)
                return
            writer = writer_behind(root, t_us)
            del next_log.operations[:]
            with mock.patch.object(FaultyDisk, "share", chance.random()):
                writer.take_up(root, refuse=failing_once(chance.choice(["write", "sync", "nothing"]), errno.EIO))
            writer.record(2, per_segment=3)
            writer.part += 1
            writer.begin_parts()
            writer.flush()
            writer.record(1)
            assert_kept(before, root)
            assert judged(root).level == "unsealed", problems(root)
            writer.seal()
            assert judged(root).level == "sealed", problems(root)
            assert_kept(before, root)
            log, t_us = next_log, writer.t_us


def refused(what: str) -> Callable[[int, str, str], int]:
    """The first journal file takes nothing more; the next one does."""
    return lambda _operation, operation, path: errno.EIO if operation == what and path == layout.JOURNAL else 0


def a_failed_round(base: Path, fragments: int = 12) -> tuple[Path, int]:
    """A record as a kill leaves it while a round of many lines, whose sync had failed, stands whole in both files; and where it begins."""
    writer = Writer(base, memory_bytes=1 << 24)
    writer.record(8)
    begins = (writer.root / layout.JOURNAL).stat().st_size
    writer.disk.refuse = refused("sync")
    writer.disk.alone = alone = threading.Lock()
    with alone:  # all of it in one round, or in two of which the first is done
        for _ in range(fragments):
            writer.fragment(size=8)
    writer.flush()
    return copy_of(writer.root, base / "killed"), begins


def never_written(path: Path, begin: int, end: int) -> None:
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)


def assert_goes_on(root: Path, refuse: Callable[[int, str, str], int] = lambda *_: 0) -> None:
    assert judged(root).level == "unsealed", problems(root)
    before = bytes_of(root)
    writer = writer_behind(root, 60_000_000)
    writer.take_up(root, refuse=refuse)
    writer.record(2)
    writer.seal()
    assert judged(root).level == "sealed", problems(root)
    assert_kept(Files(before), root)


def test_lines_behind_a_page_that_was_never_written_stand_whole_in_the_further_file(tmp_path: Path) -> None:
    root, begins = a_failed_round(tmp_path)
    never_written(root / layout.JOURNAL, begins, (begins // 4096 + 1) * 4096)
    assert_goes_on(root)


def test_a_further_file_whose_first_page_was_never_written_repeats_nothing(tmp_path: Path) -> None:
    root, _ = a_failed_round(tmp_path)
    never_written(root / layout.journal_file(2), 0, 4096)
    left = read_left(root)
    assert left is not None
    assert [(torn.file, torn.off) for torn in left.torn] == [(layout.journal_file(2), 0)]
    assert_goes_on(root)


def test_a_failed_round_may_have_any_number_of_lines(tmp_path: Path) -> None:
    root, _ = a_failed_round(tmp_path, fragments=2600)
    again = root / layout.journal_file(2)
    data = again.read_bytes()
    assert data.count(b"\n") > 5000
    again.write_bytes(data[: data.index(b"\n", 30_000) + 50])
    assert_goes_on(root)


@pytest.mark.parametrize(("what", "share"), [("write", 0.0), ("write", 0.03), ("write", 0.8), ("sync", 0.0)])
def test_a_recovery_that_the_disk_refuses_names_the_bytes_from_the_further_file(
    tmp_path: Path, what: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaultyDisk, "share", share)
    root, begins = a_failed_round(tmp_path)
    (root / layout.journal_file(2)).unlink()
    never_written(root / layout.JOURNAL, begins, (begins // 4096 + 1) * 4096)
    assert_goes_on(root, refused(what))
    assert (root / layout.journal_file(2)).exists()


def test_a_line_that_the_further_file_does_not_repeat_breaks_the_record(tmp_path: Path) -> None:
    """Zeros excuse no entry that the chain has otherwise."""
    root, begins = a_failed_round(tmp_path)
    journal = root / layout.JOURNAL
    never_written(journal, begins, (begins // 4096 + 1) * 4096)
    lines = journal.read_bytes().split(b"\n")
    lines[-2] = lines[-2].replace(b'"mono_us":', b'"mono_us":1')
    journal.write_bytes(b"\n".join(lines))
    assert judged(root).level == "broken"


def test_bytes_that_a_recovery_named_and_somebody_changed_since_break_the_record(tmp_path: Path) -> None:
    root, begins = a_failed_round(tmp_path)
    (root / layout.journal_file(2)).unlink()
    journal = root / layout.JOURNAL
    never_written(journal, begins, (begins // 4096 + 1) * 4096)
    writer = writer_behind(root, 60_000_000)
    writer.take_up(root, refuse=refused("sync"))
    writer.record(2)
    writer.committer.close()
    assert judged(root).level == "unsealed", problems(root)
    data = journal.read_bytes()
    journal.write_bytes(data[: begins + 5] + b"x" + data[begins + 6 :])
    assert {finding.code for finding in judged(root).errors} == {"recovery_mismatch"}


def file_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_what_a_kill_left_in_memory_is_durable_before_a_recovery_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut soon after the start takes bytes of which the record says that they are there."""
    root, _ = a_failed_round(tmp_path)
    with (root / layout.segment_file("cam", 1)).open("ab") as segment:
        segment.write(b"written, and not yet synced")
    for loose in (layout.segment_file("cam", 2), layout.key_file("late", 0), layout.segment_file("late", 0)):
        (root / loose).parent.mkdir(exist_ok=True)
        (root / loose).write_bytes(b"")
    writer = writer_behind(root, 60_000_000)
    done: list[tuple[str, str]] = []
    pwrite, fdatasync, fsync = os.pwrite, os.fdatasync, os.fsync

    def write(descriptor: int, data: bytes, off: int) -> int:
        done.append(("write", file_of(descriptor)))
        return pwrite(descriptor, data, off)

    def sync(descriptor: int) -> None:
        fdatasync(descriptor)
        done.append(("sync", file_of(descriptor)))

    def sync_names(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("sync", file_of(descriptor)))

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync_names)
    writer.take_up(root)
    monkeypatch.undo()
    writer.committer.close()
    recovery = next(entry for _, entry in read_journal(root) if isinstance(entry, entries.Recovered))
    named = {root / torn.file for torn in recovery.torn}
    assert {(root / layout.segment_file("cam", 1)), (root / layout.segment_file("late", 0)), root / layout.key_file("late", 0)} <= named
    journal = root / layout.journal_file(2)
    before = {path for what, path in done[: done.index(("write", str(journal)))] if what == "sync"}
    closed = {root / entry.file for _, entry in read_journal(root) if isinstance(entry, entries.Segment) and entry.seg == 1}
    assert closed
    wanted = named | closed | {path.parent for path in named} | {root, root / layout.TRACKS} | set(root.glob("journal*.jsonl"))
    assert {str(path) for path in wanted} - before == set()


def test_a_disk_that_does_not_sync_what_a_kill_left_does_not_keep_the_record_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = a_failed_round(tmp_path)
    writer, fdatasync = writer_behind(root, 60_000_000), os.fdatasync

    def refuse(descriptor: int) -> None:
        if file_of(descriptor).startswith(str(root)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", refuse)
    left = read_left(root)
    monkeypatch.undo()
    assert left is not None
    writer.take_up(root)
    writer.seal()
    assert judged(root).level == "sealed", problems(root)
