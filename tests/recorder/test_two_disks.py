"""Two disks that fail in any order: who leads, who follows, and what each holds at the end."""

import errno
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.room import Storage
from recorder import commit, disk_pair, file_copy, read_back
from recorder import mirror as mirror_module
from recorder.record import entries, layout
from recorder.record.verdict import Verdict
from recorder.room_disks import RoomDisks
from recorder.seal import read_journal
from recorder.sealed_copy import is_level, put_seal
from tests.recorder.committing import NAME, TRACKS, FaultyDisk, Writer, bytes_of, copy_of, judged, media, trust

Refuse = Callable[[int, str, str], int]
WINDOWS = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 12), st.sampled_from([errno.EIO, errno.ENOSPC])), max_size=3)


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Disks that failed are tried again at once, and everything is read back at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "RETRY_S", 0.005)
        patch.setattr(mirror_module, "RETRY_S", 0.005)
        patch.setattr(mirror_module, "LONGEST_RETRY_S", 0.02)
        patch.setattr(mirror_module, "IDLE_S", 0.01)
        patch.setattr(read_back, "AGE_S", 0.0)
        yield


class TwoDisks:
    """A record on two disks that can be made to fail."""

    def __init__(self, base: Path) -> None:
        (base / "mirror").mkdir(parents=True)
        self.second = FaultyDisk(base / "mirror" / NAME, name="mirror")
        self.writer = Writer(base / "primary", other=self.second)
        self.first = self.writer.disk

    def wait_in_step(self) -> None:
        """Wait until the disk that follows has all that was committed."""

        def is_level() -> bool:
            found = self.writer.committer.mirror
            return found is not None and found.state == "in_step" and not found.lag_bytes

        until(is_level, lambda: self.writer.committer.mirror and vars(self.writer.committer.mirror))

    def seal(self) -> Path:
        """Seal where it is led, and the copy if it is level; returns where it was led."""
        assert self.writer.seal() == "identical"
        record = self.writer.committer.disk.root
        copy = next(disk.root for disk in (self.first, self.second) if disk.root != record)
        assert is_level(record, copy), {path: len(data) for path, data in (bytes_of(record).items() ^ bytes_of(copy).items())}
        put_seal(record, copy)
        return record

    def close(self) -> None:
        """End it, whatever fails."""
        self.first.refuse = self.second.refuse = lambda *_: 0
        self.writer.committer.close()


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[TwoDisks]:
    made = TwoDisks(tmp_path)
    made.wait_in_step()
    yield made
    made.close()


def lead_of(writer: Writer) -> str:
    return writer.committer.lead


def until(condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for what no callback tells."""
    moment = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        moment.wait(0.005)
    raise AssertionError(f"never came: {what()}")


def always(number: int) -> Refuse:
    return lambda *_: number


def within(windows: list[tuple[int, int, int]]) -> Refuse:
    return lambda operation, *_: next((number for first, more, number in windows if first <= operation <= first + more), 0)


def fragments_of(root: Path, track: str) -> list[bytes]:
    return [
        (root / layout.segment_file(track, entry.seg)).read_bytes()[entry.off : entry.off + entry.len]
        for _, entry in read_journal(root)
        if isinstance(entry, entries.Frag) and entry.track == track
    ]


def problems(verdict: Verdict) -> list[str]:
    return [f"{finding.code} {finding.place}: {finding.text}" for finding in verdict.findings if finding.severity == "error"]


def states_of(root: Path) -> list[tuple[str, str]]:
    return [(entry.disk, entry.state) for _, entry in read_journal(root) if isinstance(entry, entries.DiskState)]


def assert_whole(root: Path, count: int) -> None:
    verdict = judged(root)
    assert verdict.level == "sealed", problems(verdict)
    for track in TRACKS:
        assert fragments_of(root, track) == [media(track, n, 300) for n in range(count)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_the_lead_goes_to_and_fro_and_both_disks_end_with_the_whole_record(disks: TwoDisks, number: int) -> None:
    writer = disks.writer
    writer.record(3)
    disks.first.refuse = always(number)
    writer.record(3)
    assert lead_of(writer) == "mirror"
    assert ("primary_disk_failed", True) in writer.troubles
    assert writer.committer.mirror is not None
    assert writer.committer.mirror.state == "left"
    disks.first.refuse = always(0)
    writer.wait(lambda: ("primary_disk_failed", False) in writer.troubles, "the end of the alarm")
    disks.wait_in_step()
    writer.record(3)
    assert lead_of(writer) == "mirror"
    disks.second.refuse = always(errno.EIO)
    writer.record(3)
    assert lead_of(writer) == "primary"
    disks.second.refuse = always(0)
    disks.wait_in_step()
    record = disks.seal()
    assert record == disks.first.root
    assert_whole(disks.first.root, 12)
    assert_whole(disks.second.root, 12)
    assert bytes_of(disks.first.root) == bytes_of(disks.second.root)
    told = states_of(record)
    assert told.index(("mirror", "leads")) < told.index(("primary", "in_step")) < told.index(("primary", "leads"))


def test_what_the_failed_disk_took_and_the_record_gave_up_is_set_aside(disks: TwoDisks) -> None:
    writer = disks.writer
    writer.record(2, per_segment=100)
    disks.first.refuse = lambda _operation, what, path: errno.EIO if (what, path) == ("sync", layout.segment_file("cam", 0)) else 0
    writer.fragment(size=500)
    writer.flush()
    assert lead_of(writer) == "mirror"
    disks.wait_in_step()
    stranger = disks.first.root / "tracks" / "cam" / "seg-000077.m4s"
    disks.first.refuse = always(errno.EIO)
    writer.record(1, per_segment=100)
    until(lambda: writer.committer.mirror is not None and writer.committer.mirror.state == "left", lambda: writer.troubles)
    writer.troubles.clear()
    stranger.write_bytes(b"nobody knows this")
    changed = disks.first.root / layout.segment_file("mic", 0)
    before = changed.read_bytes()
    changed.write_bytes(before[:100] + b"X" + before[101:])
    disks.first.refuse = always(0)
    writer.wait(lambda: ("primary_disk_failed", False) in writer.troubles, "its return")
    aside = disks.first.root.parent / ".differs" / NAME
    assert (aside / "tracks" / "cam" / "seg-000077.m4s.1").read_bytes() == b"nobody knows this"
    kept = [path.read_bytes() for path in (aside / "tracks" / "mic").glob("seg-000000.m4s.*")]
    assert before[:100] + b"X" + before[101:] in kept
    disks.wait_in_step()
    disks.seal()
    assert bytes_of(disks.first.root) == bytes_of(disks.second.root)


@pytest.mark.parametrize("back", ["primary", "mirror"])
def test_where_both_fail_at_once_the_first_that_takes_the_round_goes_on(disks: TwoDisks, back: str) -> None:
    writer = disks.writer
    writer.record(3)
    disks.wait_in_step()
    disks.first.refuse = disks.second.refuse = always(errno.EIO)
    writer.fragment()
    done = writer.committer.flush()
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    returns, stays = (disks.first, disks.second) if back == "primary" else (disks.second, disks.first)
    # What the other disk holds must not be needed.
    gone = stays.root.with_name("gone")
    stays.root.rename(gone)
    returns.refuse = always(0)
    done.result(20)
    assert lead_of(writer) == back
    gone.rename(stays.root)
    stays.refuse = always(0)
    disks.wait_in_step()
    writer.record(2)
    disks.seal()
    assert_whole(disks.first.root, 6)
    assert_whole(disks.second.root, 6)


def test_a_disk_that_is_behind_never_leads_though_the_other_one_fails(disks: TwoDisks) -> None:
    writer = disks.writer
    writer.record(2)
    disks.first.refuse = always(errno.EIO)
    writer.record(2)
    away = disks.second.root.with_name("away")
    disks.second.refuse = always(errno.EIO)
    disks.second.root.rename(away)  # only this one has the last two
    disks.first.refuse = always(0)
    writer.fragment()
    done = writer.committer.flush()
    writer.wait(lambda: ("storage_failed", True) in writer.troubles, "the alarm")
    assert not done.done()
    assert lead_of(writer) == "mirror"
    away.rename(disks.second.root)
    disks.second.refuse = always(0)
    done.result(20)
    disks.wait_in_step()
    disks.seal()
    assert_whole(disks.first.root, 5)


def test_a_disk_that_was_full_is_used_again_when_it_has_room_to_spare(disks: TwoDisks, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, free_bytes, asked = disks.writer, 1000, threading.Event()

    def free() -> int:
        asked.set()
        return free_bytes

    monkeypatch.setattr(disks.first, "free_bytes", free)
    monkeypatch.setattr(disk_pair, "ROOM_S", 1e9)
    writer.record(2)
    disks.first.refuse = always(errno.ENOSPC)
    writer.record(1)
    follower = writer.committer.mirror
    assert follower is not None
    monkeypatch.setattr(follower, "_reserve_bytes", lambda: 1 << 20)
    disks.first.refuse = always(0)
    asked.clear()
    assert asked.wait(20)
    asked.clear()
    assert asked.wait(20)
    assert (follower.state, follower.detail) == ("left", "no room")
    free_bytes = 1 << 21
    disks.wait_in_step()
    assert lead_of(writer) == "mirror"
    disks.seal()
    assert_whole(disks.first.root, 3)


def test_bytes_that_the_disk_forgot_are_found_and_written_again(disks: TwoDisks, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = disks.writer
    mirror = writer.committer.mirror
    assert mirror is not None
    assert mirror.prove() == "identical"
    monkeypatch.setattr(read_back, "AGE_S", 1000.0)
    writer.record(5, per_segment=2)
    disks.wait_in_step()
    segment = disks.second.root / layout.segment_file("cam", 1)
    segment.write_bytes(bytes(segment.stat().st_size))
    disks.second.refuse = lambda _operation, what, _path: errno.EIO if what == "make" else 0
    assert mirror.prove().startswith("left: ")
    assert ("mirror_left", True) in writer.troubles
    disks.second.refuse = always(0)
    disks.wait_in_step()
    disks.seal()
    assert_whole(disks.second.root, 5)
    told = [entry.detail for _, entry in read_journal(disks.first.root) if isinstance(entry, entries.DiskState)]
    assert "tracks/cam/seg-000001.m4s reads back otherwise than it was written" in told
    assert list((disks.second.root.parent / ".differs" / NAME).rglob("seg-000001*"))


def test_the_seal_says_how_the_copy_stands(disks: TwoDisks) -> None:
    writer = disks.writer
    writer.record(2)
    disks.second.refuse = always(errno.EIO)
    writer.record(1)
    writer.wait(lambda: ("mirror_left", True) in writer.troubles, "the alarm")
    words = writer.seal()
    assert words.startswith("left: Input/output error; ")
    told = [entry.mirror for _, entry in read_journal(disks.first.root) if isinstance(entry, entries.Seal)]
    assert len(told) == 1
    assert told[0].startswith("left: Input/output error; ")


class Kill:
    """Keeps both disks as a kill at a chosen moment would leave them."""

    def __init__(self, base: Path, two: TwoDisks, at: int) -> None:
        self.base, self.acknowledged = base, -1
        self._two, self._at, self._moments = two, at, 0
        self.alone = threading.RLock()

    def moment(self) -> None:
        """Something is about to happen on a disk."""
        with self.alone:
            self._moments += 1
            if self._moments != self._at:
                return
            self.acknowledged = min(
                sum(1 for report in self._two.writer.reports for done in report.committed if done.track == track) for track in TRACKS
            )
            for disk in (self._two.first, self._two.second):
                if disk.root.exists():
                    copy_of(disk.root, self.base / disk.name)

    def watch_copying(self, patch: pytest.MonkeyPatch) -> None:
        """Before and after each copy of a file's bytes are moments, too."""
        copy, bring, aside = file_copy._copy, file_copy.bring, file_copy.set_aside

        def copy_and_be_killed(*args: object) -> object:
            self.moment()
            copied = copy(*args)  # type: ignore[arg-type]
            self.moment()
            return copied

        def alone(what: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object) -> object:
                with self.alone:
                    return what(*args)

            return call

        patch.setattr(file_copy, "_copy", copy_and_be_killed)
        patch.setattr(mirror_module, "bring", alone(bring))
        patch.setattr(mirror_module, "set_aside", alone(aside))

    def watch(self, disk: FaultyDisk, refuse: Refuse) -> None:
        """From now on all that happens on a disk is a moment."""

        def told(operation: int, what: str, path: str) -> int:
            self.moment()
            return refuse(operation, what, path)

        disk.alone, disk.operations, disk.refuse = self.alone, 0, told


@settings(max_examples=100)
@given(first=WINDOWS, second=WINDOWS, kill_at=st.integers(1, 220))
def test_faults_on_both_disks_in_any_order_and_a_kill_meanwhile_lose_nothing_that_was_acknowledged(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], kill_at: int
) -> None:
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        two = TwoDisks(Path(base))
        two.wait_in_step()
        killed = Kill(Path(base, "killed"), two, kill_at)
        killed.watch_copying(patch)
        killed.watch(two.first, within(first))
        killed.watch(two.second, within(second))
        two.writer.record(8, per_segment=3)
        two.first.refuse = two.second.refuse = always(0)
        two.wait_in_step()
        two.seal()
        assert_whole(two.first.root, 8)
        assert_whole(two.second.root, 8)
        if killed.acknowledged >= 0:
            take_up(two, killed)


def take_up(two: TwoDisks, killed: Kill) -> None:
    """A recorder that finds both disks as the kill left them."""
    room = RoomDisks(Storage(primary=str(killed.base / "primary"), mirror=str(killed.base / "mirror")), trust())
    (root,) = room.unsealed()
    leader = room.disk(root)
    other = room.other(leader)
    assert other is not None
    two.first, two.second = FaultyDisk(root, name=leader.name), FaultyDisk(other.root, name=other.name)
    assert not [
        path for disk in (two.first, two.second) for path in disk.root.rglob("*.part")
    ]  # a verifier wants no such thing in a record
    two.writer.take_up(root, two.second)
    two.writer.record(2)
    two.wait_in_step()
    two.seal()
    for disk in (two.first, two.second):
        verdict = judged(disk.root)
        assert verdict.level == "sealed", problems(verdict)
        for track in TRACKS:
            kept = fragments_of(disk.root, track)
            assert kept[: killed.acknowledged] == [media(track, n, 300) for n in range(killed.acknowledged)]
