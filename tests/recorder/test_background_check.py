import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.room import FileKey
from recorder import background_check, snapshot
from recorder.background_check import BackgroundCheck
from recorder.contract import control
from recorder.recheck import Answer, Damage, Sums, recheck
from recorder.record import entries, layout
from recorder.recovery import Left, read_left, totals
from recorder.seal import read_journal
from recorder.signing import open_signer
from tests.lab.room import Room, room
from tests.recorder.committing import NAME
from tests.recorder.power_cut import lay
from tests.recorder.test_snapshot import state_at, written


def left_of(root: Path) -> Left:
    left = read_left(root)
    assert left is not None
    return left


def answers(left: Left) -> list[Answer]:
    told: list[Answer] = []
    recheck(left.record, left.end.number, left.end.off, left.journal.head.at, told.append, lambda _: None)
    return told


def test_a_record_as_it_was_left_is_found_whole_with_the_journals_sums(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    left = left_of(root)
    with (root / layout.segment_file("cam", 99)).open("wb") as later:
        later.write(b"what is recorded meanwhile is not looked at")
    with (root / layout.journal_file(left.end.number)).open("ab") as journal:
        journal.write(b"a line that is just being")
    assert answers(left) == [Sums(totals(left.journal))]


def test_a_pipe_in_a_file_s_place_is_found_and_not_waited_for(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    left = left_of(root)
    place = root / layout.segment_file("cam", 0)
    place.unlink()
    os.mkfifo(place)
    damages = [answer.text for answer in answers(left) if isinstance(answer, Damage)]
    assert damages == [f"{layout.segment_file('cam', 0)}: cannot be read: is no regular file"]


@settings(max_examples=80)
@given(data=st.data())
def test_any_byte_that_changes_is_found_and_its_file_named(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as base:
        root = Path(base, NAME)
        lay(root, written())
        left = left_of(root)
        path = data.draw(st.sampled_from(sorted(written().keys() - {layout.DEVICE_CHAIN})))
        content = bytearray((root / path).read_bytes())
        repeated = path == layout.JOURNAL and left.end.number > 1  # its end stands in the second file, too
        at = data.draw(st.integers(0, len(content) - (3000 if repeated else 1)))
        content[at] ^= data.draw(st.sampled_from([1, 0x80, 0xFF]))
        (root / path).write_bytes(content)
        damages = [answer.text for answer in answers(left) if isinstance(answer, Damage)]
        assert damages
        assert any(path in text or path.startswith("journal") for text in damages), damages


def test_a_file_that_is_gone_or_longer_or_shorter_is_told(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    left = left_of(root)
    (root / "tracks/cam/seg-000000.m4s").unlink()
    with (root / "tracks/mic/seg-000000.m4s").open("ab") as file:
        file.write(b"more")
    (root / "tracks/mic/init-00.mp4").write_bytes(b"")
    texts = [answer.text for answer in answers(left) if isinstance(answer, Damage)]
    assert [text.partition(":")[0] for text in texts] == [
        "tracks/cam/seg-000000.m4s", "tracks/mic/init-00.mp4", "tracks/mic/seg-000000.m4s",
    ]  # fmt: skip


def test_a_system_that_has_no_process_to_spare_ends_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_check, "AFTER_S", 0.0)
    monkeypatch.setattr("sys.executable", str(tmp_path / "no such program"))
    root = tmp_path / NAME
    lay(root, written())
    failed, heard = list[str](), threading.Event()

    def tell(words: str) -> None:
        failed.append(words)
        heard.set()

    check = BackgroundCheck(left_of(root), lambda _: None, tell)
    check.start()
    assert heard.wait(20)
    assert "could not be read again" in failed[0]
    check.close()


def test_the_process_tells_and_ends_and_can_be_ended_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_check, "AFTER_S", 0.0)
    root = tmp_path / NAME
    lay(root, written())
    left = left_of(root)
    (root / "tracks/cam/seg-000000.m4s").write_bytes(b"another")
    told, heard = list[str](), threading.Event()

    def tell(words: str) -> None:
        told.append(words)
        heard.set()

    check = BackgroundCheck(left, tell)
    check.start()
    assert heard.wait(30)
    check.close()
    assert "tracks/cam/seg-000000.m4s" in told[0]
    again = BackgroundCheck(left, tell)
    again.start()
    began_s = time.monotonic()
    again.close()
    assert time.monotonic() - began_s < 2


def killed_with_closed_segments(it: Room) -> Path:
    """A session with a closed segment in each track, killed."""
    it.wait_live("cam", "judge")
    record = it.begin()
    it.recorded(1)
    it.do(control.PauseRequest(state="off_record", actor="Judge B."))
    it.do(control.ResumeRequest(actor="Judge B."))
    it.recorded(1)
    it.kill()
    return record


@pytest.mark.timeout(180)
def test_a_byte_that_changed_in_a_closed_segment_raises_an_alarm_that_names_it_while_recording_goes_on(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        record = killed_with_closed_segments(it)
        damaged = record / "tracks/judge/seg-000000.m4s"
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(data)
        it.start()
        status = it.wait_live("cam", "judge")
        assert status.state == "open"
        it.recorded(1)
        alarmed = it.wait(lambda status: any(alarm.code == "record_damaged" for alarm in status.alarms), "the alarm")
        assert "tracks/judge/seg-000000.m4s" in next(alarm.detail for alarm in alarmed.alarms if alarm.code == "record_damaged")
        it.recorded(1)
        it.stop()
        assert not it.wait(lambda _: True, "status").alarms
        told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Alarm) and entry.code == "record_damaged"]
        assert len(told) == 1
        assert it.verify(record).returncode == 1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("wait", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_snapshot_with_wrong_sums_makes_no_wrong_seal(tmp_path: Path, wait: bool) -> None:
    with room(tmp_path) as it:
        record = killed_with_closed_segments(it)
        state = state_at(record, state_at(record).head.at - 3)
        state.tracks["cam"].bytes += 1
        del state.tracks["judge"].digests[-32:]
        snapshot.store(record, state, open_signer(FileKey(kind="file", key=str(it.keys.device_key), chain=str(it.keys.chain))))
        it.start()
        it.wait_live("cam", "judge")
        it.recorded(1)
        if wait:
            it.wait(lambda status: any("counted otherwise" in alarm.detail for alarm in status.alarms), "the alarm")
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert not snapshot.snapshot_file(record).exists()
