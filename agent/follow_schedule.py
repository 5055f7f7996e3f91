"""What a change of the schedule means to the room's hearings. Pure.

A hearing that waits follows the plan. One that is being recorded only learns of it: the clerk and the centre are told, and recording
goes on. One that was given another date meanwhile waits for that when its session has ended.
"""

from typing import Literal

from agent.hearing import BEFORE, KEPT_S, RUNNING, HearingFacts
from agent.schedule import Standing, standing
from agent.turn import Turn, change
from agent.upstream import contract

NOBODY_STARTED = "nobody_started"
"""So begins the reason of a hearing that was not held because nobody began it."""
HEARD_TOO_LATE = "heard_too_late"
"""So begins the reason of one that the room heard of when its planned end was past, and of which it has no session."""
NOT_IN_SCHEDULE = "not_in_schedule"
"""Reason of a hearing that a newer snapshot no longer names."""


def follow_schedule(turn: Turn, *, room: str, check_before_s: int, now_utc_us: int) -> None:
    """Bring the hearings to where the schedule has them."""
    for id_, told in turn.schedule.changes.items():
        known = turn.hearings.get(id_)
        now = standing(told, room)
        if known is None:
            if now == "planned":
                _hear_of(turn, told, now_utc_us)
            continue
        turn.hearings[id_] = change(known, plan=told.hearing, offset=told.offset)
        if known.state in RUNNING:
            _changed_while_recorded(turn, known, told, now, room, now_utc_us)
        elif known.state in BEFORE:
            _changed_before(turn, known, told, now, check_before_s, now_utc_us)
        else:
            _changed_after(turn, known, told, now, now_utc_us)
    for id_, known in list(turn.hearings.items()):
        waits = known.state in BEFORE and known.plan is not None and known.plan.starts_utc_us > now_utc_us
        if waits and id_ not in turn.schedule.changes:
            turn.move_hearing(id_, "cancelled", NOT_IN_SCHEDULE)


def _hear_of(turn: Turn, told: contract.Change, now_utc_us: int) -> None:
    """A hearing that is new to the room."""
    plan = told.hearing
    if plan.ends_utc_us > now_utc_us:
        turn.hearings[plan.id] = HearingFacts(hearing=plan.id, plan=plan, offset=told.offset)
    elif told.offset > turn.schedule.floor and plan.ends_utc_us > now_utc_us - KEPT_S * 1_000_000:
        # It is over, and nobody is told that it is late; the clerk is asked, and it is reconciled as one that was heard of too late.
        turn.hearings[plan.id] = HearingFacts(
            hearing=plan.id, plan=plan, offset=told.offset, heard_utc_us=now_utc_us, late_told_utc_us=plan.starts_utc_us
        )
    # What a snapshot says was over, and what was so long ago that its facts may be forgotten, is left to a person: a room whose disk was
    # replaced must not say that nobody came.


def _changed_while_recorded(turn: Turn, known: HearingFacts, told: contract.Change, now: Standing, room: str, now_utc_us: int) -> None:
    session, ends_us = turn.sessions[known.session], told.hearing.ends_utc_us
    # A plan can put the closing of a forgotten session off, never bring it forward: one that is over says nothing of it.
    if ends_us > (now_utc_us if session.ends_utc_us is None else session.ends_utc_us):
        turn.sessions[known.session] = change(session, ends_utc_us=ends_us)
    if known.plan is None or told.hearing == known.plan:
        return
    if told.hearing.starts_utc_us != known.plan.starts_utc_us and known.recorded_for_utc_us is None:
        turn.hearings[known.hearing] = change(turn.hearings[known.hearing], recorded_for_utc_us=known.plan.starts_utc_us)
    before = standing(contract.Change(offset=told.offset, hearing=known.plan), room)
    kind: Literal["cancelled", "moved", "retimed"] | None = "retimed" if _times(told.hearing) != _times(known.plan) else None
    if now != "planned" and now != before:  # noqa: PLR1714 - a type checker understands it so
        kind = now
    if kind is not None:
        turn.hearings[known.hearing] = change(turn.hearings[known.hearing], conflict=kind)
        turn.events.append(contract.ScheduleConflict(hearing=known.hearing, session=known.session, change=kind, offset=told.offset))
    elif now == "planned" and known.conflict in {"cancelled", "moved"}:
        turn.hearings[known.hearing] = change(turn.hearings[known.hearing], conflict="")


def _changed_before(turn: Turn, known: HearingFacts, told: contract.Change, now: Standing, check_before_s: int, now_utc_us: int) -> None:
    if now == "cancelled" or now == "moved":  # noqa: PLR1714 - a type checker understands it so
        turn.move_hearing(known.hearing, now, "by_centre" if now == "cancelled" else told.hearing.room)
        return
    if known.plan is None or _times(told.hearing) == _times(known.plan):
        return
    turn.hearings[known.hearing] = change(turn.hearings[known.hearing], start_asked_utc_us=None, fault=None)
    if known.state != "planned" and told.hearing.starts_utc_us - check_before_s * 1_000_000 > now_utc_us:
        turn.move_hearing(known.hearing, "retimed")


def _changed_after(turn: Turn, known: HearingFacts, told: contract.Change, now: Standing, now_utc_us: int) -> None:
    plan = told.hearing
    if now == "planned":
        ended_without = known.state in {"cancelled", "moved"} and plan.ends_utc_us > now_utc_us
        was_adjourned = known.recorded_for_utc_us not in {None, plan.starts_utc_us}
        is_changed = known.plan is not None and (was_adjourned or _times(plan) != _times(known.plan))
        is_new_date = is_changed and plan.starts_utc_us > now_utc_us
        # The clock was ahead when it was given up: its time is not over, or has not even come.
        is_by_clock = known.state == "not_held" and known.reason.split(";")[0] in {NOBODY_STARTED, HEARD_TOO_LATE}
        was_too_early = is_by_clock and plan.ends_utc_us > now_utc_us
        if ended_without or is_new_date or was_too_early:
            turn.hearings[known.hearing] = HearingFacts(hearing=known.hearing, plan=plan, offset=told.offset, state=known.state)
            turn.move_hearing(known.hearing, "planned_again")
        elif known.recorded_for_utc_us is not None:  # that date is past too, or it has its old one again
            turn.hearings[known.hearing] = change(turn.hearings[known.hearing], recorded_for_utc_us=None)
    elif now == "cancelled" and known.state in {"moved", "not_held"}:
        turn.move_hearing(known.hearing, "cancelled", "by_centre")
    elif now == "moved" and known.state == "cancelled":
        turn.move_hearing(known.hearing, "moved", plan.room)


def _times(hearing: contract.Hearing) -> tuple[int, int]:
    return hearing.starts_utc_us, hearing.ends_utc_us
