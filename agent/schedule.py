"""The room's copy of the centre's schedule, and how what the centre tells is merged into it. Pure.

Rules:

1. A change counts where its offset is above the floor (the offset of the last snapshot) and above that of the stored change of the same
   hearing. So order and repetition of changes change nothing.
2. A snapshot newer than the floor takes the place of all that is not newer than it; changes behind it stay. So it makes good what was lost.
3. A hearing that was cancelled or moved out of the room stays, in that state: a late change of its past finds it and does nothing.
4. A move is one change, which both rooms get: the same hearing, with the new room.
5. Nothing that lies ahead is ever dropped here: the room works for as many days as the centre told in advance. What lies a week behind
   is forgotten (``forget``), and the floor rises with it, so that it cannot come back.
6. More hearings than any courtroom has (``MOST_HEARINGS``) are a mistake or an attack: the schedule stays as it was (``is_too_much``).

Use: ``merge_feed`` for what the long poll brought, ``standing`` for what a change means to this room, ``forget`` once a day. ``Store``
keeps it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from agent.upstream import contract

KEPT_S = 7 * 86_400
"""For how long a hearing stays in the schedule behind its planned end."""
MOST_HEARINGS = 10_000
"""Two years of twenty on each working day. Every decision looks at all of them, every second."""

Standing = Literal["planned", "cancelled", "moved"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule as this room knows it: the last change of each hearing that is or was planned here."""

    floor: int = 0
    """All up to this offset is in the base: older changes tell nothing new."""
    applied_offset: int = 0
    """All up to this offset that concerns the room has been merged."""
    changes: dict[str, contract.Change] = {}


def merge_change(schedule: Schedule, change: contract.Change) -> Schedule:
    """The schedule with one change, in whatever order it came."""
    return merge_changes(schedule, [change])


def merge_changes(schedule: Schedule, changes: Iterable[contract.Change]) -> Schedule:
    """The schedule with changes, in whatever order they came; it is copied once for all of them."""
    merged = dict(schedule.changes)
    for change in changes:
        stored = merged.get(change.hearing.id)
        if change.offset > schedule.floor and (stored is None or change.offset > stored.offset):
            merged[change.hearing.id] = change
    return schedule if merged == schedule.changes else msgspec.structs.replace(schedule, changes=merged)


def merge_snapshot(schedule: Schedule, snapshot: contract.Snapshot) -> Schedule:
    """The schedule on a newer base; an old snapshot changes nothing."""
    if snapshot.as_of <= schedule.floor:
        return schedule
    base = {hearing.id: contract.Change(offset=snapshot.as_of, hearing=hearing) for hearing in snapshot.hearings}
    newer = {id_: change for id_, change in schedule.changes.items() if change.offset > snapshot.as_of}
    return Schedule(floor=snapshot.as_of, applied_offset=max(schedule.applied_offset, snapshot.as_of), changes=base | newer)


def merge_feed(schedule: Schedule, feed: contract.Feed) -> Schedule:
    """The schedule with an answer of the long poll, which holds all that follows ``applied_offset``.

    A centre that counts lower than it did (``went_back``) begins anew with its snapshot: what it knew later, it has lost. Polls come one
    after the other, so that no late answer can be taken for that.
    """
    if feed.snapshot is not None and went_back(schedule, feed):
        schedule = Schedule()
    if feed.snapshot is not None:
        schedule = merge_snapshot(schedule, feed.snapshot)
    schedule = merge_changes(schedule, feed.changes)
    return msgspec.structs.replace(schedule, applied_offset=max(schedule.applied_offset, feed.as_of))


def is_too_much(schedule: Schedule, feed: contract.Feed, known: Collection[str]) -> bool:
    """Whether an answer of the long poll would have the room look after too many hearings; ``known`` are those that it has facts of.

    What adds none is taken all the same: so a room that is full can be told that hearings are cancelled, or retimed.
    """
    told = [change.hearing.id for change in feed.changes] + [hearing.id for hearing in (feed.snapshot.hearings if feed.snapshot else [])]
    before = schedule.changes.keys() | set(known)
    after = before | set(told)
    return len(after) > max(MOST_HEARINGS, len(before))


def went_back(schedule: Schedule, feed: contract.Feed) -> bool:
    """Whether the centre counts lower than it did: it was restored from a copy."""
    return feed.as_of < schedule.applied_offset


def forget(schedule: Schedule, now_utc_us: int) -> Schedule:
    """The schedule without what ended a week ago. The floor rises over what is forgotten, which must have been merged without a hole."""
    before_us = now_utc_us - KEPT_S * 1_000_000
    old = [
        change
        for change in schedule.changes.values()
        if change.hearing.ends_utc_us < before_us and change.offset <= schedule.applied_offset
    ]
    if not old:
        return schedule
    gone = {change.hearing.id for change in old}
    return msgspec.structs.replace(
        schedule,
        floor=max(schedule.floor, *(change.offset for change in old)),
        changes={id_: change for id_, change in schedule.changes.items() if id_ not in gone},
    )


def standing(change: contract.Change, room: str) -> Standing:
    """What the last change of a hearing means to this room."""
    if change.hearing.room != room:
        return "moved"
    return change.hearing.state


def planned(schedule: Schedule, room: str) -> Sequence[contract.Hearing]:
    """The hearings that are to be held in this room, in the order of their planned starts."""
    here = [change.hearing for change in schedule.changes.values() if standing(change, room) == "planned"]
    return sorted(here, key=lambda hearing: (hearing.starts_utc_us, hearing.id))
