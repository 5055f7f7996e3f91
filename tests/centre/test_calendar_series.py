"""Series, single invitations and versions of a calendar's events: none is lost, and each stays the same hearing."""

import datetime as dt

from agent.upstream.centre.calendar_reading import parse
from agent.upstream.centre.source import Reading
from tests.centre.test_source import NOW_US, as_calendar, utc_us


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
