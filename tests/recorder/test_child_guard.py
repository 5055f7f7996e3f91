"""A child that hangs is killed and started again, also one that may rightly be quiet."""

import os
import signal
import time
from pathlib import Path

import pytest

from recorder.child_process import ChildPlan, ChildProcess
from recorder.children_plan import INGEST, SPEAKER, WATCH
from recorder.contract import child
from recorder.ledger import Committed
from recorder.record import entries
from recorder.seal import read_journal
from recorder.watch_link import BEHIND_US, WatchLink
from tests.lab.participants import participants
from tests.lab.room import Room, room
from tests.recorder.running_session import Session
from tests.recorder.test_child_process import Owner

pytestmark = pytest.mark.timeout(120)
QUIET = "[ingest]\nenabled = true\n[speaker]\n"


def process_of(it: Room, module: str) -> int:
    [pid] = [pid for pid in it.children() if module in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")]
    return pid


def freeze(it: Room, module: str, name: str) -> None:
    """Stop a child, and wait until the room says that it is gone and has a new one."""
    frozen = process_of(it, module)
    os.kill(frozen, signal.SIGSTOP)
    it.wait(lambda status: any(a.code == "source_lost" and name in (a.track, a.detail) for a in status.alarms), "the alarm")
    it.wait(lambda status: not any(a.code == "source_lost" for a in status.alarms), "its successor")
    assert process_of(it, module) != frozen


@pytest.mark.lab
def test_a_speaker_that_hangs_in_silence_is_started_again(tmp_path: Path) -> None:
    with room(tmp_path, extra=QUIET) as it:
        it.wait_live("cam", "judge")
        it.begin()
        freeze(it, SPEAKER, "room-out")
        it.stop()


@pytest.mark.lab
def test_participants_are_told_to_be_gone_when_ingest_hangs(tmp_path: Path) -> None:
    with room(tmp_path, extra=QUIET) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        freeze(it, INGEST, "ingest")
        with participants(it.run_dir / "ingest.sock", 1) as tracks:
            it.wait(lambda status: sum(bool(c.written_us) for c in status.channels if c.track in tracks) == 2, "their media on the disk")
            os.kill(process_of(it, INGEST), signal.SIGSTOP)
            it.wait(lambda status: not any(c.track in tracks for c in status.channels), "their end")
        it.stop()
        events = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event)]
        assert {(e.track, e.data["cause"]) for e in events if e.name == "track_closed"} == {(track, "ingest_lost") for track in tracks}
        assert (done := it.verify(record)).returncode == 0, done.stdout


@pytest.mark.long
@pytest.mark.lab
def test_a_watch_that_hangs_is_an_alarm_and_its_successor_judges_what_goes_on(tmp_path: Path) -> None:
    with room(tmp_path, watch=True) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(2)
        freeze(it, WATCH, "watch")
        it.wait(lambda status: not status.alarms, "the proof of what was recorded")
        segment = record / "tracks" / "judge" / "seg-000000.m4s"
        end = time.monotonic() + 15
        # What the disk hands back differs from what was written, as of a failing disk: each new fragment's head is overwritten at once.
        while time.monotonic() < end and not any(a.code == "unreadable" for a in it.wait(lambda _: True, "status").alarms):
            size = segment.stat().st_size
            with segment.open("r+b") as file:
                file.seek(max(0, size - 6000))
                file.write(b"\0" * 6000)
        assert any(alarm.code == "unreadable" for alarm in it.wait(lambda _: True, "status").alarms)
        os.kill(process_of(it, WATCH), signal.SIGKILL)
        it.wait(lambda status: not any(a.code == "unreadable" for a in status.alarms), "the end of what nobody judges any more")
        it.stop()


def test_what_the_watch_has_not_judged_is_counted_for_the_room_s_own_tracks(tmp_path: Path) -> None:
    session = Session(tmp_path)
    running = session.running
    process = ChildProcess(ChildPlan(name="watch", module=WATCH, device={}), str(tmp_path), Owner())
    link = WatchLink(process)
    running.add_tracks("mic", {"judge": "audio"}, continuous=True)
    running.add_tracks("ingest", {"remote-p": "audio"}, continuous=False)
    for device in ("mic", "ingest"):
        running.start_device(device, 0)

    def stored(track: str, seconds: int) -> None:
        link.committed(tmp_path, [Committed(track, 0, "x", 0, 1, second * 1000, 1000, 1_000_000) for second in range(seconds)])

    for track in ("judge", "remote-p"):
        assert not link.knows(track)
        link.part(running, child.Init(track=track, part=0, kind="audio", codec="opus", timescale=1000))
        assert link.knows(track)
    assert link.behind_us() == 0
    stored("remote-p", 100)
    assert link.behind_us() == 0
    stored("judge", 12)
    assert link.behind_us() == 12_000_000 > BEHIND_US
    link.judged(child.Judged(until_us={"judge": 11_000_000}))
    assert link.behind_us() == 1_000_000
    link.judged(child.Judged(until_us={"judge": 2_000_000}))
    assert link.behind_us() == 1_000_000, "a successor that begins anew takes nothing back"
    link.judged(child.Judged(until_us={"judge": child.MAX_INTEGER}))
    stored("judge", 13)
    assert link.behind_us() == 1_000_000, "what is not there yet cannot be judged"
