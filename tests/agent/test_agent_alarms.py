"""What the agent itself has trouble with, and goes on without."""

import socket
from pathlib import Path

from agent.clock_quality import ClockWatch
from agent.main import Agent
from agent.room_process import RoomProcess
from provisioning.room import Metrics
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
