"""Which head of a record a heartbeat tells: the running record's, and in turn the last heads of those that ended without a receipt for it.

Only what the centre countersigned binds whoever holds the room's key. So the last head of each record stays in its session's facts until
the centre's receipt for it is stored beside the record, also where the room was offline for days and ended many, or the agent was started
anew.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from agent.hearing import Session
from agent.upstream import contract
from agent.upstream.client import RefusedError
from agent.upstream.heart import is_receipt_for

log = structlog.get_logger()

MOST_TRIES = 5
"""One answer would do, for a contradiction stays one; a centre that is mended meanwhile is given a few more."""


class FinalHeads:
    """Chooses the head of each heartbeat, and remembers what the centre made of it until the agent ends.

    A head that was given up is told again by the next agent: what was wrong may have been the centre.
    """

    def __init__(self) -> None:
        self._told: contract.Head | None = None
        """The final head that the last heartbeat told."""
        self._suspect: contract.Head | None = None
        """The final head with which a heartbeat was refused: by the next one, without it, is seen whether that was the reason."""
        self._tries: dict[str, int] = {}
        self._signed: set[str] = set()
        """Records whose receipt has come, and is not stored yet."""

    @property
    def tells_final(self) -> bool:
        """Whether the last heartbeat told a final head."""
        return self._told is not None

    def choose(self, sessions: Mapping[str, Session], running: contract.Head | None) -> contract.Head | None:
        """The head for the next heartbeat: of two with a running record one at least is its own, and the others' turns are equal."""
        waiting = {session.session: session for session in sessions.values() if session.final_head is not None}
        self._tries = {record: tries for record, tries in self._tries.items() if record in waiting}
        self._signed &= waiting.keys()
        if running is not None and running.record in sessions and sessions[running.record].state in {"sealed", "delivered"}:
            running = None  # the recorder's state is older than its end: a head before its last one would be a contradiction
        due = [session for id_, session in waiting.items() if id_ not in self._signed and self._tries.get(id_, 0) < MOST_TRIES]
        is_its_turn = self._suspect is None and (running is None or self._told is None)
        if not due or not is_its_turn:
            self._told = None
            return running
        self._told = min(due, key=lambda session: (self._tries.get(session.session, 0), session.number)).final_head
        return self._told

    def answered(self, *, is_signed: bool) -> None:
        """The last heartbeat was answered, with the receipt for its head or without one."""
        if self._suspect is not None:
            self._tried(self._suspect)
            self._suspect = None
        elif self._told is not None and is_signed:
            self._signed.add(self._told.record)
        elif self._told is not None:
            self._tried(self._told)

    def refused(self) -> None:
        """The last heartbeat was refused: for its head, or as any other of this room would be."""
        self._suspect = self._told

    def _tried(self, head: contract.Head) -> None:
        tries = self._tries[head.record] = self._tries.get(head.record, 0) + 1
        if tries == MOST_TRIES:
            log.error(
                "the centre gives no receipt for the last head of a record: it is not told again until the agent is started anew",
                record=head.record, at=head.at,
            )  # fmt: skip


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """Say that the room is there."""
        ...


class HeadsTold:
    """Passes heartbeats on, and tells what the centre made of the head in each."""

    def __init__(self, centre: Centre, heads: FinalHeads, room: str) -> None:
        self._centre = centre
        self._heads = heads
        self._room = room

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """As the centre's own.

        Raises:
            UpstreamError: as there.
            RefusedError: as there.
        """
        try:
            taken = await self._centre.beat(heartbeat)
        except RefusedError:
            self._heads.refused()
            raise
        self._heads.answered(is_signed=taken.receipt is not None and is_receipt_for(taken.receipt, self._room, heartbeat.head))
        return taken
