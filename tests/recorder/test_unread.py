"""A record that cannot be read is left as it is, and told; whatever was put there, the room starts."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder import left_records, session_store, snapshot
from recorder.journal_read import read_on
from recorder.journal_state import JournalState
from recorder.record import entries, layout
from recorder.record.journal import Chain, Times
from recorder.recovery import read_left
from tests.lab.waiting import until
from tests.recorder.committing import NAME, TRACKS, Writer, signer
from tests.recorder.room_in_process import RoomInProcess, alarms_in

pytestmark = pytest.mark.timeout(60)


def left_behind(it: RoomInProcess) -> Path:
    writer = Writer(it.primary)
    writer.record(3)
    writer.committer.close()
    return it.primary / NAME


def open_segment(record: Path) -> Path:
    return record / layout.segment_file(next(iter(TRACKS)), 0)


async def starts(it: RoomInProcess) -> str:
    """The recorder starts, and a session can begin; returns what it says of the record that it left."""
    try:
        await it.without_children()
        await until(lambda: "record_unread" in it.alarms(), "the alarm")
        assert it.recorder.state == "idle"
        await it.begin()
        return next(alarm.detail for alarm in it.recorder.status().alarms if alarm.code == "record_unread")
    finally:
        await it.recorder.close()


def put_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def put_endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [put_pipe, put_endless])
@pytest.mark.parametrize("place", [lambda record: record / "journal-0002.jsonl", lambda record: record / layout.JOURNAL, open_segment])
async def test_neither_a_pipe_nor_a_link_in_a_record_keeps_the_room_from_starting(
    tmp_path: Path, place: Callable[[Path], Path], put: Callable[[Path], None]
) -> None:
    it = RoomInProcess(tmp_path)
    record = left_behind(it)
    put(place(record))
    detail = await starts(it)
    assert detail.startswith(f"{record} cannot be read: ")
    assert detail.endswith("; it is left as it is")


@pytest.mark.parametrize("place", [layout.TRACKS, f"{layout.TRACKS}/{next(iter(TRACKS))}", layout.KEYS, f"{layout.TRACKS}/new"])
async def test_no_link_in_a_record_leads_what_is_recorded_from_then_on_elsewhere(tmp_path: Path, place: str) -> None:
    it = RoomInProcess(tmp_path)
    shutil.rmtree(it.mirror)
    link, elsewhere = left_behind(it) / place, tmp_path / "elsewhere"
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.mkdir()
    link.symlink_to(elsewhere)
    assert "a link stands there for a directory" in await starts(it)


@pytest.mark.parametrize("spoilt", ["primary", "mirror"])
async def test_a_record_that_only_one_disk_can_give_is_taken_up_from_it(tmp_path: Path, spoilt: str) -> None:
    it = RoomInProcess(tmp_path)
    record = left_behind(it)
    shutil.copytree(record, it.mirror / NAME)
    put_pipe(tmp_path / spoilt / NAME / "journal-0002.jsonl")
    try:
        found = it.store.room_disks.unsealed()
        assert found == [(it.mirror if spoilt == "primary" else it.primary) / NAME]
    finally:
        await it.store.close()


async def test_copies_that_cannot_be_told_apart_do_not_keep_it_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    record = left_behind(it)
    shutil.copytree(record, it.mirror / NAME)

    def fails(*_: object) -> Path:
        raise MemoryError("a line without an end")

    monkeypatch.setattr(left_records, "longer", fails)
    try:
        await it.without_children()
        assert it.recorder.state == "open"
        assert it.recorder.status().record == str(record)
    finally:
        await it.recorder.close()


async def test_a_disk_that_cannot_list_its_records_leaves_those_of_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    shutil.copytree(left_behind(it), it.mirror / NAME)
    lists = Path.iterdir

    def fails(path: Path) -> Iterator[Path]:
        if path == it.primary:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return lists(path)

    monkeypatch.setattr(Path, "iterdir", fails)
    try:
        assert it.store.room_disks.unsealed() == [it.mirror / NAME]
    finally:
        await it.store.close()


async def test_a_record_that_nothing_expects_does_not_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    record = left_behind(it)

    def fails(*_: object) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(session_store, "read_left", fails)
    assert await starts(it) == f"{record} cannot be read: maximum recursion depth exceeded; it is left as it is"


async def test_nor_does_a_disk_that_hangs_in_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    left_behind(it)
    released = threading.Event()
    monkeypatch.setattr(session_store, "read_left", lambda *_: released.wait())
    monkeypatch.setattr(session_store, "READ_S", 0.1)
    try:
        assert "no answer within 0.1 s" in await starts(it)
    finally:
        released.set()


async def test_a_journal_that_was_cut_while_the_recorder_was_down_raises_an_alarm_and_the_session_goes_on(tmp_path: Path) -> None:
    """The device had signed a snapshot of more than what is there."""
    it = RoomInProcess(tmp_path)
    shutil.rmtree(it.mirror)
    record = left_behind(it)
    state = JournalState()
    read_on(record, state)
    snapshot.store(record, state, signer())
    journal = record / layout.JOURNAL
    journal.write_bytes(journal.read_bytes()[: state.place.line_off])
    try:
        await it.without_children()
        await until(lambda: "record_damaged" in it.alarms(), "the alarm")
        assert it.recorder.state == "open"
        told = [alarm.detail for alarm in it.recorder.status().alarms if alarm.code == "record_damaged"]
        assert "the journal was cut or rewritten" in told[0]
        await until(lambda: ("record_damaged", True) in alarms_in(record), "its entry in the record")
    finally:
        await it.recorder.close()


READ = """
import resource, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec
from recorder.recovery import chain_of, read_left
record = Path(sys.argv[1])
own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (own + 256 * 1024**2,) * 2)
left = read_left(record, ec.generate_private_key(ec.SECP256R1()).public_key())
assert left.ledger.head == chain_of(record)[-1]
print(left.torn[-1].file, left.torn[-1].len)
"""


@pytest.mark.timeout(120)
def test_a_line_or_a_snapshot_without_an_end_takes_no_more_memory_than_a_long_one(tmp_path: Path) -> None:
    """A file with a hole is as long as one likes, and takes no room on the disk."""
    record = left_behind(RoomInProcess(tmp_path))
    endless = snapshot.snapshot_file(record)
    endless.parent.mkdir(exist_ok=True)
    for path in (record / layout.journal_file(2), endless):
        path.touch()
        os.truncate(path, 1 << 30)
    done = subprocess.run([sys.executable, "-c", READ, str(record)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"{layout.journal_file(2)} {1 << 30}"], done.stderr


OUTSIDE: list[entries.Entry] = [
    entries.Key(track="cam", part=7, file="../outside", len=1, sha256="0" * 64),
    entries.Key(track="cam", part=7, file="/outside", len=1, sha256="0" * 64),
    entries.Frag(track="../../outside", part=0, seg=0, n=0, off=0, len=1, sha256="0" * 64, t0=0, dur=1),
]


@pytest.mark.parametrize("entry", OUTSIDE, ids=str)
async def test_a_journal_that_names_files_elsewhere_is_not_gone_on_with(tmp_path: Path, entry: entries.Entry) -> None:
    """A chain needs no key, and by these paths the other disk would be given files."""
    it = RoomInProcess(tmp_path)
    record = left_behind(it)
    state = JournalState()
    read_on(record, state)
    with (record / layout.JOURNAL).open("ab") as journal:
        journal.write(Chain(state.head).line(entry, Times(1, 1, 1)))
    assert "names the file" in await starts(it)


def test_no_number_that_a_pipe_has_is_written_to(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    record = left_behind(it)
    track = next(iter(TRACKS))
    os.mkfifo(record / layout.segment_file(track, 7))
    left = read_left(record)
    assert left is not None
    assert left.tracks[track].next_seg == 8
