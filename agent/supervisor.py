"""All processes of a room under one parent, for a demonstration, a laptop or a test; an installed room has a systemd unit for each.

A process that ends is started again, the others are not touched: neither the recorder nor the agent dies with the other one. All die with
the parent, however it ends (PR_SET_PDEATHSIG, prctl(2)).
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from agent.restarts import Restarts

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
STOP_S = 15.0
"""For so long a process that was asked to end may take."""
LINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep running: its name in the output, its command, and what its environment has besides this process's."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """Keeps programs running until it is told to end.

    Args:
        programs: in the order in which they are started; they are ended in the reverse order.
        told: called with a program's name and each line of its output, or with what happened to it; a line that it cannot write
            (``OSError``: a full disk, a pipe that nobody reads) is lost, and stops nothing.
    """

    def __init__(self, programs: Sequence[Program], told: Callable[[str, str], None]) -> None:
        self._programs = programs
        self._told = told
        self._ending = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def end(self) -> None:
        """Ask all processes to end, and start none again."""
        self._ending.set()

    def pid(self, name: str) -> int | None:
        """The process of a program, while it runs."""
        process = self._running.get(name)
        return None if process is None else process.pid

    async def run(self) -> None:
        """Start all, and keep them running until ``end``.

        Raises:
            OSError: a command cannot be run at all. One that ran before is tried again for as long as it takes.
        """
        keepers = [asyncio.create_task(self._keep(program), name=program.name) for program in self._programs]
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait([*keepers, ending], return_when=asyncio.FIRST_COMPLETED)
        self._ending.set()
        for program in reversed(self._programs):
            await self._stop(program.name)
        results = await asyncio.gather(*keepers, return_exceptions=True)
        await ending
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _keep(self, program: Program) -> None:
        restarts, ran = Restarts(), False
        while not self._ending.is_set():
            began_s = time.monotonic()
            try:
                process = await self._start(program)
            except OSError as error:  # the system has no process, memory or descriptor for it now
                if not ran:
                    raise
                ended, killed = f"cannot be started: {error.strerror or error}", True
            else:
                status = await self._attend(program.name, process)
                ran, ended, killed = True, f"ended ({_words(status)})", status < 0
            if self._ending.is_set():
                return
            wait_s = restarts.wait_s(time.monotonic() - began_s, killed=killed)
            self._say(program.name, f"{ended}; started again in {wait_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ending.wait()

    async def _start(self, program: Program) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *program.command,
            env=os.environ | program.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            start_new_session=True,  # a Ctrl-C at the terminal reaches the parent alone, which ends them in order
            preexec_fn=partial(_die_with, os.getpid()),
        )

    async def _attend(self, name: str, process: asyncio.subprocess.Process) -> int:
        self._running[name] = process
        self._say(name, f"runs as process {process.pid}")
        assert process.stdout is not None
        # The end was asked for while it was being started, and found nothing to end. What it still says is read meanwhile: a process
        # whose pipe is full does not end.
        stopping = asyncio.create_task(self._stop(name)) if self._ending.is_set() else None
        await self._pass_on(name, process.stdout)
        status = await process.wait()
        if stopping is not None:
            await stopping
        self._running.pop(name, None)
        return status

    async def _pass_on(self, name: str, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readuntil()
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self._say(name, error.partial.decode(errors="replace"))
                return
            except asyncio.LimitOverrunError as error:
                line = await lines.readexactly(error.consumed)
            self._say(name, line.decode(errors="replace").rstrip("\n"))

    def _say(self, name: str, line: str) -> None:
        with contextlib.suppress(OSError):  # the recording is worth more than the words about it
            self._told(name, line)

    async def _stop(self, name: str) -> None:
        process = self._running.get(name)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self._say(name, f"did not end within {STOP_S:g} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before; that it is process 1 says nothing: in a container it may be
        os._exit(1)


def _words(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
