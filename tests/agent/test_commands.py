"""Each command of the centre is answered, whatever becomes of it, and none of them ends the link to the centre."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from agent.clock_quality import ClockWatch
from agent.commands import Commands
from agent.conduct import Conductor
from agent.room_process import RoomProcess
from agent.upstream import contract
from agent.upstream.follow import Follower
from tests.agent.disks import full_disk
from tests.agent.plans import DAY, at
from tests.agent.test_conduct import CONFIG
from tests.lab.room import TEST_DEVICES


class Room:
    """A room's file and its commands; nothing else of it is there."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.process = RoomProcess(CONFIG, base, ClockWatch())
        self.conductor = create_autospec(Conductor, instance=True)
        self.follower = create_autospec(Follower, instance=True)
        self.answered = asyncio.Event()
        self.process.on_events.append(self.answered.set)

    async def take(self, *commands: contract.AnyCommand) -> None:
        """What a long poll brings."""
        await self.process.store.do(lambda store: store.take_feed(contract.Feed(as_of=1, commands=list(commands)), at(DAY)))

    @asynccontextmanager
    async def linked(self) -> AsyncIterator[asyncio.Task[None]]:
        """The commands' loop, as long as a link to the centre is in use."""
        commands = Commands(self.process, self.conductor, self.follower, self.base, None)
        running = asyncio.create_task(commands.run())
        try:
            yield running
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def answers(self, number: int) -> list[contract.CommandDone]:
        """Once there are so many."""
        async with asyncio.timeout(20):
            while True:
                self.answered.clear()
                batch = await self.process.store.do(lambda store: store.change(lambda outbox: outbox.batch(), at(DAY)))
                told = [event.data for event in batch.events if isinstance(event.data, contract.CommandDone)] if batch else []
                if len(told) >= number:
                    return told
                await self.answered.wait()


@asynccontextmanager
async def room(base: Path, file: str = "agent.db") -> AsyncIterator[Room]:
    made = Room(base)
    await made.process.open(base / file)
    try:
        yield made
    finally:
        await made.process.store.close()


async def test_a_command_that_a_new_link_to_the_centre_broke_off_is_answered_at_once_and_not_carried_out_again(tmp_path: Path) -> None:
    async with room(tmp_path) as it:
        begun = asyncio.Event()

        async def checks(_hearing: str, _why: str) -> list[object]:
            begun.set()
            await asyncio.Event().wait()
            pytest.fail("it is broken off")

        it.conductor.check.side_effect = checks
        await it.take(contract.RunDiagnostics(number=1), contract.Refresh(number=2))
        async with it.linked():
            await asyncio.wait_for(begun.wait(), 20)
        async with it.linked():
            first, second = await it.answers(2)
        assert (first.number, first.ok, second.number, second.ok) == (1, False, 2, True)
        assert "link to the centre was begun anew" in first.detail
        assert it.conductor.check.call_count == 1


async def test_without_a_file_that_can_be_written_each_command_is_refused_and_none_carried_out(tmp_path: Path) -> None:
    async with room(tmp_path, "no such folder/agent.db") as it:
        await it.take(contract.RunDiagnostics(number=1), contract.Refresh(number=2))
        async with it.linked():
            answers = await it.answers(2)
        assert [(answer.number, answer.ok) for answer in answers] == [(1, False), (2, False)]
        assert "the agent's file cannot be opened" in answers[0].detail
        assert not it.conductor.check.called
        assert not it.follower.begin_anew.called


async def test_an_answer_that_a_full_disk_does_not_take_is_told_once_when_there_is_room_and_is_no_other_one(tmp_path: Path) -> None:
    async with room(tmp_path) as it:
        await it.take(contract.Refresh(number=1))
        await it.process.store.do(lambda store: store.begin_command(at(DAY)))
        done = contract.CommandDone(number=1, ok=True, detail="the whole schedule is asked for")
        with full_disk():
            await it.process.store.do(lambda store: store.end_command(done, at(DAY)))
            assert not await it.process.store.do(lambda store: store.end_broken_off("nobody is there", at(DAY)))
        await it.process.store.do(lambda store: store.write(at(DAY)))
        async with it.linked():
            assert await it.answers(1) == [done]
    async with room(tmp_path) as it, it.linked():
        assert await it.answers(1) == [done]


def configure(toml: str, number: int = 1) -> contract.Configure:
    return contract.Configure(number=number, toml=toml, sha256=hashlib.sha256(toml.encode()).hexdigest())


def laid_down(base: Path) -> list[Path]:
    return list(base.glob("*.toml*"))


async def test_a_configuration_that_a_full_disk_does_not_take_is_answered_and_leaves_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with room(tmp_path) as it:
        await it.take(configure("[room]"), contract.Refresh(number=2))
        monkeypatch.setattr(os, "fsync", full)
        async with it.linked() as link:
            first, second = await it.answers(2)
            assert not link.done()
        assert (first.number, first.ok, second.number, second.ok) == (1, False, 2, True)
        assert os.strerror(errno.ENOSPC) in first.detail
        assert not laid_down(tmp_path)


ANOTHERS = (
    '[room]\nid = "another"\ncourt = "C"\n[storage]\nprimary = "/r"\n[signing]\nkind = "file"\nkey = "/k"\nchain = "/c"\n' + TEST_DEVICES
)


@pytest.mark.parametrize(("toml", "why"), [("[room", "room.toml"), (ANOTHERS, "is of room 'another'")])
async def test_a_configuration_that_is_not_this_rooms_is_answered_and_leaves_nothing_there(tmp_path: Path, toml: str, why: str) -> None:
    async with room(tmp_path) as it:
        await it.take(configure(toml))
        async with it.linked():
            (answer,) = await it.answers(1)
        assert not answer.ok
        assert why in answer.detail
        assert not laid_down(tmp_path)


async def test_a_command_that_fails_as_nobody_foresaw_is_answered_and_the_next_one_is_carried_out(tmp_path: Path) -> None:
    async with room(tmp_path) as it:
        it.conductor.check.side_effect = RuntimeError("x" * 5_000)
        await it.take(contract.RunDiagnostics(number=1), contract.Refresh(number=2))
        async with it.linked() as link:
            first, second = await it.answers(2)
            assert not link.done()
        assert (first.ok, second.ok) == (False, True)
        assert len(first.detail) < 2_000
