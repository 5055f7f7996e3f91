"""A schedule from a calendar (iCalendar, RFC 5545) that a case system or an office's calendar publishes.

| of an event | becomes |
|---|---|
| ``UID`` (and ``RECURRENCE-ID`` where it recurs) | the hearing's id; where that may not hold it, what it may, and a hash |
| ``X-COURTROOM-ROOM``, else ``LOCATION`` | the room's id |
| ``DTSTART``, ``DTEND`` or ``DURATION`` | begin and end; they must name a time zone, or be UTC |
| ``SUMMARY`` | title |
| ``X-COURTROOM-CASE`` | case |
| ``X-COURTROOM-JUDGE``, else the ``CN`` of ``ORGANIZER`` | judge |
| ``CLASS`` | ``PUBLIC`` or none: open; ``PRIVATE``, ``CONFIDENTIAL`` and anything else: closed (section 3.8.1.3) |
| ``STATUS:CANCELLED`` | cancelled |
"""

import asyncio
import datetime as dt
import hashlib
import re
import ssl
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import icalendar
import msgspec
import recurring_ical_events

from agent.upstream import contract
from agent.upstream.centre.source import AHEAD_US, BACK_US, Reading, SourceError

PERIOD_S = 60.0
MOST_BYTES = 64 * 1024 * 1024
ANSWER_S = 30.0
_NO_ID = re.compile(r"[^A-Za-z0-9._:/-]+")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TEXT_CHARS = 2_000


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

    async def read(self, now_utc_us: int) -> Reading | None:
        """What the calendar has now.

        Raises:
            SourceError: it is away, or no calendar.
        """
        data = await (self._fetch() if "://" in self._at else asyncio.to_thread(self._load))
        # The same text means other hearings tomorrow: the span that is read moves on.
        seen = hashlib.sha256(b"%d " % (now_utc_us // BACK_US) + data).digest()
        if seen == self._seen:
            return None
        reading = await asyncio.to_thread(parse, data, now_utc_us)
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


def parse(data: bytes, now_utc_us: int) -> Reading:
    """The hearings of a calendar from a day ago until ``AHEAD_US`` from now.

    Raises:
        SourceError: it is no calendar.
    """
    try:
        calendars = icalendar.Calendar.from_ical(data, multiple=True)
    except (ValueError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
        raise SourceError(f"it is no calendar (RFC 5545): {error}") from error
    if not calendars:
        raise SourceError("it is no calendar (RFC 5545): it is empty")
    begin, end = (dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC) for at_us in (now_utc_us - BACK_US, now_utc_us + AHEAD_US))
    hearings: list[contract.Hearing] = []
    refused: dict[str, str] = {}
    for calendar in calendars:
        recurring = {str(event.get("UID")) for event in calendar.walk("VEVENT") if "RRULE" in event or "RDATE" in event}
        for event in _between(calendar, begin, end):
            name = _id(event, recurs=str(event.get("UID")) in recurring)
            try:
                hearings.append(_hearing(event, name))
            except (ValueError, msgspec.ValidationError) as error:
                refused[name] = str(error)
    return Reading(hearings, refused)


def _between(calendar: Any, begin: dt.datetime, end: dt.datetime) -> list[Any]:  # noqa: ANN401 - the library's component
    try:
        return list(recurring_ical_events.of(calendar).between(begin, end))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"one of its events cannot be read: {error}") from error


def _hearing(event: Any, name: str) -> contract.Hearing:  # noqa: ANN401 - the library's component
    begins, ends = event.start, event.end
    organizer = event.get("ORGANIZER")
    judge = event.get("X-COURTROOM-JUDGE") or (organizer.params.get("CN", "") if organizer is not None else "")
    fields = {
        "id": name,
        "room": _text(event.get("X-COURTROOM-ROOM") or event.get("LOCATION", "")),
        "case": _text(event.get("X-COURTROOM-CASE", "")),
        "title": _text(event.get("SUMMARY", "")),
        "judge": _text(judge),
        "starts_utc_us": _utc_us(begins),
        "ends_utc_us": _utc_us(ends),
        "level": "open" if str(event.get("CLASS", "PUBLIC")).upper() == "PUBLIC" else "closed",
        "state": "cancelled" if str(event.get("STATUS", "")).upper() == "CANCELLED" else "planned",
    }
    if not fields["room"]:
        raise ValueError("it names no room: give LOCATION or X-COURTROOM-ROOM")
    return msgspec.convert(fields, contract.Hearing)


def _id(event: Any, *, recurs: bool) -> str:  # noqa: ANN401 - the library's component
    uid = str(event.get("UID", ""))
    plain = _NO_ID.sub("-", uid).lstrip("._:/-")
    # Two UIDs that differ only in what an id may not hold stay two hearings.
    name = uid if uid and plain == uid and len(uid) <= 100 else f"{plain[:80]}-{hashlib.sha256(uid.encode()).hexdigest()[:12]}".lstrip("-")
    if not recurs:
        return name
    original = event.get("RECURRENCE-ID")
    began = original.dt if original is not None else event.start
    return f"{name}/{began:%Y%m%dT%H%M}"


def _utc_us(at: dt.date) -> int:
    if not isinstance(at, dt.datetime):
        raise ValueError(f"{at} is a whole day: give a time of day")  # noqa: TRY004 - what a calendar says, no type of ours
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone: give TZID, or UTC")
    return int(at.timestamp()) * 1_000_000


def _text(value: object) -> str:
    return unicodedata.normalize("NFC", str(value)).strip()[:_TEXT_CHARS]


def _bounded(size_bytes: int, place: str) -> None:
    if size_bytes > MOST_BYTES:
        raise SourceError(f"{place} has more than {MOST_BYTES} bytes")
