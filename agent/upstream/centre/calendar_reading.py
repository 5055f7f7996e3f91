"""What a calendar (iCalendar, RFC 5545) says, found in a process of its own: one may have no end, and no thread can be killed.

``python -m agent.upstream.centre.calendar_reading NOW_UTC_US`` reads a calendar from its standard input and writes an ``Answer``. Each UID
is expanded by itself: what cannot be read is refused by its name, and the others are taken.

| of an event | becomes |
|---|---|
| ``UID`` (and, where it recurs, when the occurrence was to begin) | the hearing's id; where that may not hold it, what it may, and a hash |
| ``X-COURTROOM-ROOM``, else ``LOCATION`` | the room's id |
| ``DTSTART``, ``DTEND`` or ``DURATION`` | begin and end; they must name a time zone, or be UTC |
| ``SUMMARY`` | title |
| ``X-COURTROOM-CASE`` | case |
| ``X-COURTROOM-JUDGE``, else the ``CN`` of ``ORGANIZER`` | judge |
| ``CLASS`` | ``PUBLIC`` or none: open; ``PRIVATE``, ``CONFIDENTIAL`` and anything else: closed (section 3.8.1.3) |
| ``STATUS:CANCELLED`` | cancelled |
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import os
import re
import resource
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import icalendar
import msgspec
import recurring_ical_events

from agent.upstream import contract
from agent.upstream.centre.source import AHEAD_US, BACK_US, Reading, SourceError

ANSWER_S = 300.0
CPU_S = 120
MEMORY_BYTES = 2 * 1024**3
EACH_S = 2.0
"""So much of the processor one UID may take."""
MOST_HEARINGS = 100_000
_NO_ID = re.compile(r"[^A-Za-z0-9._:/-]+")
_TEXT_CHARS = 2_000
_WHY_CHARS = 300
_TIMES = frozenset({"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID", "STATUS"})
"""Without one of these that it was meant to have, an event says something else."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process found; without a reading, why not."""

    reading: Reading | None = None
    error: str = ""


async def read_apart(data: bytes, now_utc_us: int) -> Reading:
    """``parse`` in a process of its own, with limits of time and memory.

    Raises:
        SourceError: it is no calendar, or asks for more than that.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(now_utc_us), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )  # fmt: skip
    try:
        async with asyncio.timeout(ANSWER_S):
            out, _ = await process.communicate(data)
    except TimeoutError:
        raise SourceError(f"it could not be read within {ANSWER_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0:
        raise SourceError(f"reading it took more than {CPU_S} s or {MEMORY_BYTES} bytes of memory (status {process.returncode})")
    try:
        answer = msgspec.json.decode(out, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"reading it gave nonsense: {error}") from error
    if answer.reading is None:
        raise SourceError(answer.error)
    return answer.reading


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    begin_us: int
    end_us: int
    hearings: list[contract.Hearing] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, contract.Hearing | None] = field(default_factory=dict)

    def take(self, event: Any, name: str) -> None:  # noqa: ANN401 - the library's component
        """One event, or one occurrence."""
        is_within = True
        try:
            is_within = self.begin_us <= _about_utc_us(event.start) < self.end_us
            hearing = _hearing(event, name)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, it is this event's alone
            if is_within:
                self.refused[name] = _why(error)
            else:
                self.elsewhere[name] = None
            return
        if is_within:
            self.hearings.append(hearing)
        else:
            self.elsewhere[name] = hearing
        if len(self.hearings) + len(self.elsewhere) > MOST_HEARINGS:
            raise SourceError(f"it has more than {MOST_HEARINGS} events")


def parse(data: bytes, now_utc_us: int, bounded: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext) -> Reading:
    """The hearings of a calendar from a day ago until ``AHEAD_US`` from now; ``bounded`` holds the time that one UID may take.

    Raises:
        SourceError: it is no calendar.
    """
    try:
        calendars = icalendar.Calendar.from_ical(data, multiple=True)
    except Exception as error:
        raise SourceError(f"it is no calendar (RFC 5545): {_why(error)}") from error
    if not calendars:
        raise SourceError("it is no calendar (RFC 5545): it is empty")
    found = _Found(now_utc_us - BACK_US, now_utc_us + AHEAD_US)
    for calendar in calendars:
        by_uid: dict[str, list[Any]] = {}
        for event in calendar.walk("VEVENT"):
            uid = str(event.get("UID") or "").strip()
            if uid:
                by_uid.setdefault(uid, []).append(event)
            else:
                found.refused[f"no-uid-{hashlib.sha256(event.to_ical()).hexdigest()[:12]}"] = _no_uid(event)
        for events in by_uid.values():
            try:
                with bounded():
                    _take_uid(calendar, events, found)
            except SourceError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the library raises, it is this UID's alone
                found.refused[_id(events[0])] = _why(error)
    return Reading(found.hearings, found.refused, found.elsewhere)


def _take_uid(calendar: Any, events: Sequence[Any], found: _Found) -> None:  # noqa: ANN401 - the library's component
    """All that one UID stands for."""
    for event in events:
        _check(event)
    events = _newest(events)
    recurs = any(key in event for event in events for key in ("RRULE", "RDATE", "RECURRENCE-ID"))
    if not recurs and len(events) > 1:
        raise ValueError("it is there more than once: give each hearing a UID of its own, or the newer one a higher SEQUENCE")
    if not recurs and "X-WR-TIMEZONE" not in calendar:
        found.take(events[0], _id(events[0]))
        return
    alone = icalendar.Calendar()
    if "X-WR-TIMEZONE" in calendar:
        alone["X-WR-TIMEZONE"] = calendar["X-WR-TIMEZONE"]
    for event in events:
        alone.add_component(event)
    begin, end = (dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC) for at_us in (found.begin_us, found.end_us))
    occurrences: dict[str, Any] = {}
    for event in recurring_ical_events.of(alone).between(begin, end):
        name = _id(event, _original(event, events) if recurs else None)
        if name in occurrences:
            raise ValueError(f"two of its occurrences are one: {name}; give each its own RECURRENCE-ID")
        occurrences[name] = event
    for name, event in occurrences.items():
        found.take(event, name)
    for event in events:  # an occurrence that was moved out of the span, or all of it, is there all the same
        if recurs and "RECURRENCE-ID" not in event:
            continue
        name = _id(event, _original(event, events) if recurs else None)
        if name not in occurrences:
            found.take(event, name)


def _newest(events: Sequence[Any]) -> list[Any]:
    """Of several versions of the same (section 3.8.7.4) the one with the highest SEQUENCE, and of those the last that was written."""
    newest: dict[str, list[Any]] = {}
    for event in events:
        newest.setdefault(_one_text(event, "RECURRENCE-ID"), []).append(event)
    found = list[Any]()
    for versions in newest.values():
        last = max(_version(event) for event in versions)
        found += {event.to_ical(): event for event in versions if _version(event) == last}.values()
    return found


def _version(event: Any) -> tuple[int, str]:  # noqa: ANN401 - the library's component
    try:
        sequence = int(event.get("SEQUENCE", 0))
    except (TypeError, ValueError):  # what is no number, or there twice, says nothing
        sequence = 0
    return sequence, _one_text(event, "DTSTAMP")


def _one_text(event: Any, name: str) -> str:  # noqa: ANN401 - the library's component
    value = _one(event, name)
    return "" if value is None else str(value.to_ical(), "ascii", "replace")


def _original(event: Any, events: Sequence[Any]) -> dt.date:  # noqa: ANN401 - the library's component
    """When the occurrence was to begin before anybody moved it (section 3.8.4.4): by that it is the same hearing wherever it is moved."""
    recurrence = event.get("RECURRENCE-ID")
    if recurrence is None:
        return event.start  # type: ignore[no-any-return] # the library's
    if str(recurrence.params.get("RANGE", "")).upper() != "THISANDFUTURE":
        return recurrence.dt  # type: ignore[no-any-return] # likewise
    # The library gives all that were moved with the first one the first one's RECURRENCE-ID.
    first = next(one for one in events if _one_text(one, "RECURRENCE-ID") == _one_text(event, "RECURRENCE-ID"))
    zone = getattr(recurrence.dt, "tzinfo", None)
    moved_by = _on_clock(first.start, zone) - _on_clock(recurrence.dt, zone)
    return _on_clock(event.start, zone) - moved_by


def _on_clock(at: dt.date, zone: dt.tzinfo | None) -> dt.datetime:
    """What a clock in that zone shows: a series keeps its hour when summer time begins."""
    if not isinstance(at, dt.datetime):
        return dt.datetime(at.year, at.month, at.day)  # noqa: DTZ001 - of a clock on a wall
    return (at if at.tzinfo is None or zone is None else at.astimezone(zone)).replace(tzinfo=None)


def _no_uid(event: Any) -> str:  # noqa: ANN401 - the library's component
    with contextlib.suppress(Exception):  # the refusal is told, however little of the event can be read
        when, room = event.start, _text(event.get("X-COURTROOM-ROOM") or event.get("LOCATION") or "")
        return f"an event of {when} in '{room}' has no UID, by which it is known again: give it one"
    return "an event has no UID, by which it is known again: give it one"


def _check(event: Any) -> None:  # noqa: ANN401 - the library's component
    """Refuse what would be read as something else than it says, or expanded without end."""
    for name, why in event.errors:
        if name is None or str(name).upper() in _TIMES:
            raise ValueError(f"{name or 'a line'} cannot be read: {why}")
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        frequency = str((rule.get("FREQ") or [""])[0]).upper()
        if frequency in {"SECONDLY", "MINUTELY"}:
            raise ValueError(f"no hearing recurs {frequency}")
        if any(int(interval) < 1 for interval in rule.get("INTERVAL", [1])):
            raise ValueError("its INTERVAL is less than 1")


def _hearing(event: Any, name: str) -> contract.Hearing:  # noqa: ANN401 - the library's component
    organizer = _one(event, "ORGANIZER")
    judge = _one(event, "X-COURTROOM-JUDGE") or (organizer.params.get("CN", "") if organizer is not None else "")
    fields = {
        "id": name,
        "room": _text(_one(event, "X-COURTROOM-ROOM") or _one(event, "LOCATION") or ""),
        "case": _text(_one(event, "X-COURTROOM-CASE") or ""),
        "title": _text(_one(event, "SUMMARY") or ""),
        "judge": _text(judge),
        "starts_utc_us": _utc_us(event.start),
        "ends_utc_us": _utc_us(event.end),
        "level": "open" if str(event.get("CLASS", "PUBLIC")).upper() == "PUBLIC" else "closed",
        "state": "cancelled" if str(event.get("STATUS", "")).upper() == "CANCELLED" else "planned",
    }
    if event.end == event.start:
        raise ValueError("it does not say when it ends: give DTEND or DURATION")
    if not fields["room"]:
        raise ValueError("it names no room: give LOCATION or X-COURTROOM-ROOM")
    return msgspec.convert(fields, contract.Hearing)


def _one(event: Any, name: str) -> Any:  # noqa: ANN401 - the library's component and value
    value = event.get(name)
    if isinstance(value, list):
        raise ValueError(f"it has {name} more than once")  # noqa: TRY004 - what a calendar says, no type of ours
    return value


def _id(event: Any, began: dt.date | None = None) -> str:  # noqa: ANN401 - the library's component
    """The hearing's id; ``began``: of which occurrence."""
    uid = str(event.get("UID", ""))
    plain = _NO_ID.sub("-", uid).lstrip("._:/-")
    # Two UIDs that differ only in what an id may not hold stay two hearings.
    name = uid if uid and plain == uid and len(uid) <= 100 else f"{plain[:80]}-{hashlib.sha256(uid.encode()).hexdigest()[:12]}".lstrip("-")
    return name if began is None else f"{name}/{began:%Y%m%dT%H%M}"


def _about_utc_us(at: dt.date) -> int:
    """The time of what may name no zone, or be a day, exact enough to say whether it matters."""
    if not isinstance(at, dt.datetime):
        at = dt.datetime(at.year, at.month, at.day)  # noqa: DTZ001 - its zone follows
    return int((at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()) * 1_000_000


def _utc_us(at: dt.date) -> int:
    if not isinstance(at, dt.datetime):
        raise ValueError(f"{at} is a whole day: give a time of day")  # noqa: TRY004 - what a calendar says, no type of ours
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone: give TZID, or UTC")
    return int(at.timestamp()) * 1_000_000


def _text(value: object) -> str:
    return unicodedata.normalize("NFC", str(value)).strip()[:_TEXT_CHARS]


def _why(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_WHY_CHARS]


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """At most ``EACH_S`` of the processor; the timer goes on where a library swallows what it raises."""
    signal.setitimer(signal.ITIMER_VIRTUAL, EACH_S, EACH_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"to expand it takes more than {EACH_S:g} s")


def main() -> None:
    """Read a calendar, tell what it says."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGVTALRM, _too_long)
    try:
        answer = Answer(reading=parse(sys.stdin.buffer.read(), int(sys.argv[1]), _bounded))
    except SourceError as error:
        answer = Answer(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
