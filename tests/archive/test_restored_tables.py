"""A centre whose tables are from before a record was acknowledged, while its storage is not: nothing goes that a room was told is there."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.archive.offer import make_offer
from agent.upstream.centre.s3_storage import KEPT_TAG, S3Settings
from agent.upstream.centre.uploads import OPEN_DAYS, REFUSED_DAYS
from provisioning.keys import Hierarchy
from tests.archive.bucket_archive import bucket_archive
from tests.archive.seaweed import Seaweed
from tests.archive.test_upload_sweep import ROOM, archive, in_days, others
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


def copy(tables: Path, to: Path) -> None:
    """As the backup of a centre that runs, or the restore of one that does not."""
    for old in to.parent.glob(f"{to.name}*"):
        old.unlink()
    source, target = sqlite3.connect(tables), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


@pytest.mark.parametrize("lock_days", [1, None])
async def test_a_bucket_keeps_what_was_acknowledged_since_the_copy(
    keys: Hierarchy, make_record: Make, seaweed: Seaweed, tmp_path: Path, lock_days: int | None
) -> None:
    record = make_record().root
    settings = S3Settings(**seaweed.settings | {"lock_days": lock_days, "prefix": ""})
    tables, backup = tmp_path / "centre" / "uploads.sqlite", tmp_path / "backup.sqlite"
    async with bucket_archive(tmp_path / "centre", keys, settings) as at:
        offer = make_offer(record)
        upload = (await at.uploads.offer(ROOM, offer)).upload
        for file in offer.files[:3]:
            await at.send(record, upload, file)
        copy(tables, backup)
        assert (await at.sent(record)).state == "acknowledged"
    copy(backup, tables)
    async with bucket_archive(tmp_path / "centre", keys, settings) as at:
        assert (await at.uploads.state(ROOM, upload)).state == "open"
        assert await at.uploads.discard(in_days(OPEN_DAYS + 1)) == 0
        assert all(tags == [KEPT_TAG] for tags in at.tags(record)[-len(offer.files) :])
        assert await at.uploads.discard(in_days(OPEN_DAYS + 1)) == 0
        assert at.uploads._store.removals(0) == []
        assert (await at.sent(record)).state == "acknowledged"


async def test_a_directory_keeps_what_was_acknowledged_since_the_copy(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record().root
    offer = make_offer(record)
    tables, backup = tmp_path / "centre" / "uploads.sqlite", tmp_path / "backup.sqlite"
    (tmp_path / "centre").mkdir()
    async with archive(tmp_path / "centre", keys) as at:
        at.trusted = others()
        assert (await at.sent(record, offer)).state == "refused"
        copy(tables, backup)
        at.trusted = keys
        with sqlite3.connect(tables) as db:
            db.execute("UPDATE uploads SET utc_us = 0")
        db.close()
        assert (await at.sent(record, offer)).state == "acknowledged"
    copy(backup, tables)
    async with archive(tmp_path / "centre", keys) as at:
        assert await at.uploads.discard(in_days(REFUSED_DAYS + 1)) == 0
        assert len(at.files()) == len(offer.files)
        assert (await at.sent(record, offer)).state == "acknowledged"
