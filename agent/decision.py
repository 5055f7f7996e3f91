"""What the room does next: one pure function of the schedule, the facts, the recorder's state, the room's rules and the clock.

Call ``decide`` each second and whenever something changed; then store its facts and events in one transaction (``Store.keep``), and only
then carry its actions out and show its prompts. It may be called as often as one likes: with nothing new it changes and tells nothing.

Time: ``now_utc_us`` is compared with the plan. How long the room has been empty comes as ``quiet_s``, measured by a clock that no step of
UTC moves: since somebody last spoke, took a seat or touched the console, or since the agent started. None: nobody can tell; then nothing
is closed by itself. "Keep recording" is the clerk's touch.
UTC may be stepped: what seems to have been asked for in the future was not asked for.

Nothing here but a forgotten stop ends a recording, and that is held to the latest planned end that was ever known: what the centre says
can put it off, never bring it forward.
"""

from agent.actions import BindRecord, Certify, FindMissed, RunChecks
from agent.due import close_after_s, lasted_to, running, starts_itself, was_just
from agent.follow_recorder import Seen, follow_recorder
from agent.follow_schedule import HEARD_TOO_LATE, NOBODY_STARTED, follow_schedule
from agent.hearing import BEFORE, RUNNING, UNREACHABLE, Facts, Fault, HearingFacts
from agent.prompts import prompts
from agent.schedule import Schedule
from agent.turn import Outcome, Turn, change
from agent.upstream import contract
from provisioning.room import Hearings

CHECK_BEFORE_S = 1_800
CHECKS_LONGEST_S = 300
"""Checks that did not end in this time are asked for again."""
START_AGAIN_S = 10
BEGINS_WITHIN_S = 3
"""A recorder that hung begins in this time what it was sent meanwhile."""
STOP_AGAIN_S = 30
NOT_HELD_AFTER_S = 4 * 3_600
"""So long after its planned end a hearing that nobody began counts as not held; until then the clerk is asked why."""
BY_AGENT = "agent"


def decide(
    facts: Facts, schedule: Schedule, seen: Seen | None, rules: Hearings, *, room: str, quiet_s: float | None, now_utc_us: int,
    is_time_known: bool = True, knows_records: bool = True,
) -> Outcome:  # fmt: skip
    """One decision.

    Args:
        facts: as they were stored last.
        schedule: as it was stored last.
        seen: the recorder's state; None where it cannot be reached.
        rules: ``[hearings]`` of room.toml.
        room: the room's id.
        quiet_s: for how long nobody has been heard or seen in the room; None where nobody can tell.
        now_utc_us: the PC's UTC.
        is_time_known: whether that can be believed. While it cannot, nothing is told of what is late or over, no session is closed as one
            whose planned end is past, and none is looked for as missed: that old ones were known may be forgotten. What is due is begun by
            itself all the same: a recording too many is better than one too few.
        knows_records: whether it was asked of late which records the room has. While it was not, no hearing is ended as one without.
    """
    turn = Turn(facts, schedule)
    follow_schedule(turn, room=room, check_before_s=CHECK_BEFORE_S, now_utc_us=now_utc_us)
    follow_recorder(turn, seen, now_utc_us)
    _note_faults(turn, seen, now_utc_us)
    _bind(turn, seen)
    _prepare(turn, seen, now_utc_us)
    if is_time_known:
        _tell_late(turn, rules, now_utc_us)
    _start(turn, seen, rules, now_utc_us)
    _stop_forgotten(turn, seen, rules, quiet_s, now_utc_us, is_time_known=is_time_known)
    if seen is not None and not knows_records and is_time_known:
        turn.actions.append(FindMissed())
    if is_time_known and knows_records:
        _reconcile(turn, now_utc_us)
    _certify(turn, seen)
    turn.prompts = prompts(turn, seen, rules, quiet_s=quiet_s, now_utc_us=now_utc_us, is_time_known=is_time_known)
    return turn.outcome()


def _waiting(turn: Turn) -> list[tuple[HearingFacts, contract.Hearing]]:
    return [(facts, facts.plan) for facts in turn.hearings.values() if facts.state in BEFORE and facts.plan is not None]


def _note_faults(turn: Turn, seen: Seen | None, now_utc_us: int) -> None:
    """While a hearing is due and the recorder is away, nobody could begin it."""
    for facts, plan in _waiting(turn):
        fault = facts.fault
        if seen is None and plan.starts_utc_us <= now_utc_us < plan.ends_utc_us:
            if fault is None or fault.until_utc_us is not None:
                fault = Fault(cause=UNREACHABLE, detail="the recorder did not answer", from_utc_us=now_utc_us)
        elif seen is not None and fault is not None and fault.cause == UNREACHABLE and fault.until_utc_us is None:
            fault = change(fault, until_utc_us=now_utc_us)
        turn.hearings[facts.hearing] = change(facts, fault=fault)


def _bind(turn: Turn, seen: Seen | None) -> None:
    if seen is None:
        return
    for session in turn.sessions.values():
        wanted = session.wanted
        if wanted is not None and session.state not in {"closing", "unsealed", "recovered", "failed"}:
            turn.actions.append(
                BindRecord(
                    session=session.session, sealed=session.state not in RUNNING, hearing=wanted.hearing, case=wanted.case,
                    actor=wanted.by, reason=wanted.reason,
                )
            )  # fmt: skip


def _prepare(turn: Turn, seen: Seen | None, now_utc_us: int) -> None:
    """The checks of a room in which nothing is recorded."""
    if running(turn) is not None or (seen is not None and seen.state != "idle"):
        return
    for facts, plan in _waiting(turn):
        asked_us = facts.checks_asked_utc_us
        is_late = not was_just(asked_us, CHECKS_LONGEST_S, now_utc_us)
        is_soon = plan.starts_utc_us - CHECK_BEFORE_S * 1_000_000 <= now_utc_us < plan.starts_utc_us
        if not is_soon or facts.state == "ready":
            continue
        if facts.state == "planned":
            turn.move_hearing(facts.hearing, "checks_due")
        elif not is_late:
            turn.actions.append(RunChecks(hearing=facts.hearing))
            continue
        turn.hearings[facts.hearing] = change(turn.hearings[facts.hearing], checks_asked_utc_us=now_utc_us)
        turn.actions.append(RunChecks(hearing=facts.hearing))


def _tell_late(turn: Turn, rules: Hearings, now_utc_us: int) -> None:
    for facts, plan in _waiting(turn):
        late_us = now_utc_us - plan.starts_utc_us
        if late_us >= rules.late_after_s * 1_000_000 and facts.late_told_utc_us != plan.starts_utc_us:
            turn.hearings[facts.hearing] = change(facts, late_told_utc_us=plan.starts_utc_us)
            turn.events.append(
                contract.LateStart(
                    hearing=facts.hearing, planned_utc_us=plan.starts_utc_us, late_s=late_us // 1_000_000,
                    revision=turn.schedule.applied_offset,
                )
            )  # fmt: skip


def _start(turn: Turn, seen: Seen | None, rules: Hearings, now_utc_us: int) -> None:
    """Begin the hearing that is due, where that is to be done without the clerk."""
    if seen is None or seen.state != "idle" or running(turn) is not None:
        return
    early_us = rules.start_early_s * 1_000_000
    due = [(facts, plan) for facts, plan in _waiting(turn) if plan.starts_utc_us - early_us <= now_utc_us < plan.ends_utc_us]
    if not due:
        return
    facts, plan = max(due, key=lambda pair: (pair[1].starts_utc_us, pair[0].hearing))
    is_too_soon = was_just(facts.start_asked_utc_us, START_AGAIN_S, now_utc_us) or _may_begin(turn, facts, now_utc_us)
    if starts_itself(turn, plan, rules, now_utc_us) and not is_too_soon:
        turn.ask_start(facts.hearing, by=BY_AGENT, now_utc_us=now_utc_us, automatic=True)


def _may_begin(turn: Turn, facts: HearingFacts, now_utc_us: int) -> bool:
    """Whether a start that was asked for may still be obeyed: a clerk's, or the agent's own by a recorder that has just come back."""
    if turn.asked is None or turn.asked.to != "open":
        return False
    fault = facts.fault
    is_back = fault is not None and fault.cause == UNREACHABLE and was_just(fault.until_utc_us, BEGINS_WITHIN_S, now_utc_us)
    return is_back or not turn.asked.automatic


def _stop_forgotten(
    turn: Turn, seen: Seen | None, rules: Hearings, quiet_s: float | None, now_utc_us: int, *, is_time_known: bool
) -> None:  # fmt: skip
    """Close what nobody is in any more: after the warning, and only from the open state (a pause is a person's to end)."""
    for session in list(turn.sessions.values()):
        if session.state != "open":
            continue
        limit_s = close_after_s(session, rules, now_utc_us, is_time_known=is_time_known)
        if quiet_s is not None:  # what was before the session says nothing of it
            quiet_s = min(quiet_s, max(0, now_utc_us - session.began_utc_us) / 1_000_000)
        if seen is None or quiet_s is None or limit_s is None or quiet_s < limit_s:
            if session.countdown_utc_us is not None:
                turn.sessions[session.session] = change(session, countdown_utc_us=None)
            continue
        if session.countdown_utc_us is None or session.countdown_utc_us > now_utc_us:
            turn.sessions[session.session] = change(session, countdown_utc_us=now_utc_us)
            continue
        warned_us = now_utc_us - session.countdown_utc_us
        was_asked = was_just(session.stop_asked_utc_us, STOP_AGAIN_S, now_utc_us)
        if warned_us >= rules.countdown_s * 1_000_000 and quiet_s >= limit_s + rules.countdown_s and not was_asked:
            turn.ask_stop(session.session, by=BY_AGENT, reason="forgotten_stop", now_utc_us=now_utc_us)


def _reconcile(turn: Turn, now_utc_us: int) -> None:
    """End what nobody began: not held, or failed where the room itself was the reason to the end."""
    for facts, plan in _waiting(turn):
        if now_utc_us < plan.ends_utc_us + NOT_HELD_AFTER_S * 1_000_000:
            continue
        fault, heard_us = facts.fault, facts.heard_utc_us
        if fault is None and heard_us is not None and plan.ends_utc_us <= heard_us <= now_utc_us:
            after_s = (heard_us - plan.ends_utc_us) // 1_000_000
            turn.move_hearing(facts.hearing, "not_held", f"{HEARD_TOO_LATE}; the room was told of it {after_s} s after its planned end")
        elif fault is None:
            turn.move_hearing(facts.hearing, "not_held", NOBODY_STARTED)
        elif fault.lost_s is None and (until_us := lasted_to(fault, plan.ends_utc_us)) < plan.ends_utc_us:
            away_s = (until_us - fault.from_utc_us) // 1_000_000
            turn.move_hearing(facts.hearing, "not_held", f"{NOBODY_STARTED}; {fault.cause} for {away_s} s of it")
        elif fault.lost_s is None:
            from_us = max(fault.from_utc_us, plan.starts_utc_us)
            lost_s = max(0, plan.ends_utc_us - from_us) // 1_000_000
            turn.hearings[facts.hearing] = change(facts, fault=change(fault, from_utc_us=from_us, lost_s=lost_s))


def _certify(turn: Turn, seen: Seen | None) -> None:
    """Have the device sign what was not recorded."""
    if seen is None:
        return
    faults = [(facts.hearing, facts.session, facts.fault) for facts in turn.hearings.values()]
    faults += [(session.hearing, session.session, session.fault) for session in turn.sessions.values()]
    for hearing, record, fault in faults:
        if fault is not None and fault.lost_s is not None:
            turn.actions.append(
                Certify(
                    hearing=hearing, record=record, cause=fault.cause, detail=fault.detail, channels=fault.channels,
                    from_utc_us=fault.from_utc_us, lost_s=fault.lost_s,
                )
            )  # fmt: skip
