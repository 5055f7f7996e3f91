"""Rooms that tell things to fronts while servers and fronts die, and what must be true then: nothing acknowledged is lost or doubled."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agent.upstream import contract
from agent.upstream.centre.backend import AwayError, Backend, now_utc_us
from recorder.record.checkpoint import Receipt
from tests.lab.events import batch, hearing

DAY_US = 86_400 * 1_000_000
Front = Callable[[], Backend]


@dataclass
class LoadedRoom:
    """A room, and what was acknowledged to it."""

    name: str
    epoch: str = field(default_factory=lambda: str(uuid.uuid4()))
    record: str = field(default_factory=lambda: str(uuid.uuid4()))
    events: int = 0
    receipts: list[Receipt] = field(default_factory=list)
    commands: list[int] = field(default_factory=list)
    version: int = 0
    answers: int = 0
    refusals: int = 0

    async def run(self, front: Front, until: asyncio.Event) -> None:
        """Tell things until it is enough; what was not acknowledged is sent again, cut otherwise."""
        while not until.is_set():
            for tell in (self._tell_events, self._tell_events, self._beat, self._plan, self._command):
                try:
                    await tell(front())
                    self.answers += 1
                except AwayError:
                    self.refusals += 1
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.01)
        while True:
            try:
                await self._plan(front())
                await self._tell_events(front())
                return
            except AwayError:
                await asyncio.sleep(0.2)

    async def _tell_events(self, front: Backend) -> None:
        seqs = range(self.events + 1, self.events + random.randint(2, 30))
        self.events = (await front.events.put(self.name, batch(self.name, self.epoch, *seqs))).to

    async def _beat(self, front: Backend) -> None:
        at = self.receipts[-1].at + 1 if self.receipts else 1
        self.receipts.append(await front.ledger.countersign(self.name, contract.Head(record=self.record, at=at, sha256=f"{at:064x}")))

    async def _plan(self, front: Backend) -> None:
        planned = hearing(f"h-{self.name}", self.name, starts_utc_us=now_utc_us() // DAY_US * DAY_US + DAY_US, title=str(self.version + 1))
        await front.plan.put([planned])
        self.version += 1

    async def _command(self, front: Backend) -> None:
        if len(self.commands) < 20:
            self.commands.append(await front.commands.give(self.name, contract.RunDiagnostics(number=0)))


async def check(front: Backend, rooms: Sequence[LoadedRoom]) -> None:
    """See that everything acknowledged is there once, in order."""
    taken: list[contract.TakenEvent] = []
    while read := await front.events.after(taken[-1].number if taken else 0, 1000):
        taken += read
    numbers = [each.number for each in taken]
    assert numbers == sorted(set(numbers))
    receipts: list[Receipt] = []
    while signed := await front.ledger.after(receipts[-1].counter if receipts else 0, 1000):
        receipts += signed
    assert [receipt.counter for receipt in receipts] == list(range(1, len(receipts) + 1))
    for room in rooms:
        assert [each.event.seq for each in taken if each.event.epoch == room.epoch] == list(range(1, room.events + 1)), room.name
        of_record = await front.ledger.of_record(room.record)
        assert [receipt.at for receipt in of_record] == list(range(1, len(of_record) + 1))
        assert list(of_record)[: len(room.receipts)] == room.receipts
        assert set(room.commands) <= {command.number for command in await front.commands.after(room.name, 0)}
        snapshot = (await front.plan.feed(room.name, 0)).snapshot
        assert snapshot is not None
        assert [each.title for each in snapshot.hearings] == [str(room.version)]


async def load(fronts: Sequence[Backend], disturb: Callable[[], Awaitable[None]], rooms: int = 6) -> list[LoadedRoom]:
    """Rooms that tell things, each time to another front, while ``disturb`` runs."""
    until, some = asyncio.Event(), [LoadedRoom(f"room-{number}") for number in range(rooms)]
    tasks = [asyncio.create_task(room.run(lambda: random.choice(list(fronts)), until)) for room in some]
    try:
        await disturb()
        until.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return some
