"""One child of the recorder: started, spoken to, watched, killed, started again.

A child is a process of its own with one end of a socket as its descriptor 3 (``contract/child.py``). What it says is handed to its owner
in order, also what it had sent before it died. It is started again for as long as it takes, quickly at first; a child that hangs is killed.
"""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog

from recorder.contract import child
from recorder.contract.framing import FrameError, FrameReader, pack
from recorder.record.canonical import NotCanonicalError

log = structlog.get_logger()

RETRY_FIRST_S = 0.3
RETRY_MOST_S = 5.0
STEADY_S = 5.0
"""A device that was open for so long is opened again at once when it is lost."""
LINK_BACKLOG_BYTES = 4 * 1024 * 1024
"""A child that lets this much wait on its link does not read it any more; what may be lost (``droppable``) is not sent then."""
_READ_BYTES = 256 * 1024


@dataclass(slots=True)
class ChildPlan:
    """How a child is started: its name in the log, its module, its configuration."""

    name: str
    module: str
    device: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


class LimitError(ValueError):
    """A child said what it may not; the message says what."""


class ChildOwner(Protocol):
    """What the owner of children is told; ``core.py`` implements it."""

    def on_message(self, process: "ChildProcess", message: child.Message, body: bytes) -> None:
        """Take a message of the child.

        Raises:
            LimitError: it may not say that; it is killed and started again.
        """
        ...

    def on_started(self, process: "ChildProcess") -> None:
        """Note that the child was started: its device opens now, or was refused to."""
        ...

    def on_ended(self, process: "ChildProcess", cause: str, detail: str) -> None:
        """Note that the child is gone and all that it sent has been handed over."""
        ...


class ChildProcess:
    """Keeps one child running until ``close``."""

    def __init__(self, plan: ChildPlan, run_dir: str, owner: ChildOwner) -> None:
        self.plan = plan
        self.pid: int | None = None
        self.opened: child.Opened | None = None
        self.last_word_s = 0.0
        """Event loop time of the child's last sign of progress (``Stats``, ``Judged`` or ``Opened``)."""
        self._run_dir = run_dir
        self._owner = owner
        self._writer: asyncio.StreamWriter | None = None
        self._lost: tuple[str, str] | None = None
        self._opened_s: float | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the child and keep it running (call from the event loop's thread, which is the children's parent)."""
        self._task = asyncio.get_running_loop().create_task(self._keep_running(), name=f"child {self.plan.name}")

    def send(self, message: child.Message, body: bytes = b"", *, droppable: bool = False) -> bool:
        """Send a message; False where the child is not there, or does not read and the message may be lost."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return False
        if droppable and writer.transport.get_write_buffer_size() > LINK_BACKLOG_BYTES:
            return False
        writer.write(pack(child.encoder.encode(message), body))
        return True

    def kill(self, cause: str, detail: str) -> None:
        """Kill a child that hangs or does not obey; the cause stands in the journal. It is started again."""
        if self.pid is not None:
            self._lost = (cause, detail)
            os.kill(self.pid, signal.SIGKILL)

    async def close(self, grace_s: float = 1.0) -> None:
        """End the child for good: its link is closed, then it is killed."""
        self._closing.set()
        if self._writer is not None:
            self._writer.close()
        if self._task is None:
            return
        _, pending = await asyncio.wait({self._task}, timeout=grace_s)
        if pending:
            self.kill("closed", "did not end by itself")
            await asyncio.wait({self._task}, timeout=grace_s)
            self._task.cancel()

    async def _keep_running(self) -> None:
        delay_s = RETRY_FIRST_S
        while not self._closing.is_set():
            try:
                cause, detail = "died", _exit_words(await self._run_once())
            except OSError as error:  # the system has no process, memory or descriptor for it now; it may have one later
                cause, detail = "not_started", f"{error.strerror or error}; it is tried again"
            if self._steady():
                delay_s = RETRY_FIRST_S
            cause, detail = self._lost or (cause, detail)
            self._owner.on_ended(self, cause, detail)
            if self._closing.is_set():
                return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_MOST_S)

    def _steady(self) -> bool:
        """Whether the child that has ended gave anything for a while: one that dies as soon as it is open is not started ever so often."""
        return self._opened_s is not None and self.last_word_s - self._opened_s > STEADY_S

    async def _run_once(self) -> int:
        """Start the child, hand over all that it says until its link closes, and return its wait status."""
        self.opened, self._lost, self._opened_s = None, None, None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.pid = os.posix_spawn(  # noqa: ASYNC221 - takes about a millisecond, and must be this thread: it is the parent (PDEATHSIG)
                sys.executable,
                [sys.executable, "-m", self.plan.module],
                _environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), child.LINK_FD)],
                setsigmask=[],
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            return await self._attend(self.pid, ours)
        except OSError:
            os.kill(self.pid, signal.SIGKILL)
            if self._writer is None:
                ours.close()
            os.waitpid(self.pid, 0)  # noqa: ASYNC222 - it was killed as soon as it was started
            raise
        finally:
            if self._writer is not None:
                self._writer.close()
            self._writer, self.pid, self.opened = None, None, None

    async def _attend(self, pid: int, link: socket.socket) -> int:
        """Speak with a child that was started until it ends; returns its wait status.

        Raises:
            OSError: there is no descriptor for it; it runs.
        """
        exited = asyncio.Event()
        pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(pidfd, exited.set)
        try:
            reader, self._writer = await asyncio.open_connection(sock=link)
            self.last_word_s = asyncio.get_running_loop().time()
            self.send(child.Configure(device=self.plan.device, run_dir=self._run_dir, options=self.plan.options))
            self._owner.on_started(self)
            await self._read_all(reader)
            self._writer.close()
            self._writer = None
            try:
                async with asyncio.timeout(1.0):
                    await exited.wait()
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                await exited.wait()
        finally:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended: its pidfd said so
        return status

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        while True:
            try:
                data = await reader.read(_READ_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            try:
                for head, body in frames.feed(data):
                    self._take(child.from_child.decode(head), body)
            except (FrameError, msgspec.DecodeError, NotCanonicalError, LimitError) as error:
                self.kill("error", f"sent what the contract does not know: {error}")
                return
            except Exception as error:
                log.exception("could not take what a child sent", child=self.plan.name)
                self.kill("error", f"the recorder could not take what it sent: {error!r}")
                return

    def _take(self, message: child.Message, body: bytes) -> None:
        if isinstance(message, child.Opened | child.Stats | child.Judged):
            self.last_word_s = asyncio.get_running_loop().time()
        if isinstance(message, child.SourceLost):
            self._lost = (message.cause, message.detail)
        self._owner.on_message(self, message, body)
        if isinstance(message, child.Opened):
            self._opened_s = self.last_word_s
            self.opened = message  # only now: a session that begins takes its tracks, and its owner may have refused them


def _environment() -> dict[str, str]:
    """The child's environment: ours without what only the core may know."""
    return {key: value for key, value in os.environ.items() if key not in {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"}}


def _exit_words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
