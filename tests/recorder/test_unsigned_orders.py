"""After a power cut no unsigned line ends a pause or lowers a level: whoever has the disk of a dark room needs no key for one."""

from pathlib import Path

import pytest

from recorder.contract import control
from recorder.ledger import CloseItem
from recorder.orders_in_force import InForce, OrdersInForce
from recorder.record import entries
from tests.record.record_builder import Builder
from tests.recorder.committing import judged, keys, signer
from tests.recorder.room_in_process import RoomInProcess, alarms_in, entries_of


def left_in_a_private_talk(it: RoomInProcess) -> Builder:
    """A secret hearing that counsel's talk interrupts: all of it signed."""
    left = Builder(it.primary, keys(), signer=signer())
    left.record(2)
    left.set_level("secret")
    left.record(2)
    left.put(CloseItem(left.times))
    left.entry(entries.Pause(state="privileged", actor="clerk", reason="talk with counsel", order="", from_us=left.t_us))
    left.checkpoint()
    return left


def goes_on_openly(left: Builder) -> None:
    left.entry(
        entries.Resume(state="privileged", actor="clerk", from_us=left.t_us, to_us=left.t_us),
        entries.LevelChange(level="open", actor="judge", order="", from_us=left.t_us),
    )


async def test_a_resume_and_a_level_that_nobody_signed_are_not_obeyed_and_the_room_is_told_what_to_do(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path / "room")
    left = left_in_a_private_talk(it)
    goes_on_openly(left)
    await it.without_children()
    assert (it.recorder.state, it.recorder.status().level) == ("privileged", "secret")
    assert it.alarms() == ["orders_kept"]

    assert (await it.do(control.ResumeRequest(actor="clerk"))).ok
    assert it.recorder.state == "open"
    assert it.alarms() == []
    record = await it.stop()
    assert judged(record).level == "sealed"
    paused = [entry for entry in entries_of(record) if isinstance(entry, entries.Pause)]
    assert [(entry.state, entry.actor) for entry in paused] == [("privileged", "clerk"), ("privileged", "recorder")]
    assert alarms_in(record) == [("orders_kept", True), ("orders_kept", False)]


async def test_the_room_is_told_so_again_after_each_restart_until_somebody_orders_anew(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path / "room")
    goes_on_openly(left_in_a_private_talk(it))
    for _ in range(3):
        await it.without_children()
        assert (it.recorder.state, it.alarms()) == ("privileged", ["orders_kept"])
        await it.recorder.close(told_to_end=False)
        it = RoomInProcess(tmp_path / "room")
    await it.without_children()
    assert (await it.do(control.SetLevel(level="secret", actor="judge"))).ok
    await it.recorder.close(told_to_end=False)
    it = RoomInProcess(tmp_path / "room")
    await it.without_children()
    assert (it.recorder.state, it.alarms()) == ("privileged", [])
    await it.stop()


async def test_a_level_that_nobody_signed_is_not_obeyed_though_the_session_was_never_paused(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path / "room")
    left = Builder(it.primary, keys(), signer=signer())
    left.set_level("secret")
    left.record(2)
    left.checkpoint()
    left.entry(entries.LevelChange(level="open", actor="judge", order="", from_us=left.t_us))
    await it.without_children()
    assert (it.recorder.state, it.recorder.status().level) == ("open", "secret")
    assert it.alarms() == ["orders_kept"]
    assert (await it.do(control.SetLevel(level="open", actor="judge"))).ok
    assert it.alarms() == []
    await it.stop()


@pytest.mark.parametrize("known_by", ["signature", "run directory"])
async def test_what_is_signed_or_was_ordered_since_the_pc_started_is_obeyed(tmp_path: Path, known_by: str) -> None:
    it = RoomInProcess(tmp_path / "room")
    left = left_in_a_private_talk(it)
    goes_on_openly(left)
    if known_by == "signature":
        left.checkpoint()
    else:
        OrdersInForce(it.base).put(InForce(record=left.genesis.record))
    await it.without_children()
    assert (it.recorder.state, it.recorder.status().level) == ("open", "open")
    assert it.alarms() == []
    await it.stop()
