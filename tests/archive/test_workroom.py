"""What a verification takes of the centre's own disk: never what is left to the centre itself, and nothing behind a kill."""

from collections.abc import Callable
from pathlib import Path

from structlog.testing import capture_logs

from agent.archive.offer import make_offer
from agent.upstream.centre.disk_room import RESERVE_BYTES, Room
from agent.upstream.centre.s3_storage import S3Settings
from provisioning.keys import Hierarchy
from tests.archive.bucket_archive import ROOM, bucket_archive
from tests.archive.seaweed import Seaweed
from tests.archive.test_upload_sweep import archive
from tests.lab.waiting import until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
LARGE = 100 * RESERVE_BYTES


async def test_a_record_in_a_bucket_waits_until_the_centres_disk_has_room_for_it_and_its_reserve(
    keys: Hierarchy, make_record: Make, seaweed: Seaweed, tmp_path: Path
) -> None:
    record = make_record().root
    size = sum(file.len for file in make_offer(record).files)
    with capture_logs() as logs:
        async with bucket_archive(tmp_path / "centre", keys, S3Settings(**seaweed.settings | {"prefix": "waits/"})) as at:
            at.room = Room(LARGE, RESERVE_BYTES + size - 1)
            state = await at.sent(record)
            assert state.state == "verifying"
            assert state.detail.startswith(f"the verification waits: {tmp_path / 'centre' / 'work'} needs ")
            assert "make room" in state.detail
            assert list((tmp_path / "centre" / "work").iterdir()) == []
            at.room = Room(LARGE, RESERVE_BYTES + size)
            await until(lambda: not at.uploads._tasks, "the end of the verification")
            assert (await at.uploads.state(ROOM, state.upload)).state == "acknowledged"
    assert sum("waits to be verified" in log["event"] for log in logs) == 1


async def test_a_record_that_is_linked_for_its_verification_needs_no_room(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        at.work_room = Room(LARGE, 0)
        assert (await at.sent(record, offer)).state == "acknowledged"


async def test_what_a_kill_left_of_a_verification_is_gone_when_the_centre_runs_again(keys: Hierarchy, tmp_path: Path) -> None:
    work = tmp_path / "centre" / "work"
    left = work / "2026-01-01_room-1_of-a-record" / "tracks"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    (work / "lost+found").mkdir()
    (work / "notes.txt").write_text("whose it is, he knows")
    async with archive(tmp_path / "centre", keys):
        await until(lambda: sorted(path.name for path in work.iterdir()) == ["lost+found", "notes.txt"], "the room to be given back")


async def test_a_directory_that_somebody_removed_to_make_room_keeps_no_record_from_its_verification(
    keys: Hierarchy, make_record: Make, tmp_path: Path
) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        await until((tmp_path / "centre" / "work").exists, "the centre has begun")
        (tmp_path / "centre" / "work").rmdir()
        assert (await at.sent(record, offer)).state == "acknowledged"
