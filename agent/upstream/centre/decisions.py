"""What a keeper decides, whatever it keeps things in: which events are new, what a head contradicts, who may change a hearing. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import API, ConflictError

PAGE_BYTES = 4 * 1024 * 1024
"""So much is answered at once, however many things were asked for."""
NO_HEARING_BEFORE_UTC_US = 1_577_836_800_000_000
"""2020: what is earlier was counted in seconds or milliseconds, and nobody would see that this hearing of 1970 is not held."""
Item = TypeVar("Item")


class Kept(NamedTuple):
    """The last head of a record that was countersigned, and the room that said it."""

    at: int
    head: str
    room: str


Verdict = Literal["new", "same", "contradicts"]


def verdict(kept: Kept | None, room: str, said: contract.Head) -> Verdict:
    """What a head is to what was countersigned before: a chain only grows, and belongs to one room."""
    if kept is None:
        return "new"
    if kept.room != room or said.at < kept.at or (said.at == kept.at and said.sha256 != kept.head):
        return "contradicts"
    return "same" if said.at == kept.at else "new"


class UsedNumbersError(ConflictError):
    """A room's epoch has other events under these numbers: its file is an older copy, and what it says now is new."""

    def __init__(self, epoch: str, seq: int) -> None:
        super().__init__(
            f"epoch {epoch} had its number {seq} given to another event, or passed over: the room's file went back; begin a new epoch"
        )


def has_lost(batch: contract.EventBatch, highest: int) -> bool:
    """Whether something is lost before a batch. ``highest`` is that of the epoch of the event that the batch comes ``after``.

    A room says what was acknowledged to it: a centre that has less was restored from a copy. If it took the batch, nobody would ever see
    the gap, for numbers may have holes.
    """
    return batch.after is not None and highest < batch.after.seq


class NamedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Of an event its number and its id alone."""

    seq: int
    id: str


def new_events(batch: contract.EventBatch, highest: int, kept: Mapping[int, str]) -> Sequence[contract.Event]:
    """The events of a batch that are behind the epoch's ``highest`` number. A room sends in order, so all others were taken.

    Args:
        batch: what the room sent.
        highest: the epoch's highest number that was taken before; 0: none was.
        kept: the ids of the events that were taken under the batch's numbers up to ``highest``.

    Raises:
        UsedNumbersError: one of the others was not taken: its number is another event's, or nobody's.
    """
    for event in batch.events:
        if event.seq <= highest and kept.get(event.seq) != event.id:
            raise UsedNumbersError(batch.epoch, event.seq)
    return [event for event in batch.events if event.seq > highest]


def too_long(batch: contract.EventBatch) -> str:
    """Why a batch is not taken for its length, or empty: what is kept of a room is read by others, many rooms' at once."""
    for event in batch.events:
        if (size := len(msgspec.json.encode(event))) > contract.EVENT_BYTES:
            return f"Event {event.seq} has {size} bytes; the most is {contract.EVENT_BYTES}."
    size = len(msgspec.json.encode(batch))
    return f"It has {size} bytes; the most is {contract.BATCH_BYTES}: send fewer events at once." if size > contract.BATCH_BYTES else ""


def page(items: Iterable[tuple[Item, int]], most: int) -> list[Item]:
    """The first of these items, each with its length in bytes: at most so many and ``PAGE_BYTES``, but one at least."""
    taken, size_bytes = list[Item](), 0
    for item, length in items:
        size_bytes += length
        if taken and (len(taken) == most or size_bytes > PAGE_BYTES):
            break
        taken.append(item)
    return taken


def next_command(last: int, now_utc_us: int) -> int:
    """The number of the next command: the time in milliseconds, and more than the last one.

    A room asks for what is behind the highest that it knows, and a centre that was restored from a copy knows less than it: by a mere count
    it would give numbers again that rooms pass over.
    """
    return max(last + 1, now_utc_us // 1000)


class Run(NamedTuple):
    """Where the count of the schedule's changes stood when a centre's run began, and from where on this run counts.

    Like commands, changes are numbered by the clock, and the count goes on without changes too. So no room was ever told a number between
    the two, but by a run of which nothing is left: then the centre was restored from a copy.
    """

    found: int
    begins: int

    def is_of_a_lost_one(self, after: int) -> bool:
        """Whether a room was told so much by a run of which nothing is left."""
        return self.found < after < self.begins

    def next_offset(self, last: int, now_utc_us: int) -> int:
        """The number of the next change."""
        return max(next_command(last, now_utc_us), self.begins)


def new_run(found: int, now_utc_us: int) -> Run:
    """The run of a centre that begins now."""
    return Run(found, next_command(found, now_utc_us))


def may_change(source: str, owner: str | None) -> bool:
    """Whether this source may change a hearing of that owner (None: nobody's yet)."""
    return owner is None or source in {API, owner}


def wrong_times(hearing: contract.Hearing) -> str:
    """Why a hearing cannot be planned for its times, or empty."""
    if hearing.starts_utc_us < NO_HEARING_BEFORE_UTC_US:
        return f"it begins before 2020 ({hearing.starts_utc_us}): microseconds since 1970 are wanted, not seconds or milliseconds"
    return "it ends before it begins" if hearing.ends_utc_us <= hearing.starts_utc_us else ""


def first_wrong(hearings: Iterable[contract.Hearing]) -> tuple[str, str] | None:
    """The id of a hearing that cannot be planned for its times, and why; None: all can."""
    return next(((hearing.id, why) for hearing in hearings if (why := wrong_times(hearing))), None)


def wants_snapshot(after: int, as_of: int) -> bool:
    """Whether a room knows nothing yet, or was told by a centre that this one was before it was restored."""
    return after > as_of or (after == 0 and as_of > 0)
