"""A deletion whose last look at a record takes long: it ends with the delivery and for a hearing, and two never run at once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.archive import offer, retention
from agent.archive.acknowledgement import store
from agent.archive.delivery import Delivery
from agent.archive.records import Records
from agent.archive.retention import tombstones
from agent.upstream.contract import RecordDeleted, RecordDelivered
from provisioning.keys import Hierarchy
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from tests.archive.conftest import acknowledged, until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


class Reading:
    """The last look at records: the first file takes until ``goes_on``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        self.over = False
        self.goes_on: Callable[[], bool] = lambda: False
        self._hash, self._delete = offer.hash_file, retention.delete
        monkeypatch.setattr(offer, "hash_file", self._slowly)
        monkeypatch.setattr(retention, "delete", self._noted)

    def _slowly(self, root: Path, path: str, length: int, *, from_disk: bool = False) -> str:
        if from_disk:
            self.files.append(path)
        deadline = time.monotonic() + 15
        while from_disk and len(self.files) == 1 and not self.goes_on():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self._hash(root, path, length, from_disk=from_disk)

    def _noted(self, *args: object) -> object:
        try:
            return self._delete(*args)  # type: ignore[arg-type]
        finally:
            self.over = True


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


@pytest.fixture
def builder(make_record: Make, keys: Hierarchy) -> Builder:
    made = make_record(seconds=1)
    store(made.root, acknowledged(made, keys.centre, utc_us=time.time_ns() // 1000 - 1_000_000))
    return made


@pytest.fixture
def delivery(builder: Builder, authorities: Authorities) -> Delivery:
    """One that deletes whatever it may, in a closed network: its disk never has enough room."""

    async def tell(event: RecordDelivered | RecordDeleted) -> None:
        del event

    base = builder.root.parent
    made = Delivery(Records([base], authorities), None, tell, base / ".told.json", keep_days=0, free_bytes=2**62, look_s=0.02)
    made.set_clock(believed=True)
    return made


async def test_a_delivery_that_is_to_end_ends_its_deletion_soon_and_never_before_it(
    builder: Builder, delivery: Delivery, reading: Reading, authorities: Authorities
) -> None:
    running = asyncio.create_task(delivery.run())
    reading.goes_on = lambda: running.cancelling() > 0
    await until(lambda: reading.files != [])
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert reading.over
    assert len(reading.files) == 1
    assert tombstones(builder.root.parent, pytest.fail) == []
    assert verify(builder.root, Outside(authorities=authorities)).level == "sealed"


async def test_a_hearing_ends_a_deletion_without_an_alarm_and_it_begins_anew_behind_the_hearing(
    builder: Builder, delivery: Delivery, reading: Reading
) -> None:
    running = asyncio.create_task(delivery.run())
    try:
        await until(lambda: reading.files != [])
        delivery.set_hearing(hearing=True)
        reading.goes_on = lambda: True
        await until(lambda: reading.over)
        before = delivery._found
        await until(lambda: delivery._found is not before)
        assert len(reading.files) == 1
        assert builder.root.exists()
        assert delivery.status().alarms == ()
        delivery.set_hearing(hearing=False)
        await until(lambda: not builder.root.exists())
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
