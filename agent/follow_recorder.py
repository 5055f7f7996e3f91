"""What the recorder's state means to the room's sessions. Pure.

The recorder's word is the fact. A session that it has is taken up, whoever began it and whatever the agent missed; one that it no longer
has is looked for on the disk.
"""

from typing import Literal

import msgspec

from agent.actions import FindOut
from agent.due import was_just
from agent.hearing import CAUSE_OF, LIVE, LOCAL_PREFIX, RUNNING, TABLE, Session, is_local, record_of
from agent.turn import Turn, change
from agent.upstream import contract
from recorder.contract.control import State as RecorderState

ASKED_S = 60
"""What was asked for longer ago does not explain what the recorder does now."""
BY_ITSELF = "recorder"
"""Stands for a person where nobody asked the agent: the recorder's own command line, or its recovery."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the decisions need of ``control.Status``: ``record`` is the path (empty: none), ``t_us`` the session time."""

    state: RecorderState
    record: str
    hearing: str
    t_us: int


def follow_recorder(turn: Turn, seen: Seen | None, now_utc_us: int) -> None:
    """Bring the sessions to where the recorder has them; None: it cannot be reached."""
    current = record_of(seen.record) if seen is not None and seen.record else ""
    for session in [session for session in turn.sessions.values() if session.state in RUNNING and session.session != current]:
        if session.state != "unsealed":
            turn.move_session(session.session, "lost")
        if seen is not None:
            ended_us = now_utc_us if session.ended_utc_us is None else session.ended_utc_us
            turn.sessions[session.session] = change(turn.sessions[session.session], ended_utc_us=ended_us)
            turn.actions.append(FindOut(session=session.session, path=session.path))
    if seen is None:
        return
    # A record that was not found may still come to light: its disk was away.
    lost = [session for session in turn.sessions.values() if session.state == "failed" and session.session != current]
    turn.actions += [FindOut(session=session.session, path=session.path) for session in lost]
    if current:
        known = turn.sessions.get(current)
        if known is None:
            known = take_up(turn, current, seen, now_utc_us)
        if known.state in RUNNING | {"failed"}:
            _follow_state(turn, known, seen)
            _follow_hearing(turn, current, seen)
    if turn.asked is not None and not was_just(turn.asked.utc_us, ASKED_S, now_utc_us):
        turn.asked = None


def take_up(turn: Turn, record: str, seen: Seen, now_utc_us: int, *, is_over: bool = False) -> Session:
    """A session that is new to the agent. One that is over counts as before all others: its hearing follows the one that runs."""
    began_us = max(0, now_utc_us - seen.t_us)
    hearing = seen.hearing or f"{LOCAL_PREFIX}{record}"
    asked = turn.asked if not is_over and turn.asked is not None and (turn.asked.to, turn.asked.hearing) == ("open", hearing) else None
    number = 0 if is_over else 1 + max((session.number for session in turn.sessions.values()), default=0)
    session = Session(
        session=record, path=seen.record, number=number, hearing=hearing, began_as=hearing, case=asked.case if asked else "",
        state="unsealed" if is_over else "open", by=asked.by if asked else BY_ITSELF, automatic=asked is not None and asked.automatic,
        began_utc_us=began_us, ends_utc_us=None,
    )  # fmt: skip
    turn.sessions[record] = session
    if asked is not None:
        turn.asked = None
    waiting = turn.hearings.get(hearing)
    turn.attach(record)
    facts = turn.hearings.get(hearing)
    plan = facts.plan if facts is not None else None
    if facts is not None and waiting is not None and waiting.fault is not None and plan is not None:
        fault = change(waiting.fault, from_utc_us=max(waiting.fault.from_utc_us, plan.starts_utc_us))
        lost_us = min(fault.until_utc_us or began_us, began_us) - fault.from_utc_us
        turn.hearings[hearing] = change(facts, fault=change(fault, lost_s=lost_us // 1_000_000) if lost_us > 0 else None)
    turn.events.append(
        contract.SessionStarted(
            session=record, record=record, hearing=hearing, by=session.by, automatic=session.automatic,
            planned_utc_us=plan.starts_utc_us if plan else None,
            late_s=(began_us - plan.starts_utc_us) // 1_000_000 if plan else None, revision=turn.schedule.applied_offset,
        )
    )  # fmt: skip
    return turn.sessions[record]


def _follow_state(turn: Turn, known: Session, seen: Seen) -> None:
    if known.state in {"unsealed", "failed"}:
        turn.move_session(known.session, "recovered")
        turn.sessions[known.session] = change(turn.sessions[known.session], fault=None, ended_utc_us=None)
        turn.attach(known.session)  # its hearing may follow another one by now
        known = turn.sessions[known.session]
    if seen.state in {"idle", known.state}:
        return
    if CAUSE_OF[seen.state] not in TABLE[known.state]:
        # It was away and back between two looks.
        turn.move_session(known.session, "lost")
        turn.move_session(known.session, "recovered")
    turn.move_session(known.session, CAUSE_OF[seen.state])
    if seen.state in LIVE and seen.state != known.interval:
        state: Literal["open", "off_record", "privileged", "deliberation"] = seen.state  # type: ignore[assignment]
        is_ours = turn.asked is not None and turn.asked.to == state
        by = turn.asked.by if turn.asked is not None and is_ours else BY_ITSELF
        turn.asked = None if is_ours else turn.asked
        turn.sessions[known.session] = change(turn.sessions[known.session], interval=state)
        turn.events.append(contract.IntervalChanged(session=known.session, record=known.session, state=state, by=by, at_us=seen.t_us))


def _follow_hearing(turn: Turn, session: str, seen: Seen) -> None:
    """Where the record was bound without the agent, or just before it was killed."""
    known = turn.sessions[session]
    if seen.hearing in {"", known.hearing} or is_local(seen.hearing):
        return
    wanted = known.wanted if known.wanted is not None and known.wanted.hearing == seen.hearing else None
    if wanted is not None:
        turn.bind(session, wanted.hearing, wanted.case, wanted.by, wanted.reason)
    else:
        turn.bind(session, seen.hearing, "", BY_ITSELF, "as the record says")
