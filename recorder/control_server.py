"""The control socket: takes the agent's requests, streams the status. What a request does is the core's matter."""

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from recorder.contract import control

log = structlog.get_logger()

STATUS_PERIOD_S = 0.2
MAX_REQUEST_BYTES = 64 * 1024
STATUS_BACKLOG_BYTES = 256 * 1024
"""A subscriber that lets this much wait misses states until it reads again."""

Handler = Callable[[control.AnyRequest], Awaitable[control.Reply]]


class ControlServer:
    """Serves ``<run>/control.sock`` to processes of the same user, of root, and of the users in ``allowed_uids``."""

    def __init__(self, run_dir: Path, handle: Handler, status: Callable[[], control.Status], allowed_uids: frozenset[int]) -> None:
        self._path = run_dir / "control.sock"
        self._handle = handle
        self._status = status
        self._allowed_uids = allowed_uids | {0, os.geteuid()}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the socket; nobody is let in before ``start``.

        Raises:
            OSError: it cannot be made.
        """
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        path = str(self._path)
        self._server = await asyncio.start_unix_server(self._accept, path=path, limit=MAX_REQUEST_BYTES, start_serving=False)
        self._path.chmod(0o660)

    async def start(self) -> None:
        """Let people and the agent in."""
        if self._server is None:
            await self.open()
        assert self._server is not None
        await self._server.start_serving()

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            if _peer_uid(writer) not in self._allowed_uids:
                await _answer(writer, control.Reply(ok=False, error="this user may not control the recorder; run it as root"))
                return
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return  # only close() cancels; a task that ends as cancelled is an error to asyncio's streams, which log its traceback
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                await _answer(writer, control.Reply(ok=False, error=f"the request is longer than {MAX_REQUEST_BYTES} bytes"))
                return
            if not line:
                return
            try:
                request = control.requests.decode(line)
            except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
                await _answer(writer, control.Reply(ok=False, error=f"{control.NOT_A_REQUEST}: {control.why_no_request(error)}"))
                continue
            if isinstance(request, control.GetStatus):
                await _answer(writer, self._status())
            elif isinstance(request, control.Subscribe):
                await self._stream(writer)
            elif isinstance(request, control.ResumeRequest) and _hung_up(writer):
                # He had no answer, and may believe that the room is still private. A pause is obeyed whoever is gone.
                log.warning("a resume is dropped: who gave it hung up before it was read", actor=request.actor)
            else:
                await _answer(writer, await self._answered(request))

    async def _answered(self, request: control.AnyRequest) -> control.Reply:
        try:
            return await self._handle(request)
        except Exception as error:
            log.exception("a request failed", request=type(request).__name__)
            return control.Reply(ok=False, error=f"the recorder could not do it: {error!r}; see its log")

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            if writer.transport.get_write_buffer_size() < STATUS_BACKLOG_BYTES:
                writer.write(control.json_encoder.encode(self._status()) + b"\n")
            await asyncio.sleep(STATUS_PERIOD_S)


async def _answer(writer: asyncio.StreamWriter, answer: control.Reply | control.Status) -> None:
    writer.write(control.json_encoder.encode(answer) + b"\n")
    await writer.drain()


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """The connecting process's user (SO_PEERCRED, unix(7))."""
    peer: socket.socket = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def _hung_up(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end is closed; one that only ended its sending (shutdown(2)) waits for its answer."""
    if writer.is_closing():
        return True
    peer: socket.socket = writer.get_extra_info("socket")
    poll = select.poll()
    poll.register(peer.fileno(), 0)  # POLLHUP is told unasked (poll(2))
    return any(events & select.POLLHUP for _, events in poll.poll(0))
