"""The processes of a room under one parent: each is kept running, none takes another one with it, and none outlives the parent."""

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.restarts import FIRST_S, LONGEST_KILLED_S, LONGEST_S, STEADY_S, Restarts
from agent.run_cli import lines_to
from agent.supervisor import Program, Supervisor
from tests.lab.waiting import until

SLEEPER = [sys.executable, "-c", "import time\nprint('ready', flush=True)\ntime.sleep(600)"]


@asynccontextmanager
async def supervised(*programs: Program) -> AsyncIterator[tuple[Supervisor, list[tuple[str, str]]]]:
    said: list[tuple[str, str]] = []
    supervisor = Supervisor(programs, lambda name, line: said.append((name, line)))
    running = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: all((program.name, "ready") in said for program in programs), "all to be ready")
        yield supervisor, said
    finally:
        supervisor.end()
        await asyncio.wait_for(running, 20)


async def test_a_process_that_is_killed_is_started_again_and_the_other_one_goes_on() -> None:
    async with supervised(Program("recorder", SLEEPER), Program("agent", SLEEPER)) as (supervisor, said):
        recorder, agent = supervisor.pid("recorder"), supervisor.pid("agent")
        assert recorder is not None
        assert agent is not None
        os.kill(agent, signal.SIGKILL)
        await until(lambda: said.count(("agent", "ready")) == 2, "the agent's second start")
        assert supervisor.pid("recorder") == recorder
        assert any("killed by SIGKILL" in line for name, line in said if name == "agent")


async def test_a_process_that_cannot_be_started_again_now_is_tried_again_and_the_other_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    start, failed = asyncio.create_subprocess_exec, 0

    async def short_of_processes(*command: Any, **more: Any) -> asyncio.subprocess.Process:
        nonlocal failed
        failed += 1
        if failed < 3:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return await start(*command, **more)

    async with supervised(Program("recorder", SLEEPER), Program("agent", SLEEPER)) as (supervisor, said):
        recorder, agent = supervisor.pid("recorder"), supervisor.pid("agent")
        assert agent is not None
        monkeypatch.setattr(asyncio, "create_subprocess_exec", short_of_processes)
        os.kill(agent, signal.SIGKILL)
        await until(lambda: said.count(("agent", "ready")) == 2, "the agent's second start")
        assert supervisor.pid("recorder") == recorder
        assert sum("cannot be started" in line for name, line in said if name == "agent") == 2


@pytest.mark.parametrize("script", ["import time; time.sleep(600)", "while True: print('x' * 10_000)"])
async def test_the_end_that_comes_while_a_process_is_being_started_ends_it_too(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    start, late, started = asyncio.create_subprocess_exec, asyncio.Event(), list[asyncio.subprocess.Process]()

    async def slowly(*command: Any, **more: Any) -> asyncio.subprocess.Process:
        if command[-1] == script:
            await late.wait()
        started.append(await start(*command, **more))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    programs = [Program("recorder", SLEEPER), Program("agent", [sys.executable, "-c", script])]
    supervisor = Supervisor(programs, lambda *_: None)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor.pid("recorder") is not None, "the recorder to run")
    supervisor.end()
    await until(lambda: supervisor.pid("recorder") is None, "the recorder's end, which comes behind the agent's")
    late.set()
    ended, _ = await asyncio.wait({running}, timeout=10)
    for process in started:
        if process.returncode is None:
            process.kill()
    await running
    assert ended
    assert started[-1].returncode == -signal.SIGTERM


async def test_a_program_that_is_not_there_ends_all_at_once() -> None:
    supervisor = Supervisor([Program("recorder", ["/nonexistent"])], lambda *_: None)
    with pytest.raises(FileNotFoundError):
        await supervisor.run()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EPIPE])
async def test_output_that_cannot_be_written_ends_no_process_and_is_written_again_once_it_can_be(reason: int) -> None:
    said: list[str] = []
    full, tried = True, 0

    def told(_: str, line: str) -> None:
        nonlocal tried
        tried += 1
        if full:
            raise OSError(reason, os.strerror(reason))
        said.append(line)

    supervisor = Supervisor([Program("agent", SLEEPER)], told)
    running = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: running.done() or tried == 2, "both lines of the first start")
        first = supervisor.pid("agent")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: running.done() or supervisor.pid("agent") not in (None, first), "the second start")
        full, second = False, supervisor.pid("agent")
        assert second is not None
        os.kill(second, signal.SIGKILL)
        await until(lambda: running.done() or "ready" in said, "the third start")
    finally:
        supervisor.end()
        await asyncio.wait_for(running, 20)
    assert not any("cannot be started" in line for line in said)


class Output(io.StringIO):
    """A file that cannot be written while it has a reason."""

    reason = 0

    def write(self, text: str) -> int:
        """Write, or not."""
        if self.reason:
            raise OSError(self.reason, os.strerror(self.reason))
        return super().write(text)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EPIPE])
def test_a_line_that_the_output_cannot_take_is_gone_and_the_next_one_is_written(reason: int) -> None:
    output = Output()
    told = lines_to(output)
    output.reason = reason
    with pytest.raises(OSError, match=os.strerror(reason)):
        told("agent", "the lost line")
    output.reason = 0
    told("agent", "the next line")
    assert output.getvalue() == "   agent the next line\n"


async def test_at_the_end_the_agent_goes_first_and_the_recorder_last() -> None:
    script = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye', flush=True)))\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    program = [sys.executable, "-c", script]
    async with supervised(Program("recorder", program), Program("agent", program)) as (_, said):
        pass
    assert [name for name, line in said if line == "bye"] == ["agent", "recorder"]


async def test_a_line_without_an_end_is_passed_on_and_blocks_nobody() -> None:
    script = "import sys, time\nsys.stdout.write('x' * 300_000)\nprint(flush=True)\nprint('ready', flush=True)\ntime.sleep(600)"
    async with supervised(Program("agent", [sys.executable, "-c", script])) as (_, said):
        assert sum(len(line) for _, line in said if line.startswith("x")) == 300_000


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = f"import os, time\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)"
    script = (
        "import asyncio, sys\nfrom agent.supervisor import Program, Supervisor\n"
        f"command = [sys.executable, '-c', {child!r}]\n"
        "asyncio.run(Supervisor([Program('recorder', command), Program('agent', command)], print).run())"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL) as parent:
        asyncio.run(until(lambda: pids.exists() and len(pids.read_text().splitlines()) == 2, "both to run"))
        parent.kill()
    asyncio.run(until(lambda: not any(map(is_running, pids.read_text().split())), "the end of both"))


def test_a_parent_that_is_process_1_of_a_container_keeps_its_processes_running() -> None:
    container = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*container, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine makes no container")
    script = (
        "import asyncio, os\nfrom agent.supervisor import Program, Supervisor\n"
        "def told(name, line):\n    print(os.getpid(), name, line)\n    if 'runs as' not in line: supervisor.end()\n"
        f"supervisor = Supervisor([Program('agent', {SLEEPER!r})], told)\nasyncio.run(supervisor.run())"
    )
    told = subprocess.run([*container, sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert told.splitlines()[1:] == ["1 agent ready"]


def is_running(pid: str) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


@given(runs=st.lists(st.tuples(st.floats(0, 200), st.booleans()), min_size=1))
def test_waits_grow_to_a_bound_and_begin_anew_after_a_steady_run(runs: list[tuple[float, bool]]) -> None:
    restarts, before_s = Restarts(), 0.0
    for ran_s, killed in runs:
        wait_s = restarts.wait_s(ran_s, killed=killed)
        assert FIRST_S <= wait_s <= (LONGEST_KILLED_S if killed else LONGEST_S)
        assert wait_s == FIRST_S if ran_s >= STEADY_S else killed or wait_s >= before_s
        before_s = wait_s


def test_one_that_is_killed_again_and_again_is_back_within_a_second_and_one_that_finds_itself_wrong_is_not() -> None:
    for killed, longest_s in ((True, LONGEST_KILLED_S), (False, LONGEST_S)):
        restarts = Restarts()
        assert max(restarts.wait_s(1.0, killed=killed) for _ in range(20)) == longest_s
