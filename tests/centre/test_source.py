"""Schedules that are read from a file or a calendar: what is new, changed or gone there reaches the rooms; what is doubtful does not."""

import asyncio
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
from structlog.testing import capture_logs

from agent.upstream import contract
from agent.upstream.centre.backend import API
from agent.upstream.centre.settings import SettingsError
from agent.upstream.centre.source import FEW, Reading, SourceError, SourceFollower, believable, vanished
from agent.upstream.centre.source_calendar import CalendarSource
from agent.upstream.centre.source_file import FileSource
from tests.centre.test_calendar_reading import CALENDAR, NOW_US, as_calendar
from tests.lab.centre import Centre, centre
from tests.lab.events import hearing
from tests.lab.fronts import sqlite_fronts
from tests.lab.tls import Authority

HOUR_US = 3_600_000_000


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
        assert len(expected) > max(FEW, known // 2) or not (min(left, known) or refused)
    else:
        assert {one.id for one in gone} == expected
        assert {one.state for one in gone} <= {"cancelled"}
        assert len(gone) <= max(FEW, known // 2)
        assert not gone or reading.hearings or reading.refused


def test_an_empty_source_cancels_nothing_however_few_were_planned() -> None:
    with pytest.raises(SourceError, match="none of them is cancelled"):
        vanished(Reading([]), [hearing("only", "r", starts_utc_us=NOW_US)])


def test_a_series_that_is_refused_keeps_the_occurrences_that_were_planned() -> None:
    series = hearing("weekly/20261202T0400", "r", starts_utc_us=NOW_US)
    assert vanished(Reading([hearing("other", "r")], {"weekly": "why"}), [series]) == []


DAY_US = 24 * HOUR_US


@pytest.mark.parametrize("days", [90, -30])
async def test_a_hearing_that_is_adjourned_out_of_the_span_is_carried_over_and_not_cancelled(tmp_path: Path, days: int) -> None:
    path, now_us = tmp_path / "hearings.json", time.time_ns() // 1000
    with sqlite_fronts(tmp_path / "centre.sqlite") as (front, _):
        follower = SourceFollower(FileSource(path), front.plan)
        write(path, [soon("a"), soon("b")])
        await follower.step()
        then_us = now_us + days * DAY_US
        write(path, [soon("a"), hearing("b", "room-1", starts_utc_us=then_us)])
        await follower.step()
        kept = {change.hearing.id: change.hearing for change in await front.plan.after(0, 10)}
    assert (kept["b"].state, kept["b"].starts_utc_us) == ("planned", then_us)
    assert kept["a"].state == "planned"


async def test_a_hearing_of_a_file_is_planned_on_the_day_on_which_it_comes_near(tmp_path: Path) -> None:
    path = tmp_path / "hearings.json"
    write(path, [hearing("far", "r", starts_utc_us=NOW_US + 70 * DAY_US)])
    source = FileSource(path)
    first, same, later = [await source.read(NOW_US + days * DAY_US) for days in (0, 0, 20)]
    assert first is not None
    assert (list(first.hearings), set(first.elsewhere), same) == ([], {"far"}, None)
    assert later is not None
    assert [one.id for one in later.hearings] == ["far"]


async def test_a_hearing_of_a_file_whose_times_are_in_seconds_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "hearings.json"
    write(path, [hearing("seconds", "r", starts_utc_us=NOW_US // 1_000_000), hearing("good", "r", starts_utc_us=NOW_US)])
    found = await FileSource(path).read(NOW_US)
    assert found is not None
    assert [one.id for one in found.hearings] == ["good"]
    assert "microseconds" in found.refused["seconds"]


async def test_what_the_source_says_in_vain_of_a_hearing_that_was_put_by_hand_is_told_once(tmp_path: Path) -> None:
    path, at = tmp_path / "hearings.json", soon("a")
    with sqlite_fronts(tmp_path / "centre.sqlite") as (front, _), capture_logs() as logs:
        follower = SourceFollower(FileSource(path), front.plan)
        write(path, [at, soon("b")])
        await follower.step()
        await front.plan.put([msgspec.structs.replace(at, state="cancelled")])
        for title in ("x", "y"):
            write(path, [at, soon("b", title=title)])
            await follower.step()
        kept = {change.hearing.id: change.hearing for change in await front.plan.after(0, 10)}
    assert kept["a"].state == "cancelled"
    assert [line["hearings"] for line in logs if "not taken" in line["event"]] == [["a"]]


async def test_a_hearing_that_vanishes_after_its_beginning_stays_planned_and_is_told_and_one_that_is_adjourned_moves(
    tmp_path: Path,
) -> None:
    path, now_us = tmp_path / "hearings.json", time.time_ns() // 1000
    begun = [hearing(name, "r", starts_utc_us=now_us - HOUR_US // 12) for name in ("gone", "moved")]
    with sqlite_fronts(tmp_path / "centre.sqlite") as (front, _), capture_logs() as logs:
        follower = SourceFollower(FileSource(path), front.plan)
        write(path, [soon("a"), *begun])
        await follower.step()
        for title in ("x", "y"):
            write(path, [soon("a", title=title), hearing("moved", "r", starts_utc_us=now_us + 90 * DAY_US)])
            await follower.step()
        kept = {change.hearing.id: change.hearing for change in await front.plan.after(0, 10)}
    assert (kept["gone"].state, kept["moved"].starts_utc_us) == ("planned", now_us + 90 * DAY_US)
    assert [line["hearings"] for line in logs if "stay planned" in line["event"]] == [["gone"]]


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
