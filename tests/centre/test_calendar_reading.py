"""What a calendar says becomes hearings: none is lost, each stays the same one, and what cannot be read holds up no other."""

import asyncio
import datetime as dt
import os
from pathlib import Path

import pytest

from agent.upstream.centre.calendar_reading import parse
from agent.upstream.centre.source import Reading, SourceError, adjourned
from agent.upstream.centre.source_calendar import CalendarSource
from tests.lab.events import hearing
from tests.lab.waiting import until as lab_until

NOW_US = int(dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC).timestamp()) * 1_000_000
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


GOOD = """BEGIN:VEVENT
UID:good-{}
DTSTART:20261202T040000Z
DTEND:20261202T050000Z
LOCATION:almaty-4
END:VEVENT
"""
HOSTILE = {
    "secondly": "DTSTART:19700101T000000Z\nDTEND:19700101T000001Z\nRRULE:FREQ=SECONDLY",
    "minutely": "DTSTART:19700101T000000Z\nDTEND:19700101T000001Z\nRRULE:FREQ=MINUTELY",
    "interval-0": "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;INTERVAL=0",
    "interval--1": "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;INTERVAL=-1",
    "each-second-by-hours": "DTSTART:00010101T000000Z\nDURATION:PT1S\nRRULE:FREQ=HOURLY;BYMINUTE=" + ",".join(map(str, range(60))),
    "too-long": "DTSTART:20261201T000000Z\nDURATION:P9999999D",
    "longer": "DTSTART:20261201T000000Z\nDURATION:P99999999999D",
    "no-begin": "DTEND:20261201T000000Z",
    "a-begin-that-is-none": "DTSTART:hello",
    "no-such-day": "DTSTART:20261341T000000Z",
    "a-rule-that-is-none": "DTSTART:20261201T000000Z\nDTEND:20261201T010000Z\nRRULE:FREQ=FOO",
    "endless-count": "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=99999999999999999999",
    "two-organizers": "DTSTART:20261201T000000Z\nDURATION:PT1H\nORGANIZER:a\nORGANIZER:b",
    "two-places": "DTSTART:20261201T000000Z\nDURATION:PT1H\nLOCATION:b",
    "a-long-period": "DTSTART:20260101T000000Z\nRDATE;VALUE=PERIOD:20260101T000000Z/P99999999999D",
}
AS_WELL = {
    "a-sequence-that-is-no-number": "DTSTART:20261201T000000Z\nDURATION:PT1H\nSEQUENCE:abc",
    "a-day-that-is-never": "DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "the-first-year": "DTSTART:00010101T000000Z\nDTEND:00010101T010000Z",
    "the-last-year": "DTSTART:99991231T235959Z\nDTEND:99991231T235959Z",
}


async def test_what_one_event_says_holds_up_no_other(tmp_path: Path) -> None:
    bad = [f"BEGIN:VEVENT\nUID:{name}\nLOCATION:almaty-3\n{lines}\nEND:VEVENT\n" for name, lines in (HOSTILE | AS_WELL).items()]
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{GOOD.format(1)}{''.join(bad)}{GOOD.format(2)}END:VCALENDAR\n"
    (tmp_path / "c.ics").write_bytes(as_calendar(text))
    async with asyncio.timeout(60):
        reading = await CalendarSource(str(tmp_path / "c.ics")).read(NOW_US)
    assert reading is not None
    assert {"good-1", "good-2"} <= {one.id for one in reading.hearings} <= {"good-1", "good-2", *AS_WELL}
    assert set(reading.refused) == set(HOSTILE)


async def test_who_stops_a_reading_ends_its_process(tmp_path: Path) -> None:
    each = "UID:s{}\nDTSTART:00010101T000000Z\nDURATION:PT1S\nRRULE:FREQ=HOURLY;BYMINUTE=" + ",".join(map(str, range(60)))
    events = "".join(f"BEGIN:VEVENT\n{each.format(number)}\nEND:VEVENT\n" for number in range(20))
    (tmp_path / "c.ics").write_bytes(as_calendar(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{events}END:VCALENDAR\n"))

    def processes() -> list[str]:
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

    others = set(processes())
    task = asyncio.create_task(CalendarSource(str(tmp_path / "c.ics")).read(NOW_US))
    await lab_until(lambda: set(processes()) > others, "the process")
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert set(processes()) <= others


def test_an_event_outside_of_the_span_is_elsewhere_and_a_moved_occurrence_too() -> None:
    text = CALENDAR.replace("TZID=Asia/Almaty:202612", "TZID=Asia/Almaty:202706").replace("DTSTART:20261209T06", "DTSTART:20270309T06")
    reading = parse(as_calendar(text), NOW_US)
    moved = {name.rpartition("/")[2]: one for name, one in reading.elsewhere.items()}
    assert set(moved) == {"7599-26-00-2-1", "20261209T0400"}
    assert adjourned(reading, [hearing("7599-26-00-2-1", "almaty-3")]) == [moved["7599-26-00-2-1"]]


def occurrences(*events: str) -> tuple[dict[str, str], Reading]:
    """The hearings of some events (begin by id), and the whole reading."""
    body = "".join(f"BEGIN:VEVENT\nDTSTAMP:20261127T000000Z\n{event}\nLOCATION:almaty-4\nEND:VEVENT\n" for event in events)
    reading = parse(as_calendar(f"BEGIN:VCALENDAR\nVERSION:2.0\n{body}END:VCALENDAR\n"), NOW_US)
    zone = dt.timezone(dt.timedelta(hours=5))
    return {one.id: f"{dt.datetime.fromtimestamp(one.starts_utc_us / 1e6, zone):%m-%d %H:%M}" for one in reading.hearings}, reading


ALMATY = ";TZID=Asia/Almaty"


def test_a_series_that_is_moved_from_one_occurrence_on_loses_none_and_each_stays_the_same_hearing() -> None:
    """Section 3.8.4.4, RANGE; one of those that moved is moved once more by itself."""
    series = f"UID:w\nDTSTART{ALMATY}:20261201T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=6"
    moved = f"UID:w\nRECURRENCE-ID;RANGE=THISANDFUTURE{ALMATY}:20261208T090000\nDTSTART{ALMATY}:20261209T110000\nDURATION:PT1H"
    again = f"UID:w\nRECURRENCE-ID{ALMATY}:20261222T090000\nDTSTART{ALMATY}:20261224T150000\nDURATION:PT1H"
    assert occurrences(series, moved, again)[0] == {
        "w/20261201T0900": "12-01 09:00", "w/20261208T0900": "12-09 11:00", "w/20261215T0900": "12-16 11:00",
        "w/20261222T0900": "12-24 15:00", "w/20261229T0900": "12-30 11:00", "w/20270105T0900": "01-06 11:00",
    }  # fmt: skip


def test_invitations_to_single_occurrences_are_hearings_each() -> None:
    first, second = (f"UID:i\nRECURRENCE-ID:202612{day}T040000Z\nDTSTART:202612{day}T050000Z\nDURATION:PT1H" for day in ("08", "15"))
    assert occurrences(first, second)[0] == {"i/20261208T0400": "12-08 10:00", "i/20261215T0400": "12-15 10:00"}


def test_an_event_without_a_uid_is_refused_with_its_time_and_room() -> None:
    found, reading = occurrences("DTSTART:20261208T040000Z\nDURATION:PT1H", "DTSTART:20261209T040000Z\nDURATION:PT1H")
    assert found == {}
    first, second = reading.refused.values()
    assert "2026-12-08 04:00" in first
    assert "'almaty-4' has no UID" in second


def test_the_newer_version_of_an_event_counts_wherever_it_is_adjourned_to() -> None:
    old, new = "UID:a\nDTSTART:20261208T040000Z\nDURATION:PT1H", "UID:a\nSEQUENCE:1\nDTSTART:20270608T040000Z\nDURATION:PT1H"
    for events in ((old, new), (new, old)):
        found, reading = occurrences(*events)
        assert (found, reading.refused) == ({}, {})
        later = reading.elsewhere["a"]
        assert later is not None
        assert later.starts_utc_us == utc_us("2027-06-08T04:00+00:00")


def test_two_hearings_with_one_uid_are_refused_and_neither_is_lost_without_a_word() -> None:
    found, reading = occurrences(*(f"UID:a\nDTSTART:202612{day}T040000Z\nDURATION:PT1H" for day in ("08", "09")))
    assert found == {}
    assert "a UID of its own" in reading.refused["a"]


def test_an_event_without_an_end_is_told_to_give_one() -> None:
    assert "give DTEND or DURATION" in occurrences("UID:a\nDTSTART:20261208T040000Z")[1].refused["a"]
