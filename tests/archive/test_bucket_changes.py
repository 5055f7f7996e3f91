"""A bucket in which something changed since the archive began with a record: how long it locks, and what it gave up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.upstream.centre.s3_storage import S3Settings
from provisioning.keys import Hierarchy
from tests.archive.bucket_archive import bucket_archive
from tests.archive.seaweed import Seaweed
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
