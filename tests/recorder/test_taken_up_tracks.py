"""Tracks of a session that was taken up, whose devices are not back yet."""

from pathlib import Path

import pytest

from recorder.contract import child, control
from recorder.record import layout
from tests.recorder.room_in_process import RoomInProcess


@pytest.mark.parametrize("name", ["remote-anna-audio", "judge"])
async def test_recording_goes_on_after_a_take_up_although_no_key_can_be_made_for_a_track_without_a_device(
    tmp_path: Path, name: str
) -> None:
    room = RoomInProcess(tmp_path)
    await room.without_children()
    await room.begin()
    running = room.recorder.session
    assert running is not None
    running.send = lambda *_: True
    running.add_tracks("device", {name: "audio"}, continuous=not name.startswith("remote-"))
    running.start_device("device", 0)
    running.take_init(child.Init(track=name, part=0, kind="audio", codec="opus", timescale=48_000), b"header")
    await room.do(control.PauseRequest(state="off_record", actor="Judge"))
    await room.recorder.close()
    room.store.room_disks.release()

    again = RoomInProcess(tmp_path)
    await again.without_children()
    taken = again.recorder.session
    assert taken is not None
    assert taken.tracks[name].gone is name.startswith("remote-")

    def fails(*_: object) -> None:
        raise RuntimeError("no entropy")

    taken.make_key = fails
    assert (await again.do(control.ResumeRequest(actor="Judge"))).ok
    assert again.recorder.state == "open"
    await again.recorder.close()


def tear_behind_the_first_line(base: Path, name: str) -> None:
    for journal in base.glob(f"*/{name}/{layout.JOURNAL}"):
        journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")


async def test_a_session_that_began_secret_is_taken_up_secret_although_its_level_s_line_was_torn_off(tmp_path: Path) -> None:
    room = RoomInProcess(tmp_path)
    await room.without_children()
    assert (await room.do(control.Start(hearing="h", actor="Clerk", level="secret"))).ok
    assert room.recorder.opened is not None
    name = room.recorder.opened.committer.disk.root.name
    await room.recorder.close()
    room.store.room_disks.release()
    tear_behind_the_first_line(tmp_path, name)

    again = RoomInProcess(tmp_path)
    await again.without_children()
    assert again.recorder.session is not None
    assert again.recorder.session.level == "secret"
    await again.recorder.close()
