"""What earlier runs left behind: which session is taken up, and what becomes of the others."""

import json
import subprocess
from pathlib import Path

import pytest

from provisioning.room import FileKey
from recorder.clock import utc_us
from recorder.contract import control
from recorder.record import entries, layout
from recorder.record.verify import verify
from recorder.recovery import is_sealed
from recorder.seal import read_journal
from recorder.signing import Signer, open_signer
from tests.lab.room import Room
from tests.recorder import committing
from tests.recorder.committing import bytes_of
from tests.recorder.long_record import long_record

pytestmark = pytest.mark.timeout(180)
HOUR_US = 3_600_000_000


@pytest.fixture
def it(tmp_path: Path) -> Room:
    room = Room(tmp_path)
    room.primary.mkdir(mode=0o700)
    return room


def device(it: Room) -> Signer:
    return open_signer(FileKey(kind="file", key=str(it.keys.device_key), chain=str(it.keys.chain)))


def left_behind(it: Room, hours_ago: float, signer: Signer | None = None) -> Path:
    """A record of some seconds that a crash ended so long ago."""
    return long_record(it.primary, signer or device(it), 0.002, utc_us() - int(hours_ago * HOUR_US), "another boot")


def reason(record: Path) -> str:
    return next(entry.reason for _, entry in read_journal(record) if isinstance(entry, entries.Seal))


def test_a_session_of_yesterday_is_sealed_with_the_reason_and_a_new_one_can_begin_at_once(it: Room) -> None:
    old = left_behind(it, 13)
    it.start()
    try:
        assert it.wait_live("cam", "judge").state == "idle"
        new = it.begin()
        it.recorded(1)
        it.wait(lambda _: is_sealed(old), "the old one's seal")
        it.stop()
    finally:
        it.close()
    assert reason(old) == "interrupted: the recorder came back after 13 h, and takes a session up within 12 h only"
    assert reason(old) in it.log.read_text(encoding="utf-8")
    for record in (old, new):
        assert (done := it.verify(record)).returncode == 0, done.stdout


def test_the_newest_of_several_is_taken_up_and_the_others_are_sealed_meanwhile(it: Room) -> None:
    older, newer = left_behind(it, 2), left_behind(it, 1)
    it.start()
    try:
        status = it.wait_live("cam", "judge")
        assert Path(status.record) == newer
        it.wait(lambda _: is_sealed(older), "the other one's seal")
        it.stop()
    finally:
        it.close()
    assert reason(older) == "interrupted: a later session was taken up"
    for record in (older, newer):
        assert (done := it.verify(record)).returncode == 0, done.stdout


def test_a_record_that_another_certificate_began_is_left_as_it_is_and_told(it: Room) -> None:
    record = left_behind(it, 1, committing.signer())
    before = bytes_of(record)
    it.start()
    try:
        status = it.wait(lambda status: any(alarm.code == "record_unsealed" for alarm in status.alarms), "the alarm")
        assert status.state == "idle"
        assert record.name in status.alarms[0].detail
        found = it.do(control.FindRecord(record=record.name.rpartition("_")[2])).found
        assert found is not None
        assert (found.there, found.sealed) == (True, False)
        assert found.left is not None
        assert found.left.cause == "record_unsealed"
        assert str(record) in found.left.detail
        assert found.left.duration_us > 1_000_000
    finally:
        it.close()
    assert bytes_of(record) == before


@pytest.mark.parametrize("journal", ["empty", "none"])
def test_of_a_record_without_a_first_line_it_is_said_that_it_stays_so(it: Room, journal: str) -> None:
    record = left_behind(it, 1)
    (record / layout.JOURNAL).unlink()
    if journal == "empty":
        (record / layout.JOURNAL).touch()
    it.start()
    try:
        it.wait_live("cam", "judge")
        found = it.do(control.FindRecord(record=record.name.rpartition("_")[2])).found
        assert found is not None
        assert found.left is not None
        assert found.left.cause == "record_unread"
    finally:
        it.close()


def test_a_pause_goes_on_as_it_was_left(it: Room) -> None:
    it.start()
    try:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        it.do(control.PauseRequest(state="deliberation", actor="Judge B."))
        it.wait(lambda status: status.state == "deliberation", "the pause")
        it.kill()
        it.start()
        assert it.wait(lambda status: bool(status.record), "the session").state == "deliberation"
        it.do(control.ResumeRequest(actor="Judge B."))
        it.recorded(1)
        it.stop()
    finally:
        it.close()
    assert (done := it.verify(record)).returncode == 0, done.stdout
    assert not [finding for finding in verify(record).findings if finding.severity == "doubt"]


@pytest.mark.parametrize("same_sockets", [True, False])
def test_a_second_recorder_ends_with_one_error_and_the_hearing_goes_on(it: Room, tmp_path: Path, *, same_sockets: bool) -> None:
    it.start()
    try:
        it.wait_live("cam")
        record = it.begin()
        it.recorded(1)
        second = subprocess.run(
            it.command(None if same_sockets else tmp_path / "trial"), capture_output=True, text=True, check=False, timeout=60
        )
        assert second.returncode == 1
        assert second.stdout.count("a recorder runs already; end it before another is started") == 1, second.stdout
        assert it.process is not None
        assert f"process {it.process.pid} holds the lock" in second.stdout
        it.recorded(1)
        assert it.stop() == record
        assert (done := it.verify(record)).returncode == 0, done.stdout
        # Nothing is held by a room in which nothing is recorded: its disks may be taken away.
        assert not [path for path in Path(f"/proc/{it.process.pid}/fd").iterdir() if path.readlink().is_relative_to(record.parent)]
    finally:
        it.close()


def test_a_recorder_that_was_told_to_end_in_a_session_is_told_apart_from_one_that_crashed(it: Room) -> None:
    it.start()
    try:
        it.wait_live("cam", "judge")
        record = it.begin()
        for end in (it.close, it.kill):
            it.recorded(1)
            end()
            it.start()
            it.wait_live("cam", "judge")
        it.recorded(1)
        it.stop()
    finally:
        it.close()
    assert (done := it.verify(record)).returncode == 0, done.stdout
    words = ["the recorder was told to end, and was started again", "crash or power cut"]
    assert [interval.detail for interval in verify(record).not_recorded if interval.cause == "recorder_down"] == words
    listed = json.loads((record / layout.MANIFEST).read_bytes())["not_recorded"]
    assert [interval["detail"] for interval in listed if interval["cause"] == "recorder_down"] == words
