"""A room that has all is answered at once, and one that has not is never kept waiting for what is there."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream import contract
from agent.upstream.centre.newest import Newest
from agent.upstream.centre.sqlite_backend import sqlite_backend
from tests.centre.test_backends import soon
from tests.lab.fronts import CERTIFICATE, sign

ROOMS = st.sampled_from(["r1", "r2"])
NUMBERS = st.integers(1, 5)


async def test_a_room_that_has_all_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    backend, database = sqlite_backend(tmp_path / "centre.sqlite", sign, CERTIFICATE)
    at = (await backend.plan.put([soon("a", "r1"), soon("b", "r2")])).offset
    command = await backend.commands.give("r1", contract.Refresh(number=0))
    assert [one.number for one in await backend.commands.after("r1", 0)] == [command]
    assert (await backend.plan.feed("r1", 0)).as_of == at
    writing, written = threading.Event(), threading.Event()

    def write(_: sqlite3.Connection) -> None:
        writing.set()
        written.wait()

    busy = asyncio.create_task(database.do(write))
    try:
        assert await asyncio.to_thread(writing.wait, 5)
        async with asyncio.timeout(5):
            for room in ("r1", "r2", "r3"):
                assert await backend.plan.feed(room, at) == contract.Feed(as_of=at)
                assert await backend.commands.after(room, command) == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await backend.plan.feed("r2", at - 1)
    finally:
        written.set()
        await busy
    assert [change.hearing.id for change in (await backend.plan.feed("r2", at - 1)).changes] == ["b"]
    database.close()


@given(st.dictionaries(ROOMS, NUMBERS), st.lists(st.tuples(ROOMS, NUMBERS)), ROOMS, NUMBERS)
def test_what_is_newer_is_known_in_whatever_order_it_is_noted(
    read: dict[str, int], noted: list[tuple[str, int]], room: str, number: int
) -> None:
    newest = Newest()
    newest.note(room, number)
    assert not newest.has_all(room, number), "before the file was read nobody knows"
    newest.read(read.items())
    for one in noted:
        newest.note(*one)
    assert newest.has_all(room, number) == all(number >= each for name, each in [*read.items(), *noted] if name == room)
