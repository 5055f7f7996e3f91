"""What becomes of an order whose giver hangs up before it is carried out."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent import desk, told
from agent.desk import SOCKET, DeliveryAnswer, DeliveryReport
from agent.local_server import LocalServer
from agent.outbox import Stamp
from agent.store import Store
from agent.turn import Outcome
from agent.upstream import contract
from tests.agent.model_room import planned
from tests.agent.plans import TEN
from tests.agent.test_conduct import AgentInProcess, agent
from tests.agent.test_local_server import NotedDesk, local, probes
from tests.agent.test_stalled_file import stalled_file
from tests.lab.waiting import until


async def test_an_order_whose_giver_hung_up_while_the_agents_file_stalled_is_dropped_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(tmp_path) as it:
        came, bind = asyncio.Event(), it.staff.bind

        async def noticed(order: desk.BindOrder) -> desk.Said:
            came.set()
            return await bind(order)

        monkeypatch.setattr(it.staff, "bind", noticed)
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        async with LocalServer(probes(), it.staff, tmp_path), local(tmp_path / SOCKET) as session:
            with capture_logs() as logs:
                async with stalled_file(it):
                    ordered = asyncio.create_task(session.post("/bind", json={"actor": "Clerk A.", "hearing": "h1"}))
                    await came.wait()
                    ordered.cancel()
                    await until(lambda: any(entry.get("path") == "/bind" for entry in logs), "the order to be dropped")
            assert [known.wanted for known in (await it.facts()).sessions.values()] == [None]
            assert it.recorder.hearing != "h1"


async def broken_off_while_the_file_is_written(it: AgentInProcess, ordered: Coroutine[None, None, desk.Said]) -> None:
    """Whoever gave the order hangs up while the file is just taking it."""
    begun, may_end = threading.Event(), threading.Event()

    def hold(store: Store) -> None:
        keep = store.keep

        def slowly(outcome: Outcome, stamp: Stamp) -> None:
            store.keep = keep  # type: ignore[method-assign]
            begun.set()
            may_end.wait()
            keep(outcome, stamp)

        store.keep = slowly  # type: ignore[method-assign]

    await it.process.store.do(hold)
    task = asyncio.create_task(ordered)
    try:
        await until(begun.is_set, "the file to be written")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        may_end.set()
    assert task.cancelled()
    while it.staff._keeping:  # until the file has what was ordered
        await asyncio.wait(set(it.staff._keeping))


async def test_a_stop_that_is_broken_off_while_the_file_is_written_names_nobody_for_what_ends_later(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        await broken_off_while_the_file_is_written(it, it.staff.stop(desk.StopOrder(actor="Clerk B.")))
        (session,) = (await it.facts()).sessions.values()
        assert (session.stop_by, session.stop_reason, it.recorder.count()["StopRequest"]) == ("", "", 0)


async def test_a_start_that_is_broken_off_while_the_file_is_written_is_not_waited_for(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await broken_off_while_the_file_is_written(it, it.staff.start(desk.StartOrder(actor="Clerk B.", hearing="h1")))
        assert ((await it.facts()).asked, it.recorder.count()["Start"]) == (None, 0)


def test_only_the_order_that_was_broken_off_is_taken_back() -> None:
    room = planned()
    room.until(TEN)
    for by, at_us in (("Clerk A.", TEN), ("Clerk B.", TEN + 1)):
        kept = told.start(room.facts, room.schedule, hearing="h1", by="Clerk A.", now_utc_us=TEN).facts
        facts = told.broken_off(kept, room.schedule, by=by, now_utc_us=at_us).facts
        is_taken_back = (by, at_us) == ("Clerk A.", TEN)
        assert (facts.asked is None, facts.hearings["h1"].start_asked_utc_us is None) == (is_taken_back, is_taken_back)


async def test_what_the_delivery_told_is_taken_whole_although_it_hung_up(tmp_path: Path) -> None:
    came, may_end, taken = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def take(_: DeliveryReport) -> DeliveryAnswer:
        came.set()
        await may_end.wait()
        taken.set()
        return DeliveryAnswer(hearing=False)

    async with LocalServer(probes(), NotedDesk(), tmp_path, take_delivery=take), local(tmp_path / SOCKET) as session:
        told = asyncio.create_task(session.post("/delivery", json={}))
        await came.wait()
        told.cancel()
        for _ in range(2):  # behind the end of that connection
            async with session.get("/state") as answer:
                await answer.read()
        may_end.set()
        async with asyncio.timeout(10):
            await taken.wait()
