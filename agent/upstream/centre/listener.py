"""The centre's listener: TLS 1.3 with certificates asked for, and a deadline for whoever connects and then says nothing."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog
from aiohttp import web

from agent.upstream.centre.seldom import Seldom

log = structlog.get_logger()

HANDSHAKE_S = 10.0
HEAD_S = 15.0
"""Within so long after it connected a caller's first request must have come with all its headers."""
KEEPALIVE_S = 75.0
"""Within so long after its last answer the next one: longer than the rooms' heartbeats are apart."""
HEADER_BYTES = 16 * 1024
SWEEP_S = 1.0
MOST_SILENT = 4096
"""So many connections may wait for their first request, or for any without a certificate, at once; of more the oldest go.

All rooms begin together after a power cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """PEM files: the server's key and certificate with its chain, and whom it trusts to name callers."""

    key: Path
    certificate: Path
    roots: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3. A certificate is asked for and must be good if it is shown; who may do what without one is decided for each request.

        Raises:
            OSError: a file cannot be read.
            ssl.SSLError: a file holds nothing of use.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.roots))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(self.certificate, self.key)
        context.sslobject_class = _telling(Seldom())
        return context


def _telling(seldom: Seldom) -> type[ssl.SSLObject]:
    """A handshake that tells when a certificate is not accepted: the caller sees an end alone, and asyncio says nothing of it."""

    class Telling(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                untold = seldom.untold(time.monotonic())
                if untold is not None:
                    log.warning("a caller's certificate is not accepted", why=error.verify_message, untold=untold)
                raise

    return Telling


class Listener:
    """Serves one application; use as an async context manager, ``port`` is where."""

    def __init__(
        self, app: web.Application, files: ServerFiles, host: str, port: int, *, head_s: float = HEAD_S, most_silent: int = MOST_SILENT
    ) -> None:
        self._files = files
        self._host = host
        self.port = port
        self._head_s = head_s
        self._most_silent = most_silent
        self._silent: dict[Any, float] = {}
        """Connections of which no request has come yet, or the next one of somebody without a certificate; and since when."""
        app.middlewares.append(self._spoke())
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=KEEPALIVE_S, max_field_size=HEADER_BYTES, max_line_size=HEADER_BYTES,
            shutdown_timeout=2.0, handler_cancellation=True, lingering_time=1.0,
        )  # fmt: skip
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await self._runner.setup()
        self._server = await loop.create_server(
            self._connection, self._host, self.port, ssl=self._files.context(), ssl_handshake_timeout=HANDSHAKE_S, backlog=2048,
            reuse_address=True,
        )  # fmt: skip
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._sweeper = loop.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        made = self._runner.server()
        self._wait_for(made)
        return made

    def _wait_for(self, made: Any) -> None:  # noqa: ANN401 - aiohttp's type of a connection is its own
        if len(self._silent) >= self._most_silent:
            # One that has not shaken hands has no transport yet, and a deadline of its own.
            oldest = next((other for other in self._silent if other.transport is not None), None)
            if oldest is not None:
                del self._silent[oldest]
                oldest.transport.abort()
        self._silent[made] = asyncio.get_running_loop().time()

    def _spoke(self) -> Any:  # noqa: ANN401 - aiohttp's type of a middleware is its own
        @web.middleware
        async def spoke(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
            self._silent.pop(request.protocol, None)
            try:
                return await handler(request)
            finally:
                if not request.get_extra_info("peercert"):  # who has shown no certificate waits no longer than one who has said nothing
                    self._wait_for(request.protocol)

        return spoke

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            limit_s = asyncio.get_running_loop().time() - self._head_s
            for made, since_s in list(self._silent.items()):
                if since_s <= limit_s:
                    del self._silent[made]
                    if made.transport is not None:
                        made.transport.abort()
