"""A file whose name is no UTF-8, as one copies it there from an old disk, is told of, and stops nothing."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.archive import process, reasons
from agent.archive.delivery import Delivery
from agent.archive.offer import OfferError, make_offer
from agent.archive.records import Records
from recorder.record.shown import encodable
from recorder.record.trust import Authorities
from tests.archive.closed import Closed
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
STRANGE = os.fsdecode(b"Geb\xfchr")


async def tell(_: object) -> None:
    pytest.fail("there is no news")


def put_link(root: Path) -> Path:
    (root / STRANGE).symlink_to("nowhere")
    return root


def put_file(root: Path) -> Path:
    (root / STRANGE).write_bytes(b"")
    return root


def rename(root: Path) -> Path:
    return root.rename(root.with_name(STRANGE))


@pytest.mark.parametrize("damage", [put_link, put_file, rename])
def test_what_is_named_in_no_utf_8_is_told_to_the_agent_and_laid_down_and_hides_no_other_record(
    make_record: Make, authorities: Authorities, tmp_path: Path, damage: Callable[[Path], Path]
) -> None:
    strange, other = damage(make_record().root), make_record().root
    records = Records([other.parent], authorities)
    delivery = Delivery(records, None, tell, tmp_path / "told.json", keep_days=1, free_bytes=1)
    assert [one.name for one in records.look()] == [other.name]
    status = delivery.status()
    assert r"Geb\udcfchr" in status.alarms[0]
    assert msgspec.json.encode(process._told_of(status))
    reasons.keep(tmp_path, status.reasons)
    kept = reasons.read(tmp_path)
    assert kept is not None
    assert kept.by_record.keys() == {encodable(strange.name)}
    with pytest.raises(OfferError):
        make_offer(strange)


@pytest.mark.parametrize("damage", [put_link, put_file, rename])
def test_what_is_named_in_no_utf_8_is_listed_with_the_records(closed: Closed, make_record: Make, damage: Callable[[Path], Path]) -> None:
    damage(make_record().root)
    other = make_record().root
    listed = closed.do("status", "--config", closed.config)
    assert listed.exit_code == 0
    assert other.name in listed.stdout
    assert "Geb" in listed.stdout
