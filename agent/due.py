"""Questions about what is due, which decisions and prompts ask alike. Pure."""

from agent.hearing import RUNNING, UNREACHABLE, Fault, Session
from agent.turn import Turn
from agent.upstream import contract
from provisioning.room import Hearings

APART_S = 900
"""A hearing that begins so soon after another is started by the clerk: people of the one before may still be in the room."""
REFUSED_AGAIN_S = 60
"""Refusals to start that are so near to each other are one fault."""
CLOSE_UNPLANNED_AFTER_S = 3_600
"""Where nobody knows of a planned end that is over, nobody must be heard for so long."""


def follows_directly(turn: Turn, hearing: contract.Hearing, now_utc_us: int) -> bool:
    """Whether people of another hearing may still be in the room when this one begins."""
    apart_us = APART_S * 1_000_000
    if any(session.ended_utc_us is not None and now_utc_us - session.ended_utc_us < apart_us for session in turn.sessions.values()):
        return True
    others = [
        other.plan for other in turn.hearings.values()
        if other.plan is not None and other.hearing != hearing.id and other.state not in {"cancelled", "moved", "not_held"}
    ]  # fmt: skip
    return any(plan.starts_utc_us <= hearing.starts_utc_us and plan.ends_utc_us > hearing.starts_utc_us - apart_us for plan in others)


def starts_itself(turn: Turn, plan: contract.Hearing, rules: Hearings, now_utc_us: int) -> bool:
    """Whether a due hearing is started without the clerk."""
    wanted = rules.automatic if plan.automatic is None else plan.automatic
    return wanted and not follows_directly(turn, plan, now_utc_us)


def running(turn: Turn) -> Session | None:
    """The session that is recorded, or may be while the recorder is away; not one that has ended and only lacks its seal."""
    found = (session for session in turn.sessions.values() if session.state in RUNNING and session.ended_utc_us is None)
    return max(found, key=lambda session: session.number, default=None)


def was_just(utc_us: int | None, within_s: int, now_utc_us: int) -> bool:
    """Whether something was less than so long ago. What lies as far ahead was before the clock was set back, so nobody knows when."""
    return utc_us is not None and abs(now_utc_us - utc_us) < within_s * 1_000_000


def lasted_to(fault: Fault, ends_utc_us: int) -> int:
    """Until when a fault kept a hearing that ends then from being recorded.

    Nobody asks for a start after the planned end, so refusals time and again until shortly before it last to it; a single one proves
    nothing of the time after it.
    """
    if fault.until_utc_us is None:
        return ends_utc_us
    is_repeated = fault.cause != UNREACHABLE and fault.until_utc_us > fault.from_utc_us
    last_us = fault.until_utc_us + (REFUSED_AGAIN_S * 1_000_000 if is_repeated else 0)
    return ends_utc_us if last_us >= ends_utc_us else fault.until_utc_us


def close_after_s(session: Session, rules: Hearings, now_utc_us: int, *, is_time_known: bool) -> float | None:
    """For how long the room must be empty before this session is taken for forgotten; None while its time is not over.

    A clock that cannot be believed proves no end: a session that is over by it alone is judged as one without a planned end.
    """
    if session.ends_utc_us is not None and now_utc_us <= session.ends_utc_us:
        return None
    is_over = session.ends_utc_us is not None and is_time_known
    return rules.close_after_empty_s if is_over else max(CLOSE_UNPLANNED_AFTER_S, rules.close_after_empty_s)
