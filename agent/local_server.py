"""The agent's own doors, both inside this PC: probes and metrics on 127.0.0.1 where room.toml asks for it, and the staff's unix socket.

On the port everything is read only, and a request must name this host (a page in a browser that made its own name point to 127.0.0.1 does
not: DNS rebinding). The socket admits only users it knows (SO_PEERCRED, unix(7)), and carries orders as well.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog
from aiohttp import web

from agent.desk import (
    SOCKET,
    AnswerOrder,
    BindOrder,
    DeliveryAnswer,
    DeliveryReport,
    Desk,
    DeskError,
    DiagnosticsOrder,
    NoteOrder,
    NotHeldOrder,
    PauseOrder,
    ResumeOrder,
    StartOrder,
    StopOrder,
    WithdrawOrder,
)
from agent.guest_desk import GuestDesk, InviteOrder, WithdrawInvitation
from agent.identity_desk import IdentifyOrder
from agent.metrics import CONTENT_TYPE
from agent.probes import Ready, RecordingNow
from agent.quarantine_desk import QuarantineDesk, SendOrder
from agent.recorder_link import RecorderAwayError, RecorderRefusedError
from agent.visit_desk import LeaveVisit, VisitOrder
from recorder.contract.conference import OfStaff, TakeStill
from recorder.contract.control import why_no_request

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
DELIVERY, CONFERENCE, QUARANTINE = "/delivery", "/conference", "/quarantine"
MAX_BODY_BYTES = 64 * 1024
PORT_AGAIN_S = 10.0
END_S = 2.0
"""How long requests that run may take when the agent ends."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Carrier = Callable[[Any], Awaitable[msgspec.Struct]]
"""Carries an order out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What the probes ask at each request. None of them may block."""

    ready: Callable[[], Ready]
    recording: Callable[[], RecordingNow]
    metrics: Callable[[], bytes]


class DoorError(Exception):
    """A door cannot be opened; the message says which, why and what to do."""


class LocalServer:
    """Both doors; use as an async context manager.

    Args:
        probes: what is asked.
        desk: who carries orders out.
        run_dir: where the socket is made.
        port: of the loopback door; None leaves it closed, 0 takes any (tests). One that is taken is tried again until it is free.
        allowed_uids: users who may use the socket besides root and this process's own.
        delivery_uids: likewise who may tell what the delivery tells; no clerk does.
        take_delivery: takes what the delivery's process tells; None where there is none.
        guests: who carries out what is ordered about participants; None where the room has no videoconference.
        quarantine: who shows the events that the centre refused; None where the room has no centre.

    Raises:
        DoorError: the socket cannot be made.
    """

    def __init__(
        self,
        probes: Probes,
        desk: Desk,
        run_dir: Path,
        *,
        port: int | None = None,
        allowed_uids: Iterable[int] = (),
        delivery_uids: Iterable[int] = (),
        take_delivery: Callable[[DeliveryReport], Awaitable[DeliveryAnswer]] | None = None,
        guests: GuestDesk | None = None,
        quarantine: QuarantineDesk | None = None,
        port_again_s: float = PORT_AGAIN_S,
    ) -> None:
        self._guests = guests
        self._quarantine = quarantine
        self._take_delivery = take_delivery
        self._probes = probes
        self._desk = desk
        self._socket_path = run_dir / SOCKET
        self._port = port
        self._allowed_uids = frozenset(allowed_uids) | {0, os.geteuid()}
        self._delivery_uids = frozenset(delivery_uids) | {0, os.geteuid()}
        self._runners: list[web.AppRunner] = []
        self.port: int | None = None
        """The loopback door's port, once it is open."""
        self.trouble = ""
        """Why the loopback door is not open, for the alarm: nothing but probes and metrics needs it."""
        self._port_again_s = port_again_s
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._open_socket()
        except DoorError:
            await self.__aexit__()
            raise
        if self._port is not None:
            await self._open_port(self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()
        with contextlib.suppress(OSError):
            self._socket_path.unlink()

    async def _open_socket(self) -> None:
        admitted = _only(self._allowed_uids, {DELIVERY: self._delivery_uids})
        application = web.Application(middlewares=[_plain_errors, admitted], client_max_size=MAX_BODY_BYTES)
        self._add_probes(application)
        application.router.add_get("/state", self._state)
        for path, kind, order in self._orders():
            application.router.add_post(path, _taking(kind, _while_asked(path, order)))
        if self._guests is not None:
            application.router.add_get(CONFERENCE, self._conference)
            for path, asked, done in self._guest_orders(self._guests):
                application.router.add_post(f"{CONFERENCE}{path}", _taking(asked, _to_its_end(done)))
        if self._quarantine is not None:
            application.router.add_get(QUARANTINE, _telling(self._quarantine.state))
            application.router.add_post(f"{QUARANTINE}/send", _taking(SendOrder, _to_its_end(self._quarantine.send)))
        if self._take_delivery is not None:
            application.router.add_post(DELIVERY, _taking(DeliveryReport, _to_its_end(self._take_delivery)))
        runner = await self._runner(application)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._socket_path.unlink()
            await web.UnixSite(runner, str(self._socket_path)).start()
            # Who may connect is decided by SO_PEERCRED; the mode only keeps strangers from trying.
            await asyncio.to_thread(self._socket_path.chmod, 0o660)
        except OSError as error:
            raise DoorError(
                f"the agent's socket {self._socket_path} cannot be made: {error.strerror or error}; "
                "give the agent's user room and a right to write there, or name another directory by --own-run"
            ) from error

    async def _open_port(self, port: int) -> None:
        application = web.Application(middlewares=[_plain_errors, self._own_host], client_max_size=1024)
        self._add_probes(application)
        runner = await self._runner(application)
        await self._listen(runner, port)
        if self.trouble:
            self._opening = asyncio.create_task(self._listen_later(runner, port))

    async def _listen_later(self, runner: web.AppRunner, port: int) -> None:
        while self.trouble:
            await asyncio.sleep(self._port_again_s)
            await self._listen(runner, port)
        log.info("the port for probes and metrics is open", port=port)

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        site = web.TCPSite(runner, LOOPBACK, port)
        try:
            await site.start()
        except OSError as error:
            await site.stop()
            if not self.trouble:
                log.error("the port for probes and metrics cannot be opened; it is tried again", port=port, error=str(error))
            words = f"[metrics] port = {port}: {error.strerror or error}; nobody gets probes or metrics there"
            self.trouble = f"{words}; name one in room.toml that nothing else on this PC has"
        else:
            self.port, self.trouble = runner.addresses[0][1], ""

    async def _runner(self, application: web.Application) -> web.AppRunner:
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, keepalive_timeout=10.0, shutdown_timeout=END_S, max_line_size=4096,
            max_headers=32, max_field_size=4096, handler_cancellation=True,
        )  # fmt: skip
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _add_probes(self, application: web.Application) -> None:
        application.router.add_get("/live", self._live, allow_head=False)
        application.router.add_get("/ready", self._ready, allow_head=False)
        application.router.add_get("/recording", self._recording, allow_head=False)
        application.router.add_get("/metrics", self._metrics, allow_head=False)

    def _orders(self) -> list[tuple[str, type[msgspec.Struct], Carrier]]:
        return [
            ("/start", StartOrder, self._desk.start),
            ("/stop", StopOrder, self._desk.stop),
            ("/pause", PauseOrder, self._desk.pause),
            ("/resume", ResumeOrder, self._desk.resume),
            ("/note", NoteOrder, self._desk.note),
            ("/bind", BindOrder, self._desk.bind),
            ("/withdraw", WithdrawOrder, self._desk.withdraw),
            ("/not-held", NotHeldOrder, self._desk.not_held),
            ("/answer", AnswerOrder, self._desk.answer),
            ("/diagnostics", DiagnosticsOrder, self._desk.diagnostics),
        ]

    def _guest_orders(self, guests: GuestDesk) -> list[tuple[str, object, Carrier]]:
        return [
            ("/invite", InviteOrder, guests.invite),
            ("/withdraw", WithdrawInvitation, guests.withdraw),
            ("/act", OfStaff, guests.act),
            ("/identify", IdentifyOrder, guests.identity.begin),
            ("/still", TakeStill, guests.identity.take),
            ("/visit", VisitOrder, guests.visits.begin),
            ("/leave-visit", LeaveVisit, guests.visits.end),
        ]

    @web.middleware
    async def _own_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in {f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"}:
            return _json({"error": f"this is {LOOPBACK}:{self.port}, and answers under that name only"}, 421)
        return await handler(request)

    async def _live(self, _: web.Request) -> web.Response:
        return _json({"live": True}, 200)  # that it comes says that the loop turns

    async def _ready(self, _: web.Request) -> web.Response:
        now = self._probes.ready()
        return _json(now, 200 if now.ready else 503)

    async def _recording(self, _: web.Request) -> web.Response:
        now = self._probes.recording()
        return _json(now, 200 if now.recording else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._probes.metrics(), headers=_HEADERS | {"Content-Type": CONTENT_TYPE})

    async def _state(self, _: web.Request) -> web.Response:
        return _json(self._desk.state(), 200)

    async def _conference(self, _: web.Request) -> web.Response:
        return _json(None if self._guests is None else self._guests.state(), 200)


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json", headers=_HEADERS)


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as JSON."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _json({"error": f"the request is longer than {MAX_BODY_BYTES} bytes"}, 413)
    except web.HTTPException as error:
        return _json({"error": f"{error.status} {error.reason}: {request.method} {request.path[:200]}"}, error.status)


def _only(allowed_uids: frozenset[int], by_path: Mapping[str, frozenset[int]]) -> Any:  # noqa: ANN401 - aiohttp's middleware type is not public
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        uid = _peer_uid(request)
        allowed = by_path.get(request.path, allowed_uids)
        if uid is None or uid not in allowed:
            log.warning("a user who may not use the agent's socket tried", uid=uid, path=request.path[:200])
            remedy = "; name it in room.toml: [hearings] clerks" if allowed is allowed_uids else ": this is for the delivery alone"
            return _json({"error": f"this user may not{remedy}"}, 403)
        return await handler(request)

    return check


def _peer_uid(request: web.Request) -> int | None:
    """The connecting process's user (SO_PEERCRED, unix(7)); None where the connection is gone."""
    peer: socket.socket | None = request.get_extra_info("socket")
    if peer is None:
        return None
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _telling(state: Callable[[], Awaitable[msgspec.Struct]]) -> Handler:
    """A handler that answers with what is asked for."""

    async def tell(_: web.Request) -> web.Response:
        try:
            return _json(await state(), 200)
        except DeskError as error:
            return _json({"error": str(error)}, 409)

    return tell


def _while_asked(path: str, order: Carrier) -> Carrier:
    """An order that is dropped where whoever gave it hangs up: he has no answer, and may have ordered otherwise since.

    What the recorder was asked for already it does, and its state says so.
    """

    async def carry(asked: Any) -> msgspec.Struct:  # noqa: ANN401 - each order has a type of its own
        try:
            return await order(asked)
        except asyncio.CancelledError:
            log.warning("an order is broken off: its giver hung up, or the agent ends; what is not done yet is dropped", path=path)
            raise

    return carry


def _to_its_end(order: Carrier) -> Carrier:
    """What is carried out whole although whoever asked hangs up: half of it would leave things that do not fit each other."""
    going: set[asyncio.Future[msgspec.Struct]] = set()

    async def carry(asked: Any) -> msgspec.Struct:  # noqa: ANN401 - likewise
        task = asyncio.ensure_future(order(asked))
        going.add(task)
        task.add_done_callback(going.discard)
        return await asyncio.shield(task)

    return carry


def _taking(kind: object, order: Carrier) -> Handler:
    """A handler that reads an order of this kind and has it carried out."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    async def take(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _json({"error": "an order is JSON: Content-Type: application/json"}, 415)
        try:
            asked = decoder.decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _json({"error": f"not an order: {why_no_request(error)}"}, 400)
        try:
            done = await order(asked)
        except (DeskError, RecorderRefusedError) as error:
            return _json({"error": str(error)}, 409)
        except RecorderAwayError as error:
            return _json({"error": str(error)}, 503)
        return _json(done, 200)

    return take
