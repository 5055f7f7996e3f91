"""What a centre must keep, as interfaces: the front (``front.py``) knows these alone, so that any number of fronts may share one keeper.

``sqlite_backend.py`` is one process on one file. Whatever a method has answered is durable. Notices wake those who wait for news; a notice
may come twice or for nothing, and is never lost.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from agent.upstream import contract, transfer
from recorder.record.checkpoint import Receipt


class ConflictError(Exception):
    """What was asked contradicts what is kept; the message says how."""


class EventLog(Protocol):
    """The rooms' events, each once, in the order in which they were taken."""

    async def put(self, room: str, batch: contract.EventBatch) -> contract.EventsTaken:
        """Keep what is new of a batch; events are known by ``(room, epoch, seq)``."""
        ...

    async def after(self, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Events behind this number."""
        ...


class Plan(Protocol):
    """The schedule: of each hearing its last change, and the rooms that it is or was in."""

    async def put(self, hearings: Sequence[contract.Hearing]) -> transfer.Offset:
        """Take hearings as they are now; one that is as it was is no change."""
        ...

    async def feed(self, room: str, after: int) -> contract.Feed:
        """What a room must know: changes behind an offset, or everything where it knows nothing (``after`` 0)."""
        ...

    async def after(self, offset: int) -> Sequence[contract.Change]:
        """All rooms' hearings that changed behind an offset, in the order of their changes."""
        ...


class Ledger(Protocol):
    """The receipts for the heads of records' chains."""

    async def countersign(self, room: str, head: contract.Head) -> Receipt:
        """The receipt for a head; the one that was given before, where the very same head comes again.

        Raises:
            ConflictError: the room said otherwise of this record before: its chain was changed or went back.
        """
        ...

    async def after(self, counter: int, most: int) -> Sequence[Receipt]:
        """Receipts behind a counter."""
        ...

    async def of_record(self, record: str) -> Sequence[Receipt]:
        """All receipts of a record."""
        ...


class Commands(Protocol):
    """What rooms are asked to do, each with a number that rises."""

    async def give(self, room: str, command: contract.AnyCommand) -> int:
        """Keep a command for a room; returns its number."""
        ...

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        ...


class Registry(Protocol):
    """Rooms, their tokens and certificates."""

    async def add_token(self, room: str, secret_sha256: str, until_utc_us: int) -> None:
        """A token's secret, by its hash, good once until then."""
        ...

    async def use_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Use a token up.

        Raises:
            ConflictError: it is not good for this room, not any more, or was used.
        """
        ...

    async def issued(self, serial: int, name: str, until_utc_us: int, pem: str) -> None:
        """A certificate was issued."""
        ...

    async def revoke(self, name: str, now_utc_us: int) -> Sequence[int]:
        """Deny all certificates that were issued to this name; returns their serial numbers."""
        ...

    async def is_revoked(self, serial: int) -> bool:
        """Whether a certificate is denied."""
        ...

    async def revoked(self) -> Sequence[tuple[int, int]]:
        """All denied certificates: serial number, and when."""
        ...

    async def heard(self, room: str, heartbeat: contract.Heartbeat, utc_us: int) -> None:
        """A room's heartbeat; it need not be durable."""
        ...

    async def rooms(self) -> Sequence[contract.RoomState]:
        """All rooms that were ever named by a token, a certificate or a hearing."""
        ...


class News(Protocol):
    """Wakes those who wait: the event is set when something new is there; who waits clears it before he looks."""

    def room(self, room: str) -> AbstractContextManager[asyncio.Event]:
        """News for a room: changes of its schedule, commands."""
        ...

    def events(self) -> AbstractContextManager[asyncio.Event]:
        """Events were taken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything that the front needs."""

    events: EventLog
    plan: Plan
    ledger: Ledger
    commands: Commands
    registry: Registry
    news: News
