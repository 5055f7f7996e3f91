"""The room's end of the contract: every connection is opened here, by mutual TLS, and every answer is held to its type."""

import errno
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import aiohttp
import msgspec

from agent.upstream import contract, transfer

REQUEST_S = 20.0
MOST_WAIT_S = 60
LONGEST_WISH_S = 3600.0
"""A centre that wishes to be left alone for longer is asked again all the same: a mistake there silences no room for days."""
ENDED = "the centre ended the connection: perhaps it does not know the authority of this room's certificate, or the certificate has expired"
MAX_ANSWER_BYTES = 16 * 1024 * 1024
Answer = TypeVar("Answer")


class UpstreamError(Exception):
    """The centre cannot be reached, or answered with nonsense: to be tried again later. ``retry_after_s`` is its own wish."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class UntrustedError(UpstreamError):
    """A certificate keeps the two apart: nobody here vouches for the centre's, or the centre, perhaps, does not believe the room's."""


class RefusedError(Exception):
    """The centre refuses what was said (4xx): saying it again changes nothing."""

    def __init__(self, problem: transfer.Problem) -> None:
        super().__init__(f"{problem.title} {problem.detail}".strip())
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files (PEM) of the room's transport key, its certificate with the chain, and whom it trusts as a centre."""

    key: Path
    certificate: Path
    roots: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3, both sides known.

        Raises:
            OSError: a file cannot be read.
            ssl.SSLError: a file holds nothing of use.
        """
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.roots))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        return context


class UpstreamClient:
    """Speaks to one centre; use as an async context manager. ``base`` is its address, ``https://host:port``."""

    def __init__(self, base: str, credentials: Credentials, *, request_s: float = REQUEST_S) -> None:
        self._request_s = request_s
        self._base = base.rstrip("/")
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._credentials.context(), limit=4, enable_cleanup_closed=True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def put_events(self, batch: contract.EventBatch) -> contract.EventsTaken:
        """Hand events over."""
        return await self._do("POST", "/v1/events", contract.EventsTaken, body=batch)

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """Say that the room is there."""
        return await self._do("POST", "/v1/heartbeat", contract.HeartbeatTaken, body=heartbeat)

    async def feed(self, after: int, command: int, wait_s: int) -> contract.Feed:
        """Wait for changes of the schedule and for commands, at most so long."""
        wait_s = min(wait_s, MOST_WAIT_S)
        query = {"after": str(after), "command": str(command), "wait": str(wait_s)}
        return await self._do("GET", "/v1/feed", contract.Feed, query=query, timeout_s=wait_s + self._request_s)

    async def offer(self, offer: transfer.UploadOffer) -> transfer.UploadState:
        """Offer a sealed record."""
        return await self._do("POST", "/v1/uploads", transfer.UploadState, body=offer, timeout_s=120.0)

    async def upload(self, upload: str) -> transfer.UploadState:
        """How an upload stands."""
        return await self._do("GET", f"/v1/uploads/{upload}", transfer.UploadState)

    async def addresses(self, upload: str, wanted: transfer.PartsWanted) -> transfer.PartAddresses:
        """Where to put parts."""
        return await self._do("POST", f"/v1/uploads/{upload}/addresses", transfer.PartAddresses, body=wanted)

    async def parts_done(self, upload: str, done: transfer.PartsDone) -> transfer.UploadState:
        """Say that the storage took parts."""
        return await self._do("POST", f"/v1/uploads/{upload}/parts", transfer.UploadState, body=done)

    async def renew(self, renewal: transfer.Renewal) -> transfer.Certificates:
        """Get a new transport certificate."""
        return await self._do("POST", "/v1/renew", transfer.Certificates, body=renewal)

    async def _do(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: msgspec.Struct | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request.

        Raises:
            UpstreamError: no answer, a server's error, or an answer that is none.
            RefusedError: refused for good.
        """
        if self._session is None:
            raise UpstreamError("not connected")
        data = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=timeout_s or self._request_s, connect=self._request_s)
        try:
            async with self._session.request(
                method, self._base + path, data=data, params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await whole(response.content)
                status, retry = response.status, response.headers.get("Retry-After")
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError) as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                raise UntrustedError(f"{self._base}: nobody in {self._credentials.roots} vouches for the centre: {error}") from error
            if _was_ended(error):
                raise UntrustedError(f"{self._base}: {error or type(error).__name__}; {ENDED}") from error
            raise UpstreamError(f"{self._base}: {error or type(error).__name__}") from error
        return _read(self._base + path, status, raw, retry, answer)


def _was_ended(error: Exception) -> bool:
    """Whether the other side ended a connection that stood, before it answered.

    Under TLS 1.3 a room's certificate is looked at when the handshake is over on its side (RFC 8446, section 4.4), and the alert is
    mostly lost in the reset that follows: nothing else is seen of it.
    """
    if isinstance(error, aiohttp.ClientConnectorError):
        return False  # it never stood
    return isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError | ssl.SSLError) or (
        isinstance(error, aiohttp.ClientOSError) and error.errno in {errno.ECONNRESET, errno.EPIPE}
    )


async def whole(content: aiohttp.StreamReader) -> bytes:
    """A body; of one that is longer than any that is due, enough to be no answer."""
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            return b""
    return bytes(data)


def _read(place: str, status: int, raw: bytes, retry_after: str | None, answer: type[Answer]) -> Answer:
    if 400 <= status < 500 and status not in {408, 425, 429}:
        raise RefusedError(_problem(status, raw))
    if not 200 <= status < 300:
        raise UpstreamError(f"{place}: answered {status}", _wish_s(retry_after))
    try:
        return msgspec.json.decode(raw, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(f"{place}: not an answer of the contract: {error}") from error


def _wish_s(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After, at most ``LONGEST_WISH_S``: what no number of seconds is, or a date, is no wish."""
    if retry_after is None or re.fullmatch(r"[0-9]{1,9}", retry_after) is None:
        return None
    return min(float(retry_after), LONGEST_WISH_S)


def _problem(status: int, raw: bytes) -> transfer.Problem:
    try:
        return msgspec.json.decode(raw, type=transfer.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return transfer.Problem(type="about:blank", title=f"refused with {status}", status=status)
