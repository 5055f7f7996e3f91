"""The technician sees which events the centre refused, and has them sent once more."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from typer.testing import CliRunner, Result

from agent.agent_cli import app
from agent.clock_quality import ClockWatch
from agent.local_server import LocalServer
from agent.outbox import Outbox
from agent.quarantine_desk import MOST_SHOWN, QuarantineDesk
from agent.room_process import RoomProcess
from agent.store import Store
from agent.upstream import contract
from tests.agent.plans import DAY, at
from tests.agent.test_conduct import CONFIG
from tests.agent.test_local_server import NotedDesk, probes


@asynccontextmanager
async def agent(tmp_path: Path) -> AsyncIterator[RoomProcess]:
    """A room's file, and the socket by which its quarantine is seen."""
    process = RoomProcess(CONFIG, tmp_path, ClockWatch())
    await process.open(tmp_path / "agent.db")
    try:
        async with LocalServer(probes(), NotedDesk(), tmp_path, quarantine=QuarantineDesk(process)):
            yield process
    finally:
        await process.store.close()


async def courtroom_agent(tmp_path: Path, command: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, [command, "--run", str(tmp_path)])


async def refused(process: RoomProcess, count: int) -> None:
    """So many events that the centre refused; each is followed by one that tells of it."""
    for number in range(1, count + 1):
        data = contract.CommandDone(number=number, ok=True, detail="")
        await process.store.do(partial(Store.tell, data=data, stamp=at(DAY)))

    def refuse(outbox: Outbox) -> None:
        for seq in range(1, count + 1):
            outbox.quarantine(seq, "422 [bold]not[/] understood", at(DAY))

    await process.store.do(lambda file: file.change(refuse, at(DAY)))


async def test_what_is_set_aside_is_listed_with_the_reason_and_sent_again_on_command(tmp_path: Path) -> None:
    async with agent(tmp_path) as process:
        hurried: list[bool] = []
        process.on_events.append(lambda: hurried.append(True))
        await refused(process, 2)
        listed = await courtroom_agent(tmp_path, "quarantined")
        assert (listed.exit_code, listed.output.count("422 [bold]not[/] understood")) == (0, 2)
        assert re.search(r"^1  kz\.courtroom\.command\.done  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", listed.output, re.MULTILINE)
        sent = await courtroom_agent(tmp_path, "send-quarantined")
        assert (sent.exit_code, sent.output) == (0, "2 events wait to be sent again, behind what waited before.\n")
        assert hurried
        batch = await process.store.do(lambda file: file.change(lambda outbox: outbox.batch(), at(DAY)))
        assert batch is not None
        assert [(event.seq, getattr(event.data, "number", None)) for event in batch.events] == [(3, None), (4, None), (5, 1), (6, 2)]
        assert (await courtroom_agent(tmp_path, "quarantined")).output == "No event is set aside.\n"
        assert "nothing is sent again" in (await courtroom_agent(tmp_path, "send-quarantined")).output


async def test_of_very_many_the_oldest_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    async with agent(tmp_path) as process:
        await refused(process, MOST_SHOWN + 1)
        listed = (await courtroom_agent(tmp_path, "quarantined")).output
        assert listed.count("command.done") == MOST_SHOWN
        assert listed.endswith("and 1 more\n")
