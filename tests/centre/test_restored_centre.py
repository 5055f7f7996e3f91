"""A SQLite centre that was put back from a copy, or only begun again: what its rooms notice."""

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.schedule import Schedule, merge_feed, went_back
from agent.upstream import contract
from agent.upstream.centre.backend import now_utc_us
from agent.upstream.centre.decisions import new_run
from agent.upstream.centre.sqlite_backend import SqlitePlan
from tests.centre.test_backends import DAY_US, soon
from tests.lab.events import batch
from tests.lab.fronts import sqlite_fronts


async def test_a_room_gets_what_a_centre_that_was_restored_from_a_copy_gives_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "centre.sqlite", tmp_path / "copy"
    with sqlite_fronts(path) as (front, _):
        await front.registry.add_token("r", "a" * 64, now_utc_us() + DAY_US)
        await front.commands.give("r", contract.Refresh(number=0))
    shutil.copy(path, copy)
    with sqlite_fronts(path) as (front, _):
        for _ in range(3):
            known = await front.commands.give("r", contract.Refresh(number=0))
    shutil.copy(copy, path)
    # Numbers are milliseconds of the clock, and nobody restores a centre within a few of them.
    await asyncio.sleep(max(0.0, known + 1 - now_utc_us() / 1000) / 1000)
    with sqlite_fronts(path) as (front, _):
        given = await front.commands.give("r", contract.RunDiagnostics(number=0))
        assert await front.commands.after("r", known) == [contract.RunDiagnostics(number=given)]


async def restored(path: Path, copy: Path, told: int) -> None:
    """Put a copy in the centre's place, as nobody does within milliseconds of what rooms were told."""
    shutil.copy(copy, path)
    await asyncio.sleep(max(0.0, told + 1 - now_utc_us() / 1000) / 1000)


async def test_a_room_notices_a_copy_also_when_the_centre_planned_on_before_it_asked(tmp_path: Path) -> None:
    """What the centre forgot goes from the room as well, and what it planned since reaches it."""
    path, copy = tmp_path / "centre.sqlite", tmp_path / "copy"
    with sqlite_fronts(path) as (front, _):
        await front.plan.put([soon("a", "r")])
    shutil.copy(path, copy)
    with sqlite_fronts(path) as (front, _):
        await front.plan.put([soon("lost", "r")])
        room = merge_feed(Schedule(), await front.plan.feed("r", 0))
    await restored(path, copy, room.applied_offset)
    with sqlite_fronts(path) as (front, _):
        await front.plan.put([soon("b", "r")])
        feed = await front.plan.feed("r", room.applied_offset)
        assert went_back(room, feed)
        room = merge_feed(room, feed)
        for _ in range(2):
            feed = await front.plan.feed("r", room.applied_offset)
            assert not went_back(room, feed)
            room = merge_feed(room, feed)
        assert sorted(room.changes) == ["a", "b"]
        assert feed == contract.Feed(as_of=room.applied_offset)


async def test_a_room_notices_a_copy_where_no_hearing_was_planned_since(tmp_path: Path) -> None:
    """Its events since are gone: it tells them again."""
    path, copy = tmp_path / "centre.sqlite", tmp_path / "copy"
    with sqlite_fronts(path) as (front, _):
        await front.plan.put([soon("a", "r")])
        room = merge_feed(Schedule(), await front.plan.feed("r", 0))
        with contextlib.closing(sqlite3.connect(path)) as running, contextlib.closing(sqlite3.connect(copy)) as to:
            running.backup(to)
        assert isinstance(front.plan, SqlitePlan)
        while now_utc_us() // 1000 <= room.applied_offset:  # noqa: ASYNC110 - what changes is the clock
            await asyncio.sleep(0)
        await front.plan.count_on()
        feed = await front.plan.feed("r", room.applied_offset)
        assert not feed.changes
        assert feed.as_of > room.applied_offset
        room = merge_feed(room, feed)
    await restored(path, copy, room.applied_offset)
    with sqlite_fronts(path) as (front, _):
        feed = await front.plan.feed("r", room.applied_offset)
        assert went_back(room, feed)
        room = merge_feed(room, feed)
        assert sorted(room.changes) == ["a"]
        assert not went_back(room, await front.plan.feed("r", room.applied_offset))


async def test_a_centre_that_was_restored_before_it_told_any_room_of_a_number_does_not_take_what_follows_a_gap(tmp_path: Path) -> None:
    path, copy = tmp_path / "centre.sqlite", tmp_path / "copy"
    with sqlite_fronts(path) as (front, _):
        await front.events.put("r", batch("r", "e", 1, 2))
        known = await front.plan.feed("r", 0)
    shutil.copy(path, copy)
    with sqlite_fronts(path) as (front, _):
        assert (await front.events.put("r", batch("r", "e", 3, 4))).to == 4
    shutil.copy(copy, path)
    with sqlite_fronts(path) as (front, _):
        assert not went_back(merge_feed(Schedule(), known), await front.plan.feed("r", known.as_of))
        following = msgspec.structs.replace(batch("r", "e", 5), after=contract.Place(epoch="e", seq=4))
        assert await front.events.put("r", following) == contract.EventsTaken(epoch="e", to=2)
        await front.events.put("r", batch("r", "e", 3, 4))
        assert (await front.events.put("r", following)).to == 5


async def test_a_centre_that_was_only_begun_again_is_none_that_was_restored(tmp_path: Path) -> None:
    room = Schedule()
    for number in range(3):
        with sqlite_fronts(tmp_path / "centre.sqlite") as (front, _):
            for name in (f"a{number}", f"b{number}"):
                feed = await front.plan.feed("r", room.applied_offset)
                assert not went_back(room, feed)
                room = merge_feed(room, feed)
                await front.plan.put([soon(name, "r")])
    assert len(room.changes) == 5


async def test_a_centre_whose_disk_is_full_answers_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "centre.sqlite"
    with sqlite_fronts(path) as (front, _):
        await front.plan.put([soon("a", "r")])
        before = await front.plan.feed("r", 0)
    full = "CREATE TRIGGER full BEFORE UPDATE ON counter BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(full)
    with sqlite_fronts(path) as (front, _):
        assert await front.plan.feed("r", 0) == before
        assert await front.plan.feed("r", before.as_of) == contract.Feed(as_of=before.as_of)


@given(found=st.integers(0, 2**43), last=st.integers(0, 2**43), began_us=st.integers(0, 2**53), now_us=st.integers(0, 2**53))
def test_no_number_that_a_run_gives_or_found_is_one_of_a_lost_run(found: int, last: int, began_us: int, now_us: int) -> None:
    run = new_run(found, began_us)
    assert not run.is_of_a_lost_one(found)
    assert not run.is_of_a_lost_one(run.begins)
    assert not run.is_of_a_lost_one(run.next_offset(last, now_us))
    assert run.next_offset(last, now_us) > last
