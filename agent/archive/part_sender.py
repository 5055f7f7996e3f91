"""Puts parts of records where the centre says, at the pace that holds: to itself by the room's own certificate, or to its storage.

The storage must be one that nobody can listen to on the way: media is encrypted, but what a record tells besides is not.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from typing import Self
from urllib.parse import SplitResult, urlsplit

import aiohttp

from agent.archive.pace import Pace
from agent.upstream.transfer import PartAddress

IDLE_S = 60.0
"""A storage that takes or says nothing for so long is away."""
_CHUNK_BYTES = 64 * 1024
_ANSWER_BYTES = 2_000
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class PutError(Exception):
    """The storage did not take a part; it is tried again."""


class PartSender:
    """Connections for parts; use as an async context manager.

    Args:
        base: the centre's address, for addresses that are a path.
        centre_tls: how to speak to it there: with the room's certificate.
        storage_tls: how to speak to another storage; None: by the authorities that the system trusts. It is shown no certificate.
        pace: how fast.
        at_once: parts on their way at the same time.
    """

    def __init__(
        self, base: str, *, centre_tls: ssl.SSLContext | None, storage_tls: ssl.SSLContext | None, pace: Pace, at_once: int
    ) -> None:
        self._base = base.rstrip("/")
        self._centre_tls = centre_tls
        self._storage_tls = storage_tls
        self._pace = pace
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None
        self.sent_bytes = 0
        """All that was given to the network so far."""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._at_once, enable_cleanup_closed=True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def set_hearing(self, *, hearing: bool) -> None:
        """A hearing began or ended: the lower cap holds from now on."""
        self._pace.set_hearing(time.monotonic(), hearing=hearing)

    async def put(self, address: PartAddress, data: bytes) -> str:
        """Put a part where the centre said, at the pace that holds. Returns the storage's tag.

        Raises:
            PutError: it was not taken.
        """
        if self._session is None:
            raise PutError("not connected")
        own = address.url.startswith("/")
        url = self._base + address.url if own else address.url
        parts = urlsplit(url)
        if not own and not _is_private(parts):
            raise PutError(f"the centre names the storage {parts.scheme}://{parts.netloc}, which anybody can listen to: it must be https")
        headers = {**address.headers, "Content-Length": str(len(data)), "Content-Type": "application/octet-stream"}
        tls = self._centre_tls if own else self._storage_tls
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=20.0, sock_read=IDLE_S)
        try:
            async with (
                asyncio.timeout(IDLE_S) as idle,
                self._session.put(
                    url, data=self._paced(data, idle) if data else b"", headers=headers, timeout=timeout, allow_redirects=False,
                    ssl=tls if tls is not None else True,
                ) as response,
            ):  # fmt: skip
                said = await response.content.read(_ANSWER_BYTES)
                tag = response.headers.get("ETag", "")
                if response.status == 200 and tag:
                    return tag
                raise PutError(
                    f"the storage {parts.netloc} did not take {address.path}, part {address.number}: {response.status} {said!r}"
                )  # fmt: skip
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise PutError(f"the storage {parts.netloc}: {error or type(error).__name__}") from error

    async def _paced(self, data: bytes, idle: asyncio.Timeout) -> AsyncIterator[memoryview]:
        at, view = 0, memoryview(data)
        clock = asyncio.get_running_loop().time
        while at < len(view):
            idle.reschedule(clock() + IDLE_S)
            wanted = min(_CHUNK_BYTES, len(view) - at)
            granted = self._pace.allow(wanted, time.monotonic())
            if granted:
                yield view[at : at + granted]
                at += granted
                self.sent_bytes += granted
            else:
                await asyncio.sleep(self._pace.wait_s(wanted))
        idle.reschedule(clock() + IDLE_S)


def _is_private(address: SplitResult) -> bool:
    """Whether what is sent there can be read by nobody on the way."""
    return address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK)
