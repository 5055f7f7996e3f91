"""A bucket in which something changed since the archive began with a record: how long it locks, and what it gave up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from agent.archive.offer import make_offer
from agent.upstream.centre.s3_storage import S3Settings
from provisioning.keys import Hierarchy
from tests.archive.bucket_archive import ROOM, bucket_archive
from tests.archive.seaweed import Seaweed
from tests.lab.waiting import until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


async def test_a_record_is_acknowledged_anew_whose_files_are_locked_for_longer_than_is_wanted_now(
    keys: Hierarchy, make_record: Make, seaweed: Seaweed, tmp_path: Path
) -> None:
    builder = make_record()
    settings = S3Settings(**seaweed.settings | {"prefix": "locks/"})
    async with bucket_archive(tmp_path / "centre", keys, replace(settings, lock_days=3)) as at:
        assert (await at.sent(builder.root)).state == "acknowledged"
    builder.receipt(journal=False)
    async with bucket_archive(tmp_path / "centre", keys, replace(settings, lock_days=1)) as at:
        assert (await at.sent(builder.root)).state == "acknowledged"


async def test_a_bucket_that_cannot_keep_records_is_told_of_at_the_start_and_once_for_each_record_that_waits(
    keys: Hierarchy, make_record: Make, seaweed: Seaweed, tmp_path: Path
) -> None:
    settings = replace(S3Settings(**seaweed.settings), bucket="without-lock", lock_days=3)
    with capture_logs() as logs:
        async with bucket_archive(tmp_path / "centre", keys, settings) as at:
            at.storage._client.create_bucket(Bucket=settings.bucket)
            state = await at.sent(make_record().root)
            assert state.state == "verifying"
            await until(lambda: sum("wait" in log["event"] for log in logs) == 1, "the waiting to be told")
            await at.uploads.state(ROOM, state.upload)
        async with bucket_archive(tmp_path / "centre", keys, settings):
            await until(lambda: any("has no object lock" in log.get("error", "") for log in logs), "the bucket to be told of")
    assert state.detail.startswith("the verification waits: ")


async def test_a_file_whose_parts_the_bucket_gave_up_is_sent_anew(
    keys: Hierarchy, make_record: Make, seaweed: Seaweed, tmp_path: Path
) -> None:
    """As a rule does that aborts multipart uploads which have not ended."""
    record = make_record(big=True).root
    settings = S3Settings(**seaweed.settings | {"prefix": "aborted/"})
    offer = make_offer(record)
    large = next(file for file in offer.files if len(file.parts) > 1)
    async with bucket_archive(tmp_path / "centre", keys, settings) as at:
        upload = (await at.uploads.offer(ROOM, offer)).upload
        assert await at.send(record, upload, large, [1]) == [200]
        client = at.storage._client
        (begun,) = client.list_multipart_uploads(Bucket=settings.bucket, Prefix="aborted/")["Uploads"]
        client.abort_multipart_upload(Bucket=settings.bucket, Key=begun["Key"], UploadId=begun["UploadId"])
    async with bucket_archive(tmp_path / "centre", keys, settings) as at:
        assert await at.send(record, upload, large, [2]) == [200]
        assert (await at.sent(record)).state == "acknowledged"
