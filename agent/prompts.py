"""What the clerk should see now. Pure; of the facts as a decision leaves them."""

from agent.actions import Prompt
from agent.due import close_after_s, running, starts_itself
from agent.follow_recorder import Seen
from agent.hearing import BEFORE, LIVE, PAUSED, UNREACHABLE, HearingFacts, Session, is_local
from agent.turn import Turn
from agent.upstream import contract
from provisioning.room import Hearings

WRONG_CASE_S = 4 * 3_600
"""A session that began so far from the planned time of its hearing is perhaps of another one."""


def prompts(
    turn: Turn, seen: Seen | None, rules: Hearings, *, quiet_s: float | None, now_utc_us: int, is_time_known: bool
) -> list[Prompt]:  # fmt: skip
    """All that stands."""
    found: list[Prompt] = []
    if seen is None:
        found.append(Prompt(code="recorder_unreachable"))
    recorded = running(turn)
    due: HearingFacts | None = None
    for facts in turn.hearings.values():
        if facts.conflict:
            found.append(Prompt(code="hearing_changed", hearing=facts.hearing, session=facts.session, args={"change": facts.conflict}))
        if facts.state not in BEFORE or facts.plan is None:
            continue
        found += _of_waiting(turn, facts, facts.plan, rules, is_free=recorded is None, now_utc_us=now_utc_us)
        if facts.plan.starts_utc_us <= now_utc_us < facts.plan.ends_utc_us:
            due = facts
    for session in turn.sessions.values():
        if is_local(session.hearing):
            args: dict[str, int | str] = {"next": due.hearing} if due is not None and session == recorded else {}
            found.append(Prompt(code="bind_session", session=session.session, hearing=session.hearing, args=args))
        elif session == recorded and due is not None and due.plan is not None:
            code = "wrong_case" if _is_wrong(turn, session) else "runs_over"
            late_s = (now_utc_us - due.plan.starts_utc_us) // 1_000_000
            found.append(
                Prompt(code=code, session=session.session, hearing=session.hearing, args={"next": due.hearing, "late_s": late_s})  # type: ignore[arg-type]
            )
        if session.state in LIVE:
            found += _of_forgotten(session, rules, quiet_s, now_utc_us, is_time_known=is_time_known)
    return found


def _of_waiting(
    turn: Turn, facts: HearingFacts, plan: contract.Hearing, rules: Hearings, *, is_free: bool, now_utc_us: int
) -> list[Prompt]:
    found = []
    if facts.checks_bad and now_utc_us < plan.ends_utc_us:
        found.append(Prompt(code="checks_bad", hearing=facts.hearing))
    fault = facts.fault
    if fault is not None and fault.lost_s is None and (fault.until_utc_us is None or fault.cause != UNREACHABLE):
        found.append(Prompt(code="start_failed", hearing=facts.hearing, args={"cause": fault.cause, "detail": fault.detail}))
    late_s = (now_utc_us - plan.starts_utc_us) // 1_000_000
    if now_utc_us >= plan.ends_utc_us:
        found.append(Prompt(code="not_started", hearing=facts.hearing, args={"late_s": late_s}))
    elif late_s >= -rules.start_early_s and is_free:
        by_itself = int(starts_itself(turn, plan, rules, now_utc_us))
        found.append(Prompt(code="start_due", hearing=facts.hearing, args={"starts_utc_us": plan.starts_utc_us, "automatic": by_itself}))
    if rules.late_after_s <= late_s and now_utc_us < plan.ends_utc_us:
        found.append(Prompt(code="late", hearing=facts.hearing, args={"late_s": late_s}))
    return found


def _of_forgotten(
    session: Session, rules: Hearings, quiet_s: float | None, now_utc_us: int, *, is_time_known: bool
) -> list[Prompt]:  # fmt: skip
    limit_s = close_after_s(session, rules, now_utc_us, is_time_known=is_time_known)
    if limit_s is None:
        return []
    if session.state in PAUSED:
        if session.ends_utc_us is None:
            return []
        return [Prompt(code="paused_past_end", hearing=session.hearing, session=session.session, args={"state": session.state})]
    if quiet_s is None or quiet_s < limit_s:
        return []
    warned_us = now_utc_us - (session.countdown_utc_us if session.countdown_utc_us is not None else now_utc_us)
    left_s = max(0, int(max(rules.countdown_s - warned_us / 1_000_000, limit_s + rules.countdown_s - quiet_s)))
    return [Prompt(code="forgotten_stop", hearing=session.hearing, session=session.session, args={"closes_in_s": left_s})]


def _is_wrong(turn: Turn, session: Session) -> bool:
    facts = turn.hearings.get(session.hearing)
    if facts is None or facts.plan is None or facts.conflict in {"cancelled", "moved"}:
        return True
    return abs(session.began_utc_us - facts.plan.starts_utc_us) > WRONG_CASE_S * 1_000_000
