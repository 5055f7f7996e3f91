"""The delivery service with records on real disks and an archive that answers as it is told."""

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.archive import delivery as deliveries
from agent.archive import queue, retention
from agent.archive import records as records_of
from agent.archive.acknowledgement import place, store
from agent.archive.delivery import Delivery
from agent.archive.reasons import Reasons
from agent.archive.records import Records
from agent.archive.retention import tombstones
from agent.archive.upload import UnreadableError, UploadStoppedError, UploadTroubledError
from agent.upstream.contract import RecordDeleted, RecordDelivered
from provisioning.keys import Hierarchy
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.file_check import SMALL_BYTES
from recorder.record.trust import Authorities
from tests.archive.conftest import acknowledged, until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
MINUTE_US = 60_000_000


@dataclass
class Archive:
    """Takes what ``answers`` says, in turn; then everything."""

    keys: Hierarchy
    builders: dict[str, Builder] = field(default_factory=dict)
    answers: list[Exception | None] = field(default_factory=list)
    sent: list[Path] = field(default_factory=list)
    patience_s: list[float] = field(default_factory=list)
    sent_bytes: int = 0
    hearing: bool = False
    long_ago: bool = False

    def set_hearing(self, *, hearing: bool) -> None:
        self.hearing = hearing

    async def send(
        self, root: Path, *, progress: Callable[[int, int], None], troubled: Callable[[str], None], tries: int, patience_s: float
    ) -> Acknowledgement | None:
        assert tries > 0
        self.patience_s.append(patience_s)
        self.sent.append(root)
        progress(1, 2)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, UploadTroubledError):
                troubled(str(answer))
            if answer is not None:
                raise answer
            return None
        self.sent_bytes += 1000
        return acknowledged(self.builders[root.name], self.keys.centre)


@dataclass
class Room:
    """The service of a room, started as often as a test likes; ``told`` is what became durable."""

    records: Records
    archive: Archive
    file: Path
    told: list[RecordDelivered | RecordDeleted] = field(default_factory=list)
    keep_days: float = 1
    free_bytes: int = 0
    clock_believed: bool | None = True
    agent_there: asyncio.Event = field(default_factory=asyncio.Event)
    lose: int = 0
    """So many of the next events are lost on the way: the process dies."""

    async def tell(self, event: RecordDelivered | RecordDeleted) -> None:
        if self.lose:
            self.lose -= 1
            raise asyncio.CancelledError
        await self.agent_there.wait()
        self.told.append(event)

    @contextlib.asynccontextmanager
    async def running(self, *, uploads: bool = True) -> AsyncIterator[Delivery]:
        delivery = Delivery(
            self.records, self.archive if uploads else None, self.tell, self.file, keep_days=self.keep_days, free_bytes=self.free_bytes,
            look_s=0.05,
        )  # fmt: skip
        delivery.set_clock(believed=self.clock_believed)
        task = asyncio.create_task(delivery.run())
        try:
            yield delivery
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def looks(delivery: Delivery, number: int = 3) -> None:
    """Until the disks were looked at so many times more: all that follows from the first of these has happened."""
    for _ in range(number):
        before = delivery._found
        await until(lambda before=before: delivery._found is not before)  # type: ignore[misc]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SETTLE_S", "LOOK_AGAIN_S", "_FIRST_WAIT_S", "_LONGEST_WAIT_S"):
        monkeypatch.setattr(queue, name, 0.05)


@pytest.fixture
def room(tmp_path: Path, keys: Hierarchy, authorities: Authorities) -> Room:
    for name in ("records", "mirror"):
        (tmp_path / name).mkdir()
    made = Room(Records([tmp_path / "records", tmp_path / "mirror"], authorities), Archive(keys), tmp_path / "told.json")
    made.agent_there.set()
    return made


def add(room: Room, builder: Builder, *, mirror: bool = False) -> Builder:
    room.archive.builders[builder.root.name] = builder
    if mirror:
        shutil.copytree(builder.root, room.records.bases[1] / builder.root.name)
    return builder


async def test_records_go_and_are_told_of_once_though_the_service_starts_again(room: Room, make_record: Make) -> None:
    first, second = add(room, make_record(), mirror=True), add(room, make_record())
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 2)
        await until(lambda: delivery.status().pending == 0)
        assert room.archive.sent == [first.root, second.root]
        assert place(room.records.bases[1] / first.root.name).exists()
        third = add(room, make_record())
        await until(lambda: str(third.record_id) in room.file.read_text())  # ended before, it may tell it twice
    async with room.running() as delivery:
        await looks(delivery)
    assert [event.record for event in room.told] == [str(one.record_id) for one in (first, second, third)]
    assert all(isinstance(event, RecordDelivered) and event.by == "Centre" for event in room.told)


async def test_what_died_before_it_was_durable_is_told_again(room: Room, make_record: Make) -> None:
    builder = add(room, make_record())
    room.lose = 1
    async with room.running():
        await until(lambda: room.lose == 0)
    assert room.told == []
    assert place(builder.root).exists()
    async with room.running():
        await until(lambda: len(room.told) == 1)
    assert room.archive.sent == [builder.root]


async def test_trouble_refusal_and_a_slow_verification_of_one_keep_no_other(room: Room, make_record: Make) -> None:
    records = [add(room, make_record()) for _ in range(4)]
    room.archive.answers = [UploadTroubledError("away"), UploadStoppedError("the archive refuses it"), None]
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 3)
        status = delivery.status()
        assert status.pending == 1
        assert status.alarms == (f"{records[1].root.name}: the archive refuses it",)
        assert status.reasons == Reasons(by_record={records[1].root.name: "the archive refuses it"})
        assert status.indicators()["upload_pending_gib"] * 1024**3 == status.pending_bytes > 0
    assert [root.name for root in room.archive.sent[:4]] == [one.root.name for one in records]


async def test_a_record_that_the_archive_verifies_is_asked_about_and_not_waited_for(room: Room, make_record: Make) -> None:
    add(room, make_record())
    room.archive.answers = [None, None]
    async with room.running():
        await until(lambda: len(room.told) == 1)
    assert [patience_s > 0 for patience_s in room.archive.patience_s] == [True, False, False]


async def test_a_copy_that_cannot_be_read_is_sent_from_the_other_disk(room: Room, make_record: Make) -> None:
    builder = add(room, make_record(), mirror=True)
    room.archive.answers = [UnreadableError("a sector is gone")]
    async with room.running():
        await until(lambda: len(room.told) == 1)
    assert room.archive.sent == [builder.root, room.records.bases[1] / builder.root.name]


async def test_an_acknowledgement_that_a_disk_brought_is_told_without_any_network(room: Room, make_record: Make, keys: Hierarchy) -> None:
    builder = add(room, make_record())
    async with room.running(uploads=False) as delivery:
        await until(lambda: delivery.status().pending == 1)
        store(builder.root, acknowledged(builder, keys.centre))
        delivery.hurry()
        await until(lambda: len(room.told) == 1)


async def test_an_order_after_the_delivery_is_sent_but_not_told_again(room: Room, make_record: Make) -> None:
    builder = add(room, make_record())
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 1)
        builder.receipt(journal=False)
        await until(lambda: len(room.archive.sent) == 2)
        await until(lambda: all(one.standing == "delivered" for one in delivery._found))
    assert len(room.told) == 1


async def test_only_for_room_and_after_its_time_and_in_no_hearing_a_record_is_deleted_and_that_is_told(
    room: Room, make_record: Make, keys: Hierarchy
) -> None:
    builder = add(room, make_record(), mirror=True)
    young = add(room, make_record())
    old_us = time.time_ns() // 1000 - 40 * MINUTE_US
    room.keep_days = 0.02
    for base in room.records.bases:
        ack = acknowledged(builder, keys.centre, utc_us=old_us)
        store(base / builder.root.name, ack)
    free = shutil.disk_usage(builder.root).free
    # Known only since now: not old enough, though the archive says that it is.
    room.free_bytes = 2 * free
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 2)
        await looks(delivery)
        assert builder.root.exists()
    for base in room.records.bases:
        _age(place(base / builder.root.name), 40 * 60)
    async with room.running() as delivery:
        delivery.set_hearing(hearing=True)
        assert room.archive.hearing
        await looks(delivery)
        assert builder.root.exists()
    room.free_bytes = 1
    async with room.running() as delivery:
        await looks(delivery)
        assert builder.root.exists()
    room.free_bytes = 2 * free
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 3)
        await until(lambda: not builder.root.exists())
        assert (young.root / layout.SUMS).exists()
    deleted = room.told[-1]
    assert isinstance(deleted, RecordDeleted)
    assert (deleted.record, deleted.freed_bytes > 0) == (str(builder.record_id), True)
    assert [len(tombstones(base, pytest.fail)) for base in room.records.bases] == [1, 1]


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b'{"name":'), lambda path: path.write_bytes(b" " * (SMALL_BYTES + 1)), Path.mkdir],
    ids=["cut short", "too large", "no file"],
)
async def test_a_damaged_tombstone_keeps_nothing_from_being_told(room: Room, make_record: Make, damage: Callable[[Path], object]) -> None:
    """Nor is anything told twice; and it is an alarm."""
    base = room.records.bases[0]
    damage(base / "2026-01-02_h_gone.deleted.json")
    first = add(room, make_record())
    for _ in range(2):
        async with room.running() as delivery:
            await until(lambda: place(first.root).exists() and bool(room.told))
            await looks(delivery)
            await until(lambda: any("h_gone.deleted.json" in alarm for alarm in delivery.status().alarms))
    second = add(room, make_record())
    async with room.running():
        await until(lambda: place(second.root).exists())
        await until(lambda: len(room.told) > 1)
    assert [event.record for event in room.told] == [str(first.record_id), str(second.record_id)]
    damaged: list[str] = []
    assert tombstones(base, damaged.append) == []
    assert [str(base) in words for words in damaged] == [True]


async def test_while_the_agent_is_away_new_records_are_found_and_sent(room: Room, make_record: Make) -> None:
    first = add(room, make_record())
    room.agent_there.clear()
    async with room.running() as delivery:
        await until(lambda: place(first.root).exists())
        await looks(delivery)
        second = add(room, make_record())
        await until(lambda: place(second.root).exists())
        assert room.told == []
        room.agent_there.set()
        await until(lambda: len(room.told) == 2)
    assert [event.record for event in room.told] == [str(first.record_id), str(second.record_id)]


async def test_what_the_agent_was_not_told_of_before_is_told_in_the_order_of_the_hearings(room: Room, make_record: Make) -> None:
    first, second = add(room, make_record()), add(room, make_record())
    room.agent_there.clear()
    async with room.running():
        await until(lambda: place(first.root).exists() and place(second.root).exists())
    room.agent_there.set()
    async with room.running():
        await until(lambda: len(room.told) == 2)
    assert [event.record for event in room.told] == [str(first.record_id), str(second.record_id)]


@pytest.mark.parametrize("believed", [None, False])
async def test_by_a_clock_that_nobody_vouches_for_no_record_is_old_enough(
    room: Room, make_record: Make, keys: Hierarchy, *, believed: bool | None
) -> None:
    """A PC that began with a clock that is ahead: the age that it sees is none."""
    builder = add(room, make_record())
    store(builder.root, acknowledged(builder, keys.centre, utc_us=time.time_ns() // 1000 - 40 * MINUTE_US))
    _age(place(builder.root), 40 * 60)
    room.keep_days, room.free_bytes, room.clock_believed = 0.02, 2 * shutil.disk_usage(builder.root).free, believed
    async with room.running() as delivery:
        await until(lambda: len(room.told) == 1)
        await looks(delivery)
        assert builder.root.exists()
        assert any("clock" in alarm for alarm in delivery.status().alarms) == (believed is False)
        delivery.set_clock(believed=True)
        await until(lambda: not builder.root.exists())
        await until(lambda: len(room.told) == 2)
        assert delivery.status().alarms == ()


async def test_a_deletion_that_a_disk_broke_off_is_no_news_and_is_put_right(
    room: Room, make_record: Make, keys: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = add(room, make_record())
    store(builder.root, acknowledged(builder, keys.centre, utc_us=time.time_ns() // 1000 - 40 * MINUTE_US))
    _age(place(builder.root), 40 * 60)
    room.keep_days, room.free_bytes = 0.02, 2 * shutil.disk_usage(builder.root).free
    failing, files = True, retention._files

    def read(root: Path) -> dict[str, tuple[int, int, int]]:
        if failing and root.parent.name == retention.LEAVING:
            raise OSError(errno.EIO, "Input/output error")
        return files(root)

    monkeypatch.setattr(retention, "_files", read)
    async with room.running() as delivery:
        await until(lambda: any("Input/output error" in alarm for alarm in delivery.status().alarms))
        await looks(delivery)
        assert not any(isinstance(event, RecordDeleted) for event in room.told)
        failing = False
        await until(lambda: isinstance(room.told[-1], RecordDeleted))
    assert not builder.root.exists()


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_broken_record_is_told_of_while_it_is_looked_at_again(room: Room, make_record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = add(room, make_record())
    sums = (builder.root / layout.SUMS).read_bytes()
    (builder.root / layout.SUMS).write_bytes(b"nonsense")
    assert room.records.look() == []
    told: list[list[str]] = []
    read = records_of._read_copy

    def reading(root: Path) -> records_of._Copy:
        told.append(list(room.records.broken))
        return read(root)

    monkeypatch.setattr(records_of, "_read_copy", reading)
    assert room.records.look() == []
    assert told == [[builder.root.name]]
    (builder.root / layout.SUMS).write_bytes(sums)
    assert [one.name for one in room.records.look()] == [builder.root.name]
    assert room.records.broken == {}


async def test_a_disk_that_goes_and_comes_and_a_broken_record_end_nothing(room: Room, make_record: Make) -> None:
    first = add(room, make_record())
    broken = add(room, make_record())
    (broken.root / layout.SUMS).write_bytes(b"nonsense")
    away = room.records.bases[0].with_name("away")
    room.records.bases[0].rename(away)
    async with room.running() as delivery:
        await looks(delivery)
        away.rename(room.records.bases[0])
        await until(lambda: len(room.told) == 1)
        assert [event.record for event in room.told] == [str(first.record_id)]
        assert "SHA256SUMS cannot be used" in delivery.status().alarms[0]


async def test_where_the_disks_cannot_be_looked_at_that_is_an_alarm_until_they_can(
    room: Room, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(room, make_record())
    monkeypatch.setattr(deliveries, "_AGAIN_S", 0.02)
    room.file.mkdir()
    async with room.running() as delivery:
        await until(lambda: delivery.status().alarms != ())
        (alarm,) = delivery.status().alarms
        assert alarm.startswith("the disks cannot be looked at: ")
        assert str(room.file) in alarm
        assert delivery.status().reasons.of_all == (alarm,)
        room.file.rmdir()
        await until(lambda: len(room.told) == 1)
        await until(lambda: delivery.status().alarms == ())
