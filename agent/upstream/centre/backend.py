"""What a centre must keep, as interfaces: the front (``front.py``) knows these alone, so that any number of fronts may share one keeper.

``sqlite_backend.py`` is one process on one file; ``nats_backend.py`` is any number of processes over NATS JetStream. Whatever a method has
answered is durable. Notices wake those who wait for news; a notice may come twice or for nothing, and is never lost. Any method may raise
``AwayError``.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from agent.upstream import contract, transfer
from recorder.record.checkpoint import Receipt

API = "api"
"""The source of hearings that the case system puts itself: what it says counts before any source that is read."""
NOTABLE = (contract.SessionStarted, contract.SessionEnded, contract.SessionBound, contract.Reconciled)
"""What flags are computed from (``flags.py``)."""
SNAPSHOT_BACK_US = 8 * 86_400 * 1_000_000
"""Hearings that ended so long ago are left out of snapshots; rooms forget them a day sooner."""


def now_utc_us() -> int:
    """The centre's clock."""
    return time.time_ns() // 1000


class ConflictError(Exception):
    """What was asked contradicts what is kept; the message says how."""


class AwayError(Exception):
    """The keeper cannot be reached for the moment: nobody knows whether what was asked was done. It is to be asked again."""


class DeniedError(Exception):
    """The certificate by which another one was asked for is denied."""


class Shown(NamedTuple):
    """A certificate as its holder shows it: a centre that was restored from a copy may not have it among those that it issued."""

    serial: int
    name: str
    issued_utc_us: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A room said of a record ``said``, where ``kept`` was countersigned: its chain was changed, went back, or is another room's."""

    record: str
    room: str
    kept_at: int
    kept_head: str
    said_at: int
    said_head: str
    first_utc_us: int
    last_utc_us: int
    times: int


class ContradictionError(ConflictError):
    """A head is not countersigned, for it contradicts what was."""

    def __init__(self, found: Contradiction) -> None:
        super().__init__(
            f"record {found.record} had entry {found.kept_at} with head {found.kept_head}; "
            f"now entry {found.said_at} with head {found.said_head} is said to be its last"
        )
        self.found = found


def with_token(hearing: contract.Hearing, known: contract.Hearing | None) -> contract.Hearing:
    """The hearing with its start token: the case system's own, or else the one that it was given here when it was first planned.

    Nobody can guess it before: a record that holds it was not made earlier.
    """
    if hearing.start_token:
        return hearing
    return msgspec.structs.replace(hearing, start_token=known.start_token if known is not None else secrets.token_urlsafe(16))


class UnknownRoomError(Exception):
    """There is no such room: no token, certificate or hearing ever named it."""


class EventLog(Protocol):
    """The rooms' events, each once, in the order in which they were taken. Who reads on until nothing comes has all."""

    @property
    def restored(self) -> int:
        """How often what was taken was found to be a copy of before: then numbers begin lower, and who read on reads anew."""
        ...

    async def put(self, room: str, batch: contract.EventBatch) -> contract.EventsTaken:
        """Keep what is new of a batch; events are known by ``(room, epoch, seq)``.

        Raises:
            ConflictError: the epoch has other events under these numbers; nothing of the batch is kept.
        """
        ...

    async def after(self, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Events behind this number, at most so many and not longer than ``decisions.PAGE_BYTES``."""
        ...

    async def notable(self, since_utc_us: int, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Of the events behind this number that were taken since then, those of a kind in ``NOTABLE``; as many as ``after`` gives."""
        ...


class Plan(Protocol):
    """The schedule: of each hearing its last change, and the rooms that it is or was in."""

    async def put(self, hearings: Sequence[contract.Hearing], source: str = API) -> transfer.Offset:
        """Take hearings as they are now; one that is as it was is no change. Each is given a start token where it has none.

        A source other than ``API`` changes only what is its own; ``API`` takes over what it puts.
        """
        ...

    async def feed(self, room: str, after: int) -> contract.Feed:
        """What a room must know: changes behind an offset, or everything where it knows nothing (``after`` 0)."""
        ...

    async def after(self, offset: int, most: int) -> Sequence[contract.Change]:
        """All rooms' hearings that changed behind an offset, in the order of their changes."""
        ...

    async def starting(self, from_utc_us: int, to_utc_us: int, source: str | None = None) -> Sequence[contract.Change]:
        """The last changes of the hearings of all rooms, or of one source, that are to start in this span of time."""
        ...


class Ledger(Protocol):
    """The receipts for the heads of records' chains."""

    async def countersign(self, room: str, head: contract.Head) -> Receipt:
        """The receipt for a head; the one that was given before, where the very same head comes again.

        Raises:
            ContradictionError: the room said otherwise of this record before, or it is another's; that is kept.
        """
        ...

    async def contradictions(self, since_utc_us: int) -> Sequence[Contradiction]:
        """Contradictions that were last seen since then."""
        ...

    async def after(self, counter: int, most: int) -> Sequence[Receipt]:
        """Receipts behind a counter, at most so many and not longer than ``decisions.PAGE_BYTES``."""
        ...

    async def of_record(self, record: str) -> Sequence[Receipt]:
        """All receipts of a record."""
        ...


class Commands(Protocol):
    """What rooms are asked to do; the numbers of a room's rise (``decisions.next_command``), and after a restore from a copy too."""

    async def give(self, room: str, command: contract.AnyCommand) -> int:
        """Keep a command for a room; returns its number.

        Raises:
            UnknownRoomError: there is no such room.
        """
        ...

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        ...


class Registry(Protocol):
    """Rooms, their tokens and certificates."""

    async def add_token(self, room: str, secret_sha256: str, until_utc_us: int) -> None:
        """A token's secret, by its hash, good once until then."""
        ...

    async def check_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Look whether a token can be used.

        Raises:
            ConflictError: as ``use_token``, which alone decides.
        """
        ...

    async def use_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Use a token up.

        Raises:
            ConflictError: it is not good for this room, not any more, or was used.
        """
        ...

    async def issued(self, serial: int, name: str, until_utc_us: int, pem: str, *, renewed_from: Shown | None = None) -> None:
        """A certificate was issued; it may be given out when this returns. ``renewed_from`` is the one by which it was asked for.

        Raises:
            DeniedError: ``renewed_from`` is denied. However close a revocation comes, either it denies both, or the new one is not issued.
        """
        ...

    async def revoke(self, name: str, now_utc_us: int) -> Sequence[int]:
        """Deny all certificates that were issued to this name; returns the serial numbers of those that are known.

        Others that were issued to it until now are denied too: those that a centre issued of which only an older copy is left.
        """
        ...

    async def is_revoked(self, certificate: Shown) -> bool:
        """Whether a certificate is denied: itself, or, where it is not known, its name at or after the time when it was issued."""
        ...

    async def revoked(self) -> Sequence[tuple[int, int]]:
        """All denied certificates: serial number, and when."""
        ...

    async def heard(self, room: str, heartbeat: contract.Heartbeat, utc_us: int) -> None:
        """A room's heartbeat; it need not be durable."""
        ...

    async def rooms(self) -> Sequence[contract.RoomState]:
        """All rooms that were ever named by a token, a certificate or a hearing, or heard, and not forgotten since."""
        ...

    async def forget(self, room: str, now_utc_us: int) -> None:
        """A room is listed no longer, until it is named or heard again. What it told, and what it may do, stay as they are."""
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
