"""The agent's file in a thread of its own: a disk that stalls stops what waits for it, and nothing else.

All calls are carried out one after the other, in the order in which they were made; each sees what the one before left.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from agent.hearing import Facts, Session
from agent.outbox import Stamp
from agent.schedule import Schedule
from agent.store import Store
from agent.store_file import Reserve
from agent.turn import Outcome

Answer = TypeVar("Answer")


class StoreThread:
    """A ``Store``; made by ``open``."""

    def __init__(self, store: Store, executor: ThreadPoolExecutor) -> None:
        self._store = store
        self._executor = executor

    @classmethod
    async def open(cls, path: Path, room: str, stamp: Stamp, reserve: Reserve | None = None) -> Self:
        """Open the file.

        Raises:
            StoreError: another agent holds it.
        """
        executor = ThreadPoolExecutor(1, "agent-file")
        try:
            store = await asyncio.get_running_loop().run_in_executor(executor, Store, path, room, stamp, reserve)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(store, executor)

    async def do(self, work: Callable[[Store], Answer]) -> Answer:
        """Do something with the file; what returned is durable (but see ``trouble``)."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._store)

    async def apply(self, decide: Callable[[Facts, Schedule], Outcome], stamp: Stamp) -> Outcome:
        """Decide by the facts as they are, and keep what comes of it. Only then are its actions to be carried out.

        What ``decide`` raises is raised here, and changes nothing.
        """

        def work(store: Store) -> Outcome:
            outcome = decide(store.facts, store.schedule)
            if outcome.events or outcome.facts != store.facts:
                store.keep(outcome, stamp)
            return outcome

        return await self.do(work)

    @property
    def place(self) -> tuple[int, int]:
        """The schedule's offset and the last command that are durable: ``Follower``'s ``place``."""
        return self._store.place

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions as the room knows them now, for a look that waits for no disk; they are never changed in place."""
        return self._store.facts.sessions

    @property
    def now(self) -> tuple[Facts, Schedule]:
        """The facts and the schedule as memory holds them now, likewise."""
        return self._store.facts, self._store.schedule

    @property
    def trouble(self) -> str:
        """Why the file is not written, or the centre's schedule not taken, for the alarm; empty where both are."""
        return self._store.trouble or self._store.refused

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self.do(lambda store: store.close())
        self._executor.shutdown()
