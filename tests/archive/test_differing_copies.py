"""A record whose two copies are not the same: one is damaged, or each has what the other has not."""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.archive.acknowledgement import store
from agent.archive.records import Records
from agent.archive.retention import RetentionError, choose, delete
from agent.archive.upload import UploadStoppedError
from provisioning.keys import Hierarchy
from recorder.record import layout
from recorder.record.trust import Authorities
from tests.archive.conftest import acknowledged, until
from tests.archive.test_delivery import Make, Room, add, looks, quick, room
from tests.record.record_builder import Builder

__all__ = ["quick", "room"]
FAR_US = int(dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp() * 1e6)


def lose_a_file(root: Path) -> None:
    (root / layout.segment_file("cam-judge", 0)).unlink()


def zero_the_list(root: Path) -> None:
    (root / layout.SUMS).write_bytes(bytes((root / layout.SUMS).stat().st_size))


def leave_a_stray_file(root: Path) -> None:
    (root / ".nfs000001").write_bytes(b"")


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.parametrize("damage", [lose_a_file, zero_the_list, leave_a_stray_file])
async def test_a_damaged_copy_is_an_alarm_and_the_other_one_is_delivered_and_neither_deleted(
    room: Room, make_record: Make, authorities: Authorities, damage: Callable[[Path], None], damaged: int
) -> None:
    builder = add(room, make_record(), mirror=True)
    roots = [base / builder.root.name for base in room.records.bases]
    damage(roots[damaged])
    builder.root = roots[1 - damaged]
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 1)
        await looks(delivery)
        assert room.archive.sent == [roots[1 - damaged]]
        assert delivery.status().pending == 0
        (alarm,) = delivery.status().alarms
        assert str(roots[damaged].parent) in alarm
    (found,) = room.records.look()
    assert found.standing == "delivered"
    assert choose([found], now_us=FAR_US, keep_days=0, need_bytes=10**13) == []
    with pytest.raises(RetentionError, match="cannot be used"):
        delete(found, authorities)


async def test_a_copy_that_the_archive_refuses_is_sent_from_the_other_disk(room: Room, make_record: Make) -> None:
    builder = add(room, make_record(), mirror=True)
    room.archive.answers = [UploadStoppedError("the archive refuses it: bindings.jsonl is damaged")]
    async with room.running():
        await until(lambda: len(room.told) == 1)
    assert room.archive.sent == [builder.root, room.records.bases[1] / builder.root.name]


def check_that_each_is_delivered_by_itself(bases: list[Path], name: str, keys: Hierarchy, authorities: Authorities, made: Builder) -> None:
    records = Records(bases, authorities)
    first, second = records.look()
    assert {first.root, second.root} == {base / name for base in bases}
    assert [first.standing, second.standing] == ["pending", "pending"]
    assert all(str(base) in records.broken[name] for base in bases)
    for one, left in ((first, [second.root]), (second, [first.root])):
        made.root = one.root
        store(one.root, acknowledged(made, keys.centre))
        found = records.look()
        assert [each.standing for each in found] == (["pending"] if one is first else ["delivered"])
        assert one is second or [each.root for each in found] == left
    (found_last,) = records.look()
    assert choose([found_last], now_us=FAR_US, keep_days=0, need_bytes=10**13) == []
    assert all(str(base) in records.broken[name] for base in bases)


def test_two_copies_that_are_sealed_otherwise_are_both_delivered_and_none_is_deleted(
    keys: Hierarchy, authorities: Authorities, tmp_path: Path
) -> None:
    bases = [tmp_path / "records", tmp_path / "mirror"]
    for base, seconds in zip(bases, (6, 3), strict=True):
        builder = Builder(base, keys)
        builder.record(seconds)
        builder.close()
    check_that_each_is_delivered_by_itself(bases, builder.root.name, keys, authorities, builder)


async def test_each_seal_of_a_record_that_is_sealed_otherwise_is_told_once_though_the_service_starts_again(
    room: Room, keys: Hierarchy
) -> None:
    for base, seconds in zip(room.records.bases, (6, 3), strict=True):
        builder = Builder(base, keys)
        builder.record(seconds)
        builder.close()
    seals = []
    for base in room.records.bases:
        builder.root = base / builder.root.name
        ack = acknowledged(builder, keys.centre)
        async with room.running(uploads=False) as delivery:
            store(builder.root, ack)
            seals.append(ack.sums_sha256)
            await until(lambda: len(room.told) == len(seals))
            await looks(delivery)
    async with room.running(uploads=False) as delivery:
        await looks(delivery)
    assert seals[0] != seals[1]
    assert [event.sums_sha256 for event in room.told] == seals


def test_an_order_on_one_disk_and_a_receipt_on_the_other_are_both_delivered(
    make_record: Make, keys: Hierarchy, authorities: Authorities, tmp_path: Path
) -> None:
    builder = make_record()
    copy = tmp_path / "mirror" / builder.root.name
    shutil.copytree(builder.root, copy)
    with (builder.root / layout.ANCHORS).open("ab") as file:
        file.write(b"x" * 5000 + b"\n")
    (copy / layout.ORDERS).mkdir()
    (copy / layout.order_file(1)).write_bytes(b"{}\n")
    check_that_each_is_delivered_by_itself([builder.root.parent, copy.parent], copy.name, keys, authorities, builder)
