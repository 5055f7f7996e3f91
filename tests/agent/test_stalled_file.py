"""What the clerk orders while the disk of the agent's own file stalls."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent import desk
from agent.upstream import contract
from tests.agent.test_conduct import RECORD, AgentInProcess, agent
from tests.lab.waiting import until


@asynccontextmanager
async def stalled_file(it: AgentInProcess) -> AsyncIterator[None]:
    """The disk of the agent's file takes nothing meanwhile."""
    begun, over = threading.Event(), threading.Event()

    def stall(_: object) -> None:
        begun.set()
        over.wait()

    stalled = asyncio.create_task(it.process.store.do(stall))
    try:
        await until(begun.is_set, "the disk to stall")
        yield
    finally:
        over.set()
        await stalled


async def test_a_pause_and_a_resume_reach_the_recorder_while_the_disk_of_the_agents_file_stalls_and_bear_a_name(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        async with stalled_file(it), asyncio.timeout(10):
            await it.staff.pause(desk.PauseOrder(actor="Judge B.", state="privileged"))
            assert it.recorder.count()["PauseRequest"] == 1
        await it.until_intervals_end_with("privileged", "Judge B.")
        async with stalled_file(it), asyncio.timeout(10):
            await it.staff.resume(desk.ResumeOrder(actor="Judge C."))
            assert it.recorder.count()["ResumeRequest"] == 1
        await it.until_intervals_end_with("open", "Judge C.")


async def test_a_start_and_a_stop_wait_no_longer_for_the_disk_of_the_agents_file_than_a_moment_and_bear_a_name(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        async with stalled_file(it), asyncio.timeout(10):
            said = await it.staff.start(desk.StartOrder(actor="Clerk A.", case="2-77/26"))
            assert said.session == RECORD
        await it.until_told(contract.SessionStarted)
        (session,) = (await it.facts()).sessions.values()
        assert (session.by, session.case) == ("Clerk A.", "2-77/26")
        async with stalled_file(it), asyncio.timeout(10):
            second = asyncio.create_task(it.staff.start(desk.StartOrder(actor="Clerk B.")))
            await it.staff.stop(desk.StopOrder(actor="Clerk A."))
        with pytest.raises(desk.DeskError, match="is being recorded; end it first"):
            await second
        assert (it.recorder.count()["Start"], it.recorder.count()["StopRequest"]) == (1, 1)
        assert (await it.facts()).sessions[RECORD].stop_by == "Clerk A."
