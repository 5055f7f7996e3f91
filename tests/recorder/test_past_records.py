"""Which records of the past the recorder names: what somebody lays on a disk hides none, and is none."""

import datetime as dt
import shutil
import uuid
from pathlib import Path

import msgspec

from recorder.contract import control
from recorder.record import layout
from recorder.seal import chain_pem
from tests.recorder.committing import NAME, Writer, sealed_and_behind
from tests.recorder.room_in_process import RoomInProcess
from tests.recorder.test_left_records import other_signer

HOUR_US = 3_600_000_000


async def found(it: RoomInProcess) -> control.RecordsFound:
    records = (await it.do(control.FindRecords(since_utc_us=0))).records
    assert records is not None
    return records


async def names(it: RoomInProcess) -> list[str]:
    return [Path(one.path).name for one in (await found(it)).past]


def left_behind(base: Path) -> Path:
    writer = Writer(base)
    writer.record(3)
    writer.committer.close()
    return writer.root


def lay(like: Path, **changed: object) -> Path:
    """A record that somebody lays beside one that was left: its first line alone, changed."""
    record = str(uuid.uuid4())
    root = like.with_name(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}_room-1_{record}")
    root.mkdir()
    first = msgspec.json.decode((like / layout.JOURNAL).read_bytes().split(b"\n")[0]) | {"record": record} | changed
    (root / layout.JOURNAL).write_bytes(msgspec.json.encode(first, order="sorted") + b"\n")
    shutil.copy(like / layout.DEVICE_CHAIN, root)
    return root


async def test_what_is_named_as_a_seal_and_is_none_makes_no_record(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    sealed, behind = sealed_and_behind(tmp_path)
    false = lay(sealed)
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        shutil.copy(sealed / name, false)
        shutil.copy(sealed / name, behind)
    (behind / layout.MANIFEST).write_bytes((sealed / layout.MANIFEST).read_bytes().replace(b"hearing-1", b"hearing-2"))
    assert [(one.path, one.hearing) for one in (await found(it)).past] == [(str(sealed), "hearing-1")]
    for root, is_one in ((sealed, True), (false, False)):
        reply = (await it.do(control.FindRecord(record=root.name.rpartition("_")[2]))).found
        assert reply is not None
        assert reply.sealed is is_one


async def test_a_directory_whose_name_no_text_can_tell_hides_no_record(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    sealed, _ = sealed_and_behind(tmp_path)
    strange = sealed.with_name("2026-01-01_room-1_\udcff_" + sealed.name.rpartition("_")[2])
    shutil.copytree(sealed, strange)
    reply = await it.do(control.FindRecords(since_utc_us=0))
    assert msgspec.json.decode(msgspec.json.encode(reply), type=control.Reply).records == await found(it)
    assert await names(it) == [sealed.name]


async def test_a_record_that_is_left_without_a_seal_counts_where_a_device_of_the_room_began_it(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path, other_signer("room-1"))
    left = left_behind(it.primary)
    soon_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6) + HOUR_US
    strange = other_signer("room-1")
    lay(left, room="room-2")
    lay(left, utc_us=soon_us)
    lay(left, device_certificate_sha256=strange.key_id)
    lay(left, type="note")
    by_strange = lay(left, device_certificate_sha256=strange.key_id)
    (by_strange / layout.DEVICE_CHAIN).write_bytes(chain_pem(strange))
    try:
        await it.without_children()
        assert "record_unsealed" in it.alarms()
        assert await names(it) == [NAME]
    finally:
        await it.recorder.close()


async def test_records_that_wait_for_their_seal_are_named_until_they_have_it(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    left = left_behind(it.primary)
    before = await found(it)
    assert (before.past, before.unsealed) == ([], [str(left)])
    other = await it.begin()
    assert (await found(it)).unsealed == sorted([str(left), str(other)])
    await it.stop()
    assert (await found(it)).unsealed == [str(left)]
    await it.recorder.close()
    it = RoomInProcess(tmp_path)
    try:
        await it.without_children()
        assert (await found(it)).unsealed == [str(left)], "it is taken up"
        await it.stop()
        after = await found(it)
        assert ({one.path for one in after.past}, after.unsealed) == ({str(left), str(other)}, [])
    finally:
        await it.recorder.close()


async def test_a_copy_of_a_sealed_record_that_is_behind_waits_for_no_seal(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    sealed, _ = sealed_and_behind(tmp_path)
    assert await found(it) == control.RecordsFound(past=(await found(it)).past, unsealed=[], silent=[])
    assert await names(it) == [sealed.name]


async def test_what_an_earlier_device_bound_behind_its_seal_counts_and_where_a_binding_does_not_hold_no_hearing_is_named(
    tmp_path: Path,
) -> None:
    sealed, _ = sealed_and_behind(tmp_path)
    record = sealed.name.rpartition("_")[2]
    reply = await RoomInProcess(tmp_path).do(control.BindSealed(record=record, hearing="hearing-2", actor="Clerk"))
    assert reply.ok, reply.error
    replaced = RoomInProcess(tmp_path, other_signer("room-1"))
    assert [one.hearing for one in (await found(replaced)).past] == ["hearing-2"]
    bindings = sealed / layout.BINDINGS
    bindings.write_bytes(bindings.read_bytes().replace(b"hearing-2", b"hearing-3"))
    assert [one.hearing for one in (await found(replaced)).past] == [""]


async def test_a_record_that_an_earlier_device_sealed_is_bound_by_no_other(tmp_path: Path) -> None:
    sealed, _ = sealed_and_behind(tmp_path)
    replaced = RoomInProcess(tmp_path, other_signer("room-1"))
    bind = control.BindSealed(record=sealed.name.rpartition("_")[2], hearing="hearing-2", actor="Clerk")
    reply = await replaced.do(bind)
    assert not reply.ok
    assert "another device" in reply.error
    assert not (sealed / layout.BINDINGS).exists()
