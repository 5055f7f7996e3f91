"""What people ask is obeyed at once, whatever disks, token and timestamp authority do; and the answer says what is on the disk."""

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from provisioning.keys import write
from recorder import disk as disk_module
from recorder.contract import control
from recorder.disk import Disk, Write
from recorder.orders_in_force import InForce, higher_level, stricter_pause
from recorder.record import entries, layout
from recorder.signing import KeySigner
from tests.lab.waiting import until
from tests.record.timestamp_authority import TimestampAuthority
from tests.recorder.committing import judged, keys, signer
from tests.recorder.room_in_process import RoomInProcess, entries_of, timers
from tests.recorder.test_receipts import receipt_for

PRIVILEGED = control.PauseRequest(state="privileged", actor="Judge B.", reason="counsel", order="7")
SOON_S = 1.0


class HangingKey(KeySigner):
    """A token that answers no more once it ``hangs``."""

    def __init__(self) -> None:
        known = signer()
        super().__init__(known.private_key, known.chain)
        self.hangs = threading.Event()
        self.released = threading.Event()

    def sign(self, data: bytes) -> bytes:
        if self.hangs.is_set():
            self.released.wait(60)
        return super().sign(data)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While it is set every write of a record hangs, as a disk's does that answers no more."""
    hangs, released, write = threading.Event(), threading.Event(), Disk.write

    def slow(self: Disk, what: Write) -> None:
        while hangs.is_set() and not released.wait(0.02):
            pass
        write(self, what)

    monkeypatch.setattr(disk_module.Disk, "write", slow)
    yield hangs
    released.set()


async def test_a_pause_waits_neither_for_a_token_that_hangs_nor_for_what_is_to_be_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = HangingKey()
    it = RoomInProcess(tmp_path, key)
    await it.begin()
    key.hangs.set()
    fault = control.CertifyFault(hearing="hearing-1", cause="c", from_utc_us=1, lost_s=1)
    signing = asyncio.create_task(it.do(fault))
    await asyncio.sleep(0)
    reply = await asyncio.wait_for(it.do(PRIVILEGED), SOON_S)
    assert reply.ok
    assert it.recorder.state == "privileged"
    assert not signing.done()
    monkeypatch.setattr("recorder.notary.ANSWER_S", 0.1)
    refused = await it.do(fault)
    assert "key does not answer" in refused.error, "one that hangs is waited for, not passed"
    key.released.set()
    assert (await signing).ok
    assert (await it.do(fault)).ok
    await it.stop()


async def test_who_asks_for_the_same_binding_twice_finds_it_once_in_the_record(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    for hearing in ("hearing-2", "hearing-2", "hearing-3", "hearing-2", "hearing-2"):
        assert (await it.do(control.BindRequest(hearing=hearing, actor="clerk"))).ok
    bound = [entry.hearing for entry in entries_of(await it.stop()) if isinstance(entry, entries.Bind)]
    assert bound == ["hearing-2", "hearing-3", "hearing-2"]


async def test_an_event_that_is_told_late_says_when_it_was_and_never_outside_of_the_session(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    session = it.recorder.session
    assert session is not None
    origin_us = session.clock.origin_mono_us
    told = {"known": origin_us + 1_000, "of_before": origin_us - 90_000_000, "of_tomorrow": origin_us + 10**12, "unknown": None}
    for name, was_us in told.items():
        assert (await it.do(control.AddEvent(name=name, data={"person": "g1"}, mono_us=was_us))).ok
    ended_us = session.clock.times().t_us
    events = {entry.name: entry.data for entry in entries_of(await it.stop()) if isinstance(entry, entries.Event)}
    assert [events[name].get("at_us") for name in ("known", "of_before", "unknown")] == [1_000, 0, None]
    assert 1_000 < int(events["of_tomorrow"]["at_us"]) <= ended_us
    assert events["known"]["person"] == "g1"


async def test_an_event_that_is_told_again_stands_in_the_record_once_and_in_the_next_record_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("recorder.conference_events.MOST", 2)
    it = RoomInProcess(tmp_path)
    muted = control.AddEvent(name="muted", data={"person": "g1"}, mono_us=1)
    changed = (replace(muted, name="unmuted"), replace(muted, mono_us=2), replace(muted, data={"person": "g2"}))
    undated = replace(muted, mono_us=None)
    told = {}
    for events in ((muted, muted, changed[0], muted, *changed[1:], changed[2], undated, undated), (muted,)):
        await it.begin()
        for event in events:
            assert (await it.do(event)).ok
        record = await it.stop()
        told[record] = [entry.name for entry in entries_of(record) if isinstance(entry, entries.Event) and entry.source == "conference"]
    assert list(told.values()) == [["muted", "unmuted", "muted", "muted", "muted", "muted"], ["muted"]]


async def test_a_pause_waits_for_no_receipt_that_a_disk_does_not_take(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    await it.mirror_in_step()
    (tmp_path / "mirror" / record.name / "journal-0002.jsonl").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "mirror" / record.name / "journal-0002.jsonl")  # a read of it hangs in the kernel
    taking = asyncio.create_task(it.do(control.AddReceipt(receipt=receipt_for(it))))
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(it.do(PRIVILEGED), SOON_S)).ok
    assert (await taking).ok, "the disk that leads has taken it"


async def test_a_session_whose_disk_takes_nothing_has_begun_and_can_be_paused(tmp_path: Path, hang: threading.Event) -> None:
    it = RoomInProcess(tmp_path)
    hang.set()
    starting = asyncio.create_task(it.do(control.Start(hearing="hearing-1", actor="clerk")))
    await until(lambda: it.recorder.state == "open", "the session")
    pausing = asyncio.create_task(it.do(PRIVILEGED))
    await asyncio.sleep(0)
    assert it.recorder.state == "privileged"
    for reply in (await starting, await pausing):
        assert not reply.ok
        assert "disk" in reply.error
    hang.clear()
    record = await it.stop()
    assert judged(record).level == "sealed"


async def test_a_second_disk_that_does_not_answer_stops_neither_the_event_loop_nor_a_start(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    os.mkfifo(it.mirror / ".last-head")  # to open it hangs
    longest_s, last_s = 0.0, time.monotonic()

    async def tick() -> None:
        nonlocal longest_s, last_s
        while True:
            now_s = time.monotonic()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    await asyncio.wait_for(it.begin(), 10)
    ticking.cancel()
    assert longest_s < SOON_S
    os.close(os.open(it.mirror / ".last-head", os.O_RDWR | os.O_NONBLOCK))
    await it.stop()


async def test_a_stop_waits_for_no_second_disk_and_the_next_hearing_can_begin(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    await it.mirror_in_step()
    os.mkfifo(it.mirror / ".last-head.part")
    record = await asyncio.wait_for(it.stop(), 10)
    assert record.parent == it.primary
    assert judged(record).level == "sealed"
    assert it.recorder.state == "idle"
    second = await asyncio.wait_for(it.begin(), 10)
    first = next(entry for entry in entries_of(second) if isinstance(entry, entries.Genesis))
    assert first.previous_head == judged(record).head
    await it.stop()


async def test_a_token_that_hangs_at_the_seal_ends_the_session_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recorder.open_session.SIGN_S", 0.2)
    key = HangingKey()
    it = RoomInProcess(tmp_path, key)
    await it.begin()
    key.hangs.set()
    reply = await asyncio.wait_for(it.do(control.StopRequest(actor="clerk")), 20)
    assert not reply.ok
    assert "key" in reply.error
    assert it.recorder.state == "idle"
    key.released.set()


async def test_a_stop_waits_for_no_authority_and_a_timestamp_that_a_crash_prevented_comes_at_the_next_start(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        it = RoomInProcess(tmp_path, timestamp={"url": url, "roots": "", "timeout_s": 60})
        await it.begin()
        record = await asyncio.wait_for(it.stop(), 10)
        assert judged(record).level == "sealed"
        shutil.copytree(it.primary, killed / "primary")
    write(keys(), tmp_path / "keys")
    with TimestampAuthority(tmp_path / "keys") as authority:
        again = RoomInProcess(killed, timestamp={"url": authority.url, "roots": ""})
        await again.without_children()
        stamped = again.primary / record.name
        await until((stamped / layout.SUMS_TIMESTAMP).exists, "the timestamp")
        await until(lambda: not again.store.room_disks.unstamped(), "the end of the wait")
    assert judged(stamped).timestamp_utc_us is not None


async def test_an_order_that_is_not_on_the_disk_is_obeyed_and_the_answer_says_so(tmp_path: Path, hang: threading.Event) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    hang.set()
    for request in (PRIVILEGED, control.SetLevel(level="secret", actor="Judge B.", order="8")):
        reply = await it.do(request)
        assert not reply.ok
        assert "obeyed" in reply.error
        assert "not on the disk" in reply.error
    assert it.recorder.state == "privileged"
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copytree(record, killed / "primary" / record.name)
    shutil.copy(tmp_path / "orders-in-force.json", killed)
    hang.clear()
    await it.stop()
    assert not (tmp_path / "orders-in-force.json").exists()

    again = RoomInProcess(killed)
    await again.without_children()
    assert again.recorder.state == "privileged"
    record = await again.stop()
    assert judged(record).level == "sealed"
    paused = next(entry for entry in entries_of(record) if isinstance(entry, entries.Pause))
    assert (paused.state, paused.actor, paused.reason, paused.order) == ("privileged", "Judge B.", "counsel", "7")
    raised = next(entry for entry in entries_of(record) if isinstance(entry, entries.LevelChange))
    assert (raised.level, raised.order) == ("secret", "8")


def test_of_file_and_journal_the_stricter_holds() -> None:
    orders = InForce(record="r", pause=PRIVILEGED, level=control.SetLevel(level="closed", actor="a"))
    assert stricter_pause("open", orders) is PRIVILEGED
    assert stricter_pause("off_record", orders) is PRIVILEGED
    assert stricter_pause("privileged", orders) is None
    assert stricter_pause("deliberation", InForce(record="r")) is None
    assert higher_level("open", orders) is orders.level
    assert higher_level("secret", orders) is None


async def test_a_step_of_utc_while_the_room_is_idle_is_none_of_the_next_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    off_us = 0

    def stepped_us() -> int:
        return time.time_ns() // 1000 + off_us

    for place in ("recorder.core", "recorder.clock", "recorder.session_store"):
        monkeypatch.setattr(f"{place}.utc_us", stepped_us)
    it = RoomInProcess(tmp_path)
    async with timers(it.recorder):
        await it.begin()
        await until(lambda: it.recorder.status().signed_at >= 0, "a checkpoint")
        await it.stop()
        off_us = 2_000_000
        record = await it.begin()
        await until(lambda: it.recorder.status().signed_at >= 0, "a checkpoint")
        assert not [entry for entry in entries_of(record) if isinstance(entry, entries.ClockStep)]
        off_us = 5_000_000
        await until(lambda: any(isinstance(entry, entries.ClockStep) for entry in entries_of(record)), "the step to be told")
        await it.stop()
    assert judged(record).level == "sealed"
    assert not judged(record).errors


async def test_what_is_judged_of_a_session_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    fails, sync = True, Disk.sync

    def failing(self: Disk, paths: Iterable[str]) -> None:
        paths = list(paths)
        if fails and self.root.parent == it.primary and paths:
            raise OSError(5, "Input/output error")
        sync(self, paths)

    await it.begin()
    await it.mirror_in_step()
    monkeypatch.setattr(Disk, "sync", failing)
    await it.do(control.AddNote(author="a", text="x"))
    await until(lambda: "primary_disk_failed" in it.alarms(), "the alarm")
    await it.stop()
    assert it.alarms() == []
    fails = False
    record = await it.begin()
    await it.mirror_in_step()
    assert it.alarms() == []
    fails = True
    await it.do(control.AddNote(author="a", text="x"))
    await until(lambda: "primary_disk_failed" in it.alarms(), "the alarm of the new failure")
    fails = False
    assert record.exists()
    await it.stop()


@pytest.mark.parametrize("request_", [control.StopRequest(actor="agent"), control.BindRequest(hearing="hearing-2", actor="agent")])
async def test_what_was_meant_for_one_session_does_not_reach_the_next(
    tmp_path: Path, request_: control.StopRequest | control.BindRequest
) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    first = (await it.stop()).name.rpartition("_")[2]
    second = (await it.begin()).name.rpartition("_")[2]
    refused = await it.do(msgspec.structs.replace(request_, record=first))
    assert (refused.ok, it.recorder.state, it.recorder.status().hearing) == (False, "open", "hearing-1")
    assert f"session {second} runs, and goes on" in refused.error
    assert (await it.do(msgspec.structs.replace(request_, record=second))).ok
    if it.recorder.state == "open":
        await it.stop()
