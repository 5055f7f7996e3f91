"""Schedules that are read from a file or a calendar: what is new, changed or gone there reaches the rooms; what is doubtful does not."""

import asyncio
import datetime as dt
import json
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream import contract
from agent.upstream.centre.backend import API
from agent.upstream.centre.settings import SettingsError
from agent.upstream.centre.source import FEW, Reading, SourceError, believable, vanished
from agent.upstream.centre.source_calendar import CalendarSource, parse
from tests.lab.centre import Centre, centre
from tests.lab.events import hearing
from tests.lab.tls import Authority

NOW_US = int(dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC).timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
# As RFC 5545 writes it (sections 3.6.1 and 3.8); the lines end with CRLF.
CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Office//Calendar 1//EN
BEGIN:VEVENT
UID:7599-26-00-2-1
DTSTAMP:20261127T000000Z
DTSTART;TZID=Asia/Almaty:20261201T100000
DTEND;TZID=Asia/Almaty:20261201T113000
SUMMARY:Claim of A. against B.\\, second
LOCATION:almaty-3
CLASS:CONFIDENTIAL
X-COURTROOM-CASE:7599-26-00-2/1
ORGANIZER;CN=B. Seitov:mailto:b.seitov@court.example
END:VEVENT
BEGIN:VEVENT
UID:weekly@office.example
DTSTAMP:20261127T000000Z
DTSTART:20261202T040000Z
DURATION:PT1H
RRULE:FREQ=WEEKLY;COUNT=2
LOCATION:almaty-4
END:VEVENT
BEGIN:VEVENT
UID:weekly@office.example
RECURRENCE-ID:20261209T040000Z
DTSTAMP:20261127T000000Z
DTSTART:20261209T060000Z
DURATION:PT1H
STATUS:CANCELLED
LOCATION:almaty-4
END:VEVENT
BEGIN:VEVENT
UID:no-zone
DTSTAMP:20261127T000000Z
DTSTART:20261203T100000
DTEND:20261203T110000
LOCATION:almaty-3
END:VEVENT
BEGIN:VEVENT
UID:whole-day
DTSTAMP:20261127T000000Z
DTSTART;VALUE=DATE:20261203
LOCATION:almaty-3
END:VEVENT
BEGIN:VEVENT
UID:no-room
DTSTAMP:20261127T000000Z
DTSTART:20261203T100000Z
DTEND:20261203T110000Z
LOCATION:Great hall on the second floor
END:VEVENT
END:VCALENDAR
"""


def as_calendar(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def utc_us(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000


def test_a_calendar_becomes_hearings_with_their_zone_level_and_recurrences() -> None:
    reading = parse(as_calendar(CALENDAR), NOW_US)
    found = {one.id: one for one in reading.hearings}
    first = found.pop("7599-26-00-2-1")
    assert (first.room, first.case, first.judge, first.level, first.title) == (
        "almaty-3", "7599-26-00-2/1", "B. Seitov", "closed", "Claim of A. against B., second",
    )  # fmt: skip
    assert (first.starts_utc_us, first.ends_utc_us) == (utc_us("2026-12-01T10:00+05:00"), utc_us("2026-12-01T11:30+05:00"))
    weekly, moved = sorted(found.values(), key=lambda one: one.starts_utc_us)
    assert weekly.id.startswith("weekly-office.example-")
    assert weekly.id.endswith("/20261202T0400")
    assert (weekly.state, weekly.starts_utc_us) == ("planned", utc_us("2026-12-02T04:00+00:00"))
    # The occurrence keeps its name where it is moved: it is the same hearing.
    assert moved.id.endswith("/20261209T0400")
    assert (moved.state, moved.starts_utc_us) == ("cancelled", utc_us("2026-12-09T06:00+00:00"))


def test_what_no_hearing_can_be_made_of_is_named_with_the_remedy_and_the_others_are_taken() -> None:
    refused = parse(as_calendar(CALENDAR), NOW_US).refused
    assert set(refused) == {"no-zone", "whole-day", "no-room"}
    assert "give TZID" in refused["no-zone"]
    assert "give a time of day" in refused["whole-day"]
    assert "room" in refused["no-room"]


@pytest.mark.parametrize("data", [b"", b"<html>sign in</html>", b"\xff\xfe\x00", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"])
def test_what_is_no_calendar_is_an_error_and_no_empty_schedule(data: bytes) -> None:
    with pytest.raises(SourceError):
        parse(data, NOW_US)


def test_uids_that_differ_only_in_what_an_id_may_not_hold_stay_two_hearings() -> None:
    one = CALENDAR.replace("UID:7599-26-00-2-1", "UID:a@b")
    other = CALENDAR.replace("UID:7599-26-00-2-1", "UID:a#b")
    names = {min(found.id for found in parse(as_calendar(text), NOW_US).hearings) for text in (one, other)}
    assert len(names) == 2


@given(
    known=st.integers(0, 40), left=st.integers(0, 40), cancelled=st.integers(0, 5), refused=st.integers(0, 5),
)  # fmt: skip
def test_no_more_than_half_of_a_schedule_vanishes_at_once(known: int, left: int, cancelled: int, refused: int) -> None:
    planned = [hearing(f"h{number}", "r", starts_utc_us=NOW_US) for number in range(known)]
    planned += [hearing(f"c{number}", "r", starts_utc_us=NOW_US, state="cancelled") for number in range(cancelled)]
    reading = Reading(planned[: min(left, known)], {f"h{number}": "why" for number in range(left, left + refused)})
    expected = {f"h{number}" for number in range(left + refused, known)}
    try:
        gone = vanished(reading, planned)
    except SourceError:
        assert len(expected) > max(FEW, known // 2)
    else:
        assert {one.id for one in gone} == expected
        assert {one.state for one in gone} <= {"cancelled"}
        assert len(gone) <= max(FEW, known // 2)


def test_a_hearing_that_ends_before_it_begins_or_comes_twice_with_other_words_is_refused() -> None:
    good = hearing("good", "r")
    reading = believable(
        Reading([good, good, hearing("back", "r", ends_utc_us=1), hearing("twice", "r"), hearing("twice", "r", title="other")])
    )
    assert reading.hearings == [good]
    assert set(reading.refused) == {"back", "twice"}


def planned(it: Centre) -> dict[str, contract.Hearing]:
    lines = asyncio.run(it.lines("/v1/hearings?after=0", contract.Change))
    return {change.hearing.id: change.hearing for change in lines}


def until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.05)


def soon(name: str, **fields: object) -> contract.Hearing:
    return hearing(name, "room-1", starts_utc_us=time.time_ns() // 1000 + 24 * HOUR_US, **fields)


def write(path: Path, hearings: Sequence[object]) -> None:
    other = path.with_suffix(".new")
    other.write_text(json.dumps({"hearings": msgspec.to_builtins(hearings)}), encoding="utf-8")
    other.replace(path)


def test_a_file_is_followed_through_changes_mistakes_and_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "hearings.json"
    write(path, [soon("a"), soon("b")])
    with centre(tmp_path, source="file", source_at=str(path)) as it:
        until(lambda: set(planned(it)) == {"a", "b"}, "the file's hearings")
        it.plan(soon("by-hand"))
        write(path, [soon("a", title="changed"), {"id": "wrong", "room": 5}])
        until(lambda: planned(it)["b"].state == "cancelled", "what is gone is cancelled")
        now = planned(it)
        assert now["a"].title == "changed"
        assert now["by-hand"].state == "planned"
        path.write_text('{"hearings": [', encoding="utf-8")
        until(lambda: "is not {" in it.log, "the mistake is told")
        assert planned(it) == now
        many = [soon(f"m{number}") for number in range(10)]
        write(path, [soon("a", title="changed"), *many])
        until(lambda: len(planned(it)) == 13, "more hearings")
        write(path, [])
        until(lambda: "none of them is cancelled" in it.log, "an empty file is not believed")
        assert {one.state for name, one in planned(it).items() if name.startswith("m")} == {"planned"}
        assert "wrong" in it.log


def test_what_the_case_system_put_itself_counts_before_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hearings.json"
    write(path, [soon("a", title="file")])
    with centre(tmp_path, source="file", source_at=str(path)) as it:
        until(lambda: set(planned(it)) == {"a"}, "the file's hearing")
        it.plan(soon("a", title=API))
        write(path, [soon("a", title="file again"), soon("b")])
        until(lambda: set(planned(it)) == {"a", "b"}, "the file is read again")
        assert planned(it)["a"].title == API


class Office:
    """An office's calendar on a real server with a certificate of its own authority."""

    def __init__(self, base: Path) -> None:
        self.authority = Authority(base / "office", "Office")
        self.body = as_calendar(CALENDAR)
        self.status = 200

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/calendar.ics", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        pair = self.authority.issue("server", address="127.0.0.1")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.certificate, pair.key)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}/calendar.ics?token=hidden"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, body=self.body, content_type="text/calendar")


async def test_a_calendar_is_read_over_tls_and_again_only_when_it_says_something_else(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        source = CalendarSource(office.url, office.authority.roots)
        first = await source.read(NOW_US)
        assert first is not None
        assert len(first.hearings) == 3
        assert await source.read(NOW_US) is None
        assert await source.read(NOW_US + 48 * HOUR_US) is not None
        office.body = as_calendar(CALENDAR.replace("almaty-4", "almaty-5"))
        changed = await source.read(NOW_US + 48 * HOUR_US)
        assert changed is not None
        assert {one.room for one in changed.hearings} >= {"almaty-5"}


async def test_a_calendar_that_is_away_or_of_a_stranger_is_an_error_that_tells_no_secret(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        stranger = Authority(tmp_path / "stranger", "Stranger")
        with pytest.raises(SourceError, match="cannot be reached") as wrong:
            await CalendarSource(office.url, stranger.roots).read(NOW_US)
        office.status = 302
        with pytest.raises(SourceError, match="302") as moved:
            await CalendarSource(office.url, office.authority.roots).read(NOW_US)
    assert "hidden" not in f"{wrong.value} {moved.value}"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source": "file"}, "source_at"),
        ({"source": "ical", "source_at": "http://calendar.example/c.ics"}, "https"),
        ({"source": "file", "source_at": "https://x/"}, "a path"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused_at_the_start(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    it = Centre(tmp_path)
    config = it.home.root / "centre.toml"
    text = config.read_text(encoding="utf-8")
    for name, value in settings.items():
        text = "\n".join(f'{name} = "{value}"' if line.startswith(f"{name} =") else line for line in text.splitlines())
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says):
        it.home.settings()
