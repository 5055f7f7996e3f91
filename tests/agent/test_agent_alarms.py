"""What the agent itself has trouble with, and goes on without."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from agent.clock_quality import ClockWatch
from agent.desk import DeliveryReport, DeskError, Sending
from agent.main import DELIVERY_SILENT_S, Agent
from agent.room_process import RECORDS_S, RoomProcess
from agent.store import Store
from agent.upstream.contract import RecordDeleted, RecordDelivered
from provisioning.room import Metrics
from tests.agent.statuses import status
from tests.agent.test_conduct import CONFIG


async def test_a_taken_port_is_an_alarm_of_an_agent_that_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = CONFIG.model_copy(update={"metrics": Metrics(port=taken.getsockname()[1])})
        process = RoomProcess(config, tmp_path, ClockWatch())
        await process.open(tmp_path / "agent.sqlite")
        try:
            agent = Agent(process, tmp_path, tmp_path)
            async with agent.doors(tmp_path):
                (alarm,) = agent._staff.state().alarms
                assert "[metrics] port" in alarm
        finally:
            await process.store.close()


async def test_what_the_delivery_sends_is_shown_while_it_says_so_and_measured(tmp_path: Path) -> None:
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.sqlite")
    try:
        agent = Agent(process, tmp_path, tmp_path)
        sending = Sending(record="2026-11-01_lab_7", done_bytes=1, total_bytes=4)
        await agent._take_delivery(DeliveryReport(indicators={"upload_sent_percent": 25.0}, alarms=["a record is broken"], sending=sending))
        await agent._take_delivery(DeliveryReport(events=[RecordDeleted(record="r", sums_sha256="0" * 64, freed_bytes=1)]))
        state = agent._staff.state()
        assert (state.sending, state.alarms) == (sending, ["a record is broken"]), "an event says nothing of how the delivery stands"
        assert agent._measures.values()["upload_sent_percent"] == 25.0
        agent._delivery_heard_s -= DELIVERY_SILENT_S
        assert agent._staff.state().sending is None
    finally:
        await process.store.close()


async def test_what_the_delivery_tells_is_answered_only_when_the_agents_file_has_it_and_is_told_once(tmp_path: Path) -> None:
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.sqlite")
    report = DeliveryReport(events=[RecordDeleted(record="r", sums_sha256="0" * 64, freed_bytes=1)])

    def writes(store: Store, on: str) -> None:
        store._db.execute(f"PRAGMA query_only = {on}")

    try:
        agent = Agent(process, tmp_path, tmp_path)
        await process.store.do(lambda store: writes(store, "on"))
        for _ in range(3):
            with pytest.raises(DeskError, match="not kept yet"):
                await agent._take_delivery(report)
            await agent._take_delivery(DeliveryReport(indicators={"upload_sent_percent": 1.0}))  # each second, beside it
        await process.store.do(lambda store: writes(store, "off"))
        await agent._take_delivery(report)
        batch = await process.store.do(lambda store: store.outbox.batch())
        assert batch is not None
        assert [event.data for event in batch.events if isinstance(event.data, RecordDeleted)] == report.events
    finally:
        await process.store.close()


async def test_what_the_delivery_tells_again_because_no_answer_came_in_time_is_told_once(tmp_path: Path) -> None:
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.sqlite")
    report = DeliveryReport(events=[RecordDeleted(record="r", sums_sha256="0" * 64, freed_bytes=1)])
    goes_on = threading.Event()
    try:
        agent = Agent(process, tmp_path, tmp_path)
        stalled = asyncio.create_task(process.store.do(lambda _: goes_on.wait()))
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(agent._take_delivery(report))
                await asyncio.sleep(0)
            goes_on.set()
        await stalled
        await agent._take_delivery(report)
        batch = await process.store.do(lambda store: store.outbox.batch())
        assert batch is not None
        assert [event.data for event in batch.events if isinstance(event.data, RecordDeleted)] == report.events
    finally:
        goes_on.set()
        await process.store.close()


async def test_a_delivery_of_a_session_that_may_have_been_missed_is_taken_when_that_is_known(tmp_path: Path) -> None:
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.sqlite")
    report = DeliveryReport(events=[RecordDelivered(record="r", sums_sha256="0" * 64, by="centre")])
    try:
        agent = Agent(process, tmp_path, tmp_path)
        with pytest.raises(DeskError, match="found out first"):
            await agent._take_delivery(report)
        process.records_are_known(are_all=False)
        await agent._take_delivery(report)
        late = Agent(RoomProcess(CONFIG, tmp_path, ClockWatch()), tmp_path, tmp_path)
        late._process._store, late._process._began_s = process.store, late._process._began_s - RECORDS_S
        await late._take_delivery(report)
        batch = await process.store.do(lambda store: store.outbox.batch())
        assert batch is not None
        assert [event.data for event in batch.events] == report.events * 2
    finally:
        await process.store.close()


async def test_a_recorder_that_cannot_be_reached_may_record_so_the_delivery_is_slow_and_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.sqlite")
    try:
        agent = Agent(process, tmp_path, tmp_path)
        told = []
        for seen in (None, status(state="open"), status(state="idle", record="")):
            monkeypatch.setattr(process, "status", lambda seen=seen: seen)
            told.append((await agent._take_delivery(DeliveryReport())).hearing)
        assert told == [True, True, False]
    finally:
        await process.store.close()
