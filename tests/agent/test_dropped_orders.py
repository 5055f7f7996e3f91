"""What becomes of an order whose giver hangs up before it is carried out."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent import desk
from agent.desk import SOCKET, DeliveryAnswer, DeliveryReport
from agent.local_server import LocalServer
from agent.upstream import contract
from tests.agent.test_conduct import agent
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
