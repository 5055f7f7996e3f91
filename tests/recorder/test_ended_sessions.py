"""A session whose end was asked for is over, whatever comes between that and its seal: no room records again by itself."""

import asyncio
import shutil
import threading
import time
from pathlib import Path

import pytest

from recorder import core
from recorder.contract import control
from recorder.ledger import CloseItem
from recorder.record import entries
from recorder.recovery import is_sealed
from tests.lab.waiting import until
from tests.record.record_builder import Builder
from tests.recorder.committing import bytes_of, judged, keys, signer
from tests.recorder.room_in_process import RoomInProcess, entries_of

STOP = control.StopRequest(actor="judge", reason="ended")
ORDERS = "orders-in-force.json"


class Hung:
    """A session whose seal waits in a thread until it is let go."""

    def __init__(self, it: RoomInProcess) -> None:
        assert it.recorder.opened is not None
        self.it, self.opened = it, it.recorder.opened
        self.go, self.reached = threading.Event(), threading.Event()
        self.sums, self.opened.sums = self.opened.sums, self._wait

    async def stop(self) -> "asyncio.Task[control.Reply]":
        """Ask for its end; it has come to the seal."""
        asked = asyncio.create_task(self.it.do(STOP))
        await until(self.reached.is_set, "the seal to be begun")
        return asked

    def _wait(self) -> list[entries.TrackTotal]:
        self.reached.set()
        self.go.wait(20)
        return self.sums()


async def begun(base: Path) -> tuple[RoomInProcess, Path]:
    """A room without devices in which a session runs, and its record."""
    it = RoomInProcess(base)
    await it.without_children()
    return it, await it.begin()


def seal_of(record: Path) -> entries.Seal:
    return next(entry for entry in entries_of(record) if isinstance(entry, entries.Seal))


async def seals_at_the_next_start(base: Path, record: str) -> Path:
    """The room starts there, records nothing, and seals the record."""
    it = RoomInProcess(base)
    await it.without_children()
    assert it.recorder.state == "idle"
    sealed = it.primary / record
    await until(lambda: is_sealed(sealed), "the seal")
    await it.recorder.close()
    return sealed


async def test_a_power_cut_between_the_end_of_a_deliberation_and_the_seal_lets_nothing_be_recorded(tmp_path: Path) -> None:
    it, record = await begun(tmp_path / "room")
    await it.do(control.PauseRequest(state="deliberation", actor="judge"))
    hung = Hung(it)
    stopping = await hung.stop()
    shutil.copytree(it.primary, tmp_path / "after" / "primary")  # without the run directory, which a power cut empties
    hung.go.set()
    assert (await stopping).ok
    await it.recorder.close()

    sealed = await seals_at_the_next_start(tmp_path / "after", record.name)
    assert judged(sealed).level == "sealed"
    assert (seal_of(sealed).actor, seal_of(sealed).reason) == ("judge", "ended")


async def test_a_recorder_that_is_killed_before_a_disk_took_the_order_to_end_obeys_it_all_the_same(tmp_path: Path) -> None:
    it, record = await begun(tmp_path / "room")
    shutil.copytree(it.primary, tmp_path / "after" / "primary")
    hung = Hung(it)
    stopping = await hung.stop()
    shutil.copy(it.base / ORDERS, tmp_path / "after" / ORDERS)
    hung.go.set()
    assert (await stopping).ok
    assert not (it.base / ORDERS).exists()
    await it.recorder.close()

    sealed = await seals_at_the_next_start(tmp_path / "after", record.name)
    assert judged(sealed).level == "sealed"
    assert (seal_of(sealed).actor, seal_of(sealed).reason) == ("judge", "ended")


async def test_a_recorder_that_is_told_to_end_while_a_seal_hangs_lets_the_record_go_and_seals_it_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "SEALED_S", 0.1)
    it, record = await begun(tmp_path)
    hung = Hung(it)
    asked = await hung.stop()
    asked.cancel()  # as the control socket does with whoever still waits for an answer
    await it.recorder.close()
    hung.go.set()
    assert not is_sealed(record)
    assert not hung.opened.committer._thread.is_alive()
    assert entries.ENDED in [(entry.source, entry.name) for entry in entries_of(record) if isinstance(entry, entries.Event)]
    assert judged(await seals_at_the_next_start(tmp_path, record.name)).level == "sealed"


async def test_whoever_hangs_up_while_the_record_is_sealed_breaks_nothing_off(tmp_path: Path) -> None:
    it, record = await begun(tmp_path)
    hung = Hung(it)
    asked = await hung.stop()
    asked.cancel()
    hung.go.set()
    await until(lambda: it.recorder.state == "idle", "the session's end")
    await it.recorder.close()
    assert judged(record).level == "sealed"


async def test_a_disk_that_fails_while_a_session_is_summed_up_is_an_alarm_and_the_record_is_sealed_at_the_next_start(
    tmp_path: Path,
) -> None:
    it, record = await begun(tmp_path)
    assert it.recorder.opened is not None
    opened = it.recorder.opened

    def fails() -> list[entries.TrackTotal]:
        raise OSError(5, "Input/output error", str(record))

    opened.sums = fails
    reply = await it.do(STOP)
    assert not reply.ok
    assert "not sealed" in reply.error
    assert "record_unsealed" in it.alarms()
    await until(lambda: not opened.committer._thread.is_alive(), "the committer's end")
    await it.recorder.close()
    assert judged(await seals_at_the_next_start(tmp_path, record.name)).level == "sealed"


async def test_a_record_that_stands_sealed_on_a_disk_that_came_late_is_not_written_over(tmp_path: Path) -> None:
    it, record = await begun(tmp_path)
    await it.mirror_in_step()
    stale = tmp_path / "stale"
    shutil.copytree(record, stale)
    await it.stop()
    await it.recorder.close()
    sealed = it.mirror / record.name
    assert judged(sealed).level == "sealed"
    whole = bytes_of(sealed)
    shutil.rmtree(record)
    stale.rename(record)
    away = it.mirror.rename(tmp_path / "away")

    late = RoomInProcess(tmp_path)
    late.mirror.rmdir()
    (tmp_path / "nothing").touch()
    late.mirror.symlink_to("nothing")  # no directory is there, and none can be made
    await late.without_children()
    assert late.recorder.state == "open"
    (tmp_path / "comes").symlink_to(away.name)
    (tmp_path / "comes").replace(late.mirror)  # at once: between a disk that goes and one that comes a directory could be made

    def told() -> bool:
        return any("Stop it, and start a new one" in alarm.detail for alarm in late.recorder.status().alarms if alarm.code == "mirror_left")

    await until(told, "the alarm")
    assert bytes_of(sealed) == whole
    await late.stop()
    await late.recorder.close()
    assert bytes_of(sealed) == whole


async def test_a_session_that_begins_while_the_one_before_is_let_go_keeps_the_disks_locked(tmp_path: Path) -> None:
    it, _ = await begun(tmp_path)
    stamp, last_head, go = it.store.stamp, it.store.room_disks.last_head, threading.Event()
    before = it.recorder.opened

    def late_stamp(root: Path) -> None:
        go.wait(20)
        stamp(root)

    def last_head_when_the_one_before_is_let_go() -> str:
        if not go.is_set():
            go.set()
            assert before is not None
            assert before.follow_up is not None
            end_s = time.monotonic() + 20
            while not before.follow_up.done() and time.monotonic() < end_s:
                time.sleep(0.001)
        return last_head()

    it.store.stamp = late_stamp  # type: ignore[method-assign]
    await it.stop()  # its follow-up goes on
    it.store.room_disks.last_head = last_head_when_the_one_before_is_let_go  # type: ignore[method-assign]
    await it.begin()
    assert it.store.room_disks._locks.keys() == {"primary", "mirror"}
    assert it.store.room_disks.recording
    await it.stop()
    await it.recorder.close()
    assert it.store.room_disks._locks == {}


@pytest.mark.parametrize("unsigned_s", [2, 60])
async def test_a_seal_that_nobody_signed_is_finished_and_told_as_not_proven(tmp_path: Path, unsigned_s: int) -> None:
    """Whoever has the disk needs no key for lines, media and a seal's entry behind what the recorder left."""
    it = RoomInProcess(tmp_path / "room")
    left = Builder(it.primary, keys(), signer=signer())
    left.record(10)
    left.record(unsigned_s, signed=False)
    left.put(CloseItem(left.times))
    left.entry(entries.Seal(reason="ended", actor="judge", duration_us=left.t_us, tracks=left.ledger.totals(), paused_us={}, mirror="none"))
    await it.without_children()
    await until(lambda: is_sealed(left.root), "the seal")
    within_what_a_crash_leaves = unsigned_s < 10
    assert ("record_damaged" in it.alarms()) != within_what_a_crash_leaves
    verdict = judged(left.root)
    assert (verdict.level, verdict.exit_status) == ("sealed", 0 if within_what_a_crash_leaves else 3)
    assert [finding.code for finding in verdict.findings] == ([] if within_what_a_crash_leaves else ["unsigned_stretch"])
    await it.recorder.close()
