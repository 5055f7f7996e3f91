"""A real centre over real TLS: events once, schedules pushed, heads countersigned, and nothing acknowledged is lost by a kill."""

import asyncio
import random
import time
import uuid
from pathlib import Path

import msgspec
import pytest

from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.client import RefusedError, UpstreamError
from agent.upstream.enrolment import RoomFiles
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities, load_certificates
from recorder.record.verify import Outside, verify
from tests.lab.centre import Centre, centre
from tests.lab.events import batch, beat, hearing
from tests.lab.room import room


async def test_an_event_that_comes_again_is_taken_once(shared: Centre, first_room: RoomFiles) -> None:
    epoch = str(uuid.uuid4())
    async with shared.client(first_room) as client:
        for _ in range(3):
            assert await client.put_events(batch("room-1", epoch, 1, 2, 5)) == contract.EventsTaken(epoch=epoch, to=5)
        await client.put_events(batch("room-1", epoch, 2, 5, 6))
    assert await shared.epoch(epoch) == [1, 2, 5, 6]


async def test_a_change_reaches_a_room_that_waits_for_it_and_no_other(shared: Centre) -> None:
    files = {name: await asyncio.to_thread(shared.enrol, name) for name in ("push-1", "push-2")}
    await asyncio.to_thread(shared.plan, hearing("push-0", "push-1"))
    async with shared.client(files["push-1"]) as one, shared.client(files["push-2"]) as two:
        before = await one.feed(0, 0, 0)
        waiting = asyncio.create_task(one.feed(before.as_of, 0, 30))
        other = asyncio.create_task(two.feed(before.as_of, 0, 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(shared.plan, hearing("push-a", "push-1"))
        feed = await waiting
        assert [change.hearing.id for change in feed.changes] == ["push-a"]
        assert (await other).changes == []


async def test_a_move_is_one_change_that_both_rooms_see(shared: Centre) -> None:
    files = {name: await asyncio.to_thread(shared.enrol, name) for name in ("move-1", "move-2")}
    await asyncio.to_thread(shared.plan, hearing("move-a", "move-1"))
    async with shared.client(files["move-1"]) as one, shared.client(files["move-2"]) as two:
        at = (await one.feed(0, 0, 0)).as_of
        await asyncio.to_thread(shared.plan, hearing("move-a", "move-2"))
        changes = [(await client.feed(at, 0, 5)).changes for client in (one, two)]
    assert changes[0] == changes[1]
    assert [(change.hearing.id, change.hearing.room) for change in changes[0]] == [("move-a", "move-2")]


async def test_a_command_is_given_until_the_room_says_that_it_was_done(shared: Centre) -> None:
    files = await asyncio.to_thread(shared.enrol, "command-1")
    async with shared.client(files) as client:
        at = (await client.feed(0, 0, 0)).as_of
        waiting = asyncio.create_task(client.feed(at, 0, 30))
        given = await asyncio.to_thread(shared.ask, admin.Give(room="command-1", command=contract.RunDiagnostics(number=0)))
        number = int(str(given["number"]))
        first = (await waiting).commands
        assert first == [contract.RunDiagnostics(number=number)] == (await client.feed(at, 0, 0)).commands
        assert (await client.feed(at, number, 0)).commands == []


async def test_a_head_is_countersigned_once_and_a_chain_that_goes_back_is_told(shared: Centre) -> None:
    files = await asyncio.to_thread(shared.enrol, "head-1")
    record = str(uuid.uuid4())
    head = contract.Head(record=record, at=7, sha256="a" * 64)
    async with shared.client(files) as client:
        receipt = (await client.beat(beat(head))).receipt
        assert receipt is not None
        assert (receipt.record, receipt.at, receipt.head, receipt.room) == (record, 7, "a" * 64, "head-1")
        assert (await client.beat(beat(head))).receipt == receipt
        assert (await client.beat(beat(msgspec.structs.replace(head, sha256="b" * 64)))).receipt is None
        assert (await client.beat(beat(msgspec.structs.replace(head, at=3)))).receipt is None
        later = (await client.beat(beat(msgspec.structs.replace(head, at=9)))).receipt
        assert later is not None
        assert later.counter > receipt.counter
    assert "contradicts what it said of a record" in shared.log


@pytest.mark.lab
def test_the_ledger_anchors_a_real_record_against_whoever_holds_its_key(tmp_path: Path) -> None:
    custodian = tmp_path / "custodian"
    custodian.mkdir()
    (tmp_path / "site").mkdir()
    with centre(tmp_path / "site", custodian=str(custodian)) as it, room(tmp_path / "room") as recorder:
        files = it.enrol("lab")
        recorder.wait_live()
        root = recorder.begin()
        status = recorder.wait(lambda state: state.signed_at > 20, "a signed head")
        record = root.name.rpartition("_")[2]

        async def told() -> Receipt | None:
            async with it.client(files) as client:
                return (await client.beat(beat(contract.Head(record=record, at=status.head_at, sha256=status.head)))).receipt

        assert asyncio.run(told()) is not None
        recorder.stop()
        ledger = msgspec.convert(it.ask(admin.Export())["receipts"], list[Receipt])
        roots = load_certificates(tmp_path / "room" / "keys" / "root.pem") + load_certificates(it.home.roots)
        verdict = verify(root, Outside(authorities=Authorities(roots), ledger=ledger))
        assert (verdict.level, verdict.anchored_to) == ("anchored", status.head_at)
        end_s = time.monotonic() + 20
        while not (custodian / "ledger.jsonl").exists() or len((custodian / "ledger.jsonl").read_bytes().splitlines()) < len(ledger):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        copied = [msgspec.json.decode(line, type=Receipt) for line in (custodian / "ledger.jsonl").read_bytes().splitlines()]
        assert copied == ledger


def test_killed_under_load_the_centre_loses_nothing_that_it_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with centre(tmp_path / "site") as it:
        files = it.enrol("room-1")
        epoch = str(uuid.uuid4())
        acknowledged = 0

        async def send(until: asyncio.Event) -> None:
            """As an outbox does: what was not acknowledged is sent again, then more."""
            nonlocal acknowledged
            async with it.client(files) as client:
                while True:
                    try:
                        taken = await client.put_events(batch("room-1", epoch, *range(acknowledged + 1, acknowledged + 21)))
                    except UpstreamError:
                        await asyncio.sleep(0.01)
                        continue
                    acknowledged = taken.to
                    if until.is_set() and acknowledged >= 300:
                        return

        async def kill(until: asyncio.Event) -> None:
            for _ in range(5):
                await asyncio.sleep(random.uniform(0.05, 0.4))
                await asyncio.to_thread(it.kill)
                await asyncio.to_thread(it.start)
            until.set()

        async def both() -> list[int]:
            until = asyncio.Event()
            await asyncio.gather(send(until), kill(until))
            return await it.epoch(epoch)

        assert asyncio.run(both()) == list(range(1, acknowledged + 1))


@pytest.mark.parametrize(
    ("source", "type_"), [("urn:courtroom:room:another", ""), ("/rooms/another", ""), ("", "kz.courtroom.record.delivered")]
)
async def test_an_event_that_says_to_be_of_another_source_or_type_is_refused(
    shared: Centre, first_room: RoomFiles, source: str, type_: str
) -> None:
    async with shared.client(first_room) as client:
        told = batch("room-1", str(uuid.uuid4()), 1)
        event = told.events[0]
        odd = msgspec.structs.replace(event, source=source or event.source, type=type_ or event.type)
        with pytest.raises(RefusedError, match="says to be another"):
            await client.put_events(msgspec.structs.replace(told, events=[odd]))


async def test_an_event_of_another_room_is_refused(shared: Centre, first_room: RoomFiles) -> None:
    async with shared.client(first_room) as client:
        with pytest.raises(RefusedError, match="another room"):
            await client.put_events(batch("room-2", str(uuid.uuid4()), 1))
