"""Part numbers are given once by a recorder: what a child sends late belongs to the session that asked for it."""

from pathlib import Path

from recorder.contract import child
from tests.recorder.committing import judged
from tests.recorder.room_in_process import RoomInProcess


async def test_a_second_session_begins_with_numbers_that_the_first_did_not_give(tmp_path: Path) -> None:
    room = RoomInProcess(tmp_path)
    await room.without_children()
    numbers = []
    for _ in range(2):
        record = await room.begin()
        running = room.recorder.session
        assert running is not None
        running.send = lambda *_: True
        running.add_tracks("ingest", {"remote-anna-audio": "audio"}, continuous=False)
        running.start_device("ingest", 1)
        part = running.tracks["remote-anna-audio"].part
        running.take_init(child.Init(track="remote-anna-audio", part=part, kind="audio", codec="opus", timescale=48_000), b"header")
        running.part_ended(child.PartEnded(track="remote-anna-audio", part=part, end_us=0))
        numbers.append(part)
        await room.stop()
        assert judged(record).level == "sealed", judged(record).findings
    await room.recorder.close()
    assert numbers == [0, 1]
