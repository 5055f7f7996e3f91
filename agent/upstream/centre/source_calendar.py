"""A schedule from a calendar that a case system or an office publishes: fetches it; what it says is found by ``calendar_reading.py``."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from agent.upstream.centre.calendar_reading import read_apart
from agent.upstream.centre.source import BACK_US, Reading, SourceError

PERIOD_S = 60.0
MOST_BYTES = 64 * 1024 * 1024
ANSWER_S = 30.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class CalendarSource:
    """``ScheduleSource`` of a calendar at an ``https:`` address, or in a file.

    Args:
        at: the address, or the file's path.
        authorities: whom to trust for the address; None: whom the system trusts.
    """

    name = "ical"
    period_s = PERIOD_S

    def __init__(self, at: str, authorities: Path | None = None) -> None:
        self._at = at
        self._authorities = authorities
        self._seen = b""
        self._failed, self._why = b"", ""

    async def read(self, now_utc_us: int) -> Reading | None:
        """What the calendar has now.

        Raises:
            SourceError: it is away, no calendar, or more than can be read.
        """
        data = await (self._fetch() if "://" in self._at else asyncio.to_thread(self._load))
        # The same text means other hearings tomorrow: the span that is read moves on.
        seen = hashlib.sha256(b"%d " % (now_utc_us // BACK_US) + data).digest()
        if seen == self._seen:
            return None
        if seen == self._failed:
            raise SourceError(self._why)  # what took minutes in vain does so once, not each minute
        try:
            reading = await read_apart(data, now_utc_us)
        except SourceError as error:
            self._failed, self._why = seen, str(error)
            raise
        self._seen = seen
        return reading

    def _load(self) -> bytes:
        try:
            with Path(self._at).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise SourceError(f"{self._at} cannot be read: {error.strerror}") from error
        _bounded(len(data), self._at)
        return data

    async def _fetch(self) -> bytes:
        place = shown(self._at)
        try:
            tls = ssl.create_default_context(cafile=self._authorities)
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
                session.get(self._at, ssl=tls, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise SourceError(f"{place} answers {response.status}; give the address at which the calendar itself lies")
                data = bytearray()
                async for chunk in response.content.iter_chunked(64 * 1024):
                    data += chunk
                    _bounded(len(data), place)
                return bytes(data)
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError, ValueError) as error:
            raise SourceError(f"{place} cannot be reached: {type(error).__name__}") from error


def shown(address: str) -> str:
    """The address without what may be secret in it: user, password and query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.scheme else address


def is_private(address: str) -> bool:
    """Whether nobody on the way can read or change what comes from there."""
    parts = urlsplit(address)
    return not parts.scheme or parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _bounded(size_bytes: int, place: str) -> None:
    if size_bytes > MOST_BYTES:
        raise SourceError(f"{place} has more than {MOST_BYTES} bytes")
