"""What becomes of the room's facts by what people ask, what the recorder answered, and what the archive says. Pure.

Each function takes the facts and gives an ``Outcome``: store its facts and events in one transaction, then carry out its actions. All may
be called again with the same news after a crash: what is known already changes nothing and tells nothing twice.
"""

from typing import Literal, TypeGuard

from agent.actions import BindRecord, Certify
from agent.due import REFUSED_AGAIN_S
from agent.hearing import (
    BEFORE,
    LIVE,
    REFUSED,
    RUNNING,
    UNREACHABLE,
    Asked,
    Binding,
    Delivery,
    Facts,
    Fault,
    HearingFacts,
    Session,
    is_local,
    local_hearing,
)
from agent.schedule import Schedule, standing
from agent.turn import Outcome, Turn, change
from agent.upstream import contract


class ToldError(Exception):
    """What is asked for makes no sense now; the message says why."""


# people


def start(
    facts: Facts, schedule: Schedule, *, hearing: str, by: str, now_utc_us: int, case: str = "", must_be_known: bool = False
) -> Outcome:  # fmt: skip
    """Begin to record a hearing; an empty name stands for an unplanned session, which is bound to a hearing later (``case``: as typed).

    Any hearing may be started, also one that is planned elsewhere or cancelled: the people in the room know more than the plan.
    ``must_be_known``: not one of which the room never heard, whose id is rather mistyped.

    Raises:
        ToldError: a session is running, or nobody told the room of this hearing.
    """
    turn = Turn(facts, schedule)
    if must_be_known and hearing:
        _known_hearing(turn, hearing)
    running = next((session for session in turn.sessions.values() if session.state in LIVE | {"closing"}), None)
    if running is not None:
        raise ToldError(f"hearing {running.hearing} is being recorded; end it first")
    turn.ask_start(hearing or local_hearing(), by=by, now_utc_us=now_utc_us, case=case)
    return turn.outcome()


def asked(
    facts: Facts, schedule: Schedule, *, to: Literal["open", "off_record", "privileged", "deliberation"], by: str, now_utc_us: int
) -> Outcome:
    """Somebody pauses or resumes: to be told before what the recorder then shows, so that the interval bears the person's name."""
    turn = Turn(facts, schedule)
    turn.asked = Asked(to=to, by=by, utc_us=now_utc_us)
    return turn.outcome()


def stop(facts: Facts, schedule: Schedule, *, session: str, by: str, reason: str, now_utc_us: int) -> Outcome:
    """End a session.

    Raises:
        ToldError: it is not running.
    """
    turn = Turn(facts, schedule)
    if _session(turn, session).state not in RUNNING:
        raise ToldError("this session is not running")
    turn.ask_stop(session, by=by, reason=reason, now_utc_us=now_utc_us)
    return turn.outcome()


def broken_off(facts: Facts, schedule: Schedule, *, by: str, now_utc_us: int) -> Outcome:
    """Who asked for a start or a stop at that moment hung up, and the recorder is not asked: what it does later bears another name."""
    turn = Turn(facts, schedule)
    asked = turn.asked
    if asked is not None and (asked.to, asked.by, asked.utc_us) == ("open", by, now_utc_us):
        turn.asked = None
        known = turn.hearings.get(asked.hearing)
        if known is not None and known.start_asked_utc_us == now_utc_us:
            turn.hearings[asked.hearing] = change(known, start_asked_utc_us=None)
    for session in list(turn.sessions.values()):
        if (session.stop_by, session.stop_asked_utc_us) == (by, now_utc_us):
            turn.sessions[session.session] = change(session, stop_by="", stop_reason="", stop_asked_utc_us=None)
    return turn.outcome()


def bind(
    facts: Facts, schedule: Schedule, *, session: str, hearing: str, case: str, by: str, reason: str, must_be_known: bool = False
) -> Outcome:  # fmt: skip
    """A session belongs to a hearing of the centre, whatever was said before. The next decision has the signed entry made.

    Raises:
        ToldError: there is no such session, the hearing is none of the centre's, or (``must_be_known``) nobody told the room of it.
    """
    turn = Turn(facts, schedule)
    if not hearing or is_local(hearing):
        raise ToldError("name the hearing by the centre's number")
    if must_be_known:
        _known_hearing(turn, hearing)
    known = _session(turn, session)
    turn.sessions[session] = change(known, wanted=Binding(hearing=hearing, case=case, by=by, reason=reason))
    return turn.outcome()


def withdraw(facts: Facts, schedule: Schedule, *, session: str) -> Outcome:
    """Take back an order to bind that is not carried out yet: the recorder may refuse it for ever.

    Raises:
        ToldError: there is no such session, or no such order.
    """
    turn = Turn(facts, schedule)
    known = _session(turn, session)
    if known.wanted is None:
        raise ToldError("no order to bind this session waits to be carried out")
    turn.sessions[session] = change(known, wanted=None)
    return turn.outcome()


def not_held(facts: Facts, schedule: Schedule, *, room: str, hearing: str, by: str, reason: str) -> Outcome:
    """A person says why a planned hearing was not held; also of one that was over before the room heard of it.

    Raises:
        ToldError: it was held, or ended otherwise, or is not planned in this room.
    """
    turn = Turn(facts, schedule)
    known, told = turn.hearings.get(hearing), turn.schedule.changes.get(hearing)
    if known is None and told is not None and standing(told, room) == "planned":
        turn.hearings[hearing] = known = HearingFacts(hearing=hearing, plan=told.hearing, offset=told.offset)
    if known is None or known.state not in BEFORE:
        raise ToldError("this hearing is not one that waits to be held")
    turn.move_hearing(hearing, "not_held", f"{reason} ({by})" if by else reason)
    return turn.outcome()


def change_seen(facts: Facts, schedule: Schedule, *, hearing: str) -> Outcome:
    """The clerk has seen that a hearing was changed while it is recorded."""
    turn = Turn(facts, schedule)
    if hearing in turn.hearings:
        turn.hearings[hearing] = change(turn.hearings[hearing], conflict="")
    return turn.outcome()


# the recorder and the diagnostics


def start_failed(facts: Facts, schedule: Schedule, *, hearing: str, by: str, cause: str, detail: str, now_utc_us: int) -> Outcome:
    """The recorder did not answer (``UNREACHABLE``): a fault until it does. Or it refused: a fault of that moment.

    One that refuses time and again (``REFUSED_AGAIN_S``) has one fault, from the first refusal to the last: between two of them nothing
    shows that it would have recorded. One that did not answer may have begun all the same; then it did so for who asked.
    What somebody else asked for meanwhile stands: the recorder refuses a start because it begins for him.
    """
    turn = Turn(facts, schedule)
    asked = turn.asked
    if cause != UNREACHABLE and asked is not None and (asked.to, asked.hearing, asked.by) == ("open", hearing, by):
        turn.asked = None
    _start_failed(turn, hearing, cause, detail, now_utc_us)
    return turn.outcome()


def _start_failed(turn: Turn, hearing: str, cause: str, detail: str, now_utc_us: int) -> None:
    known = turn.hearings.get(hearing)
    if known is None or known.state not in BEFORE or (known.fault is not None and known.fault.lost_s is not None):
        return
    fault, detail = known.fault, detail[:1_000]
    if cause == UNREACHABLE:
        if fault is None or fault.until_utc_us is not None:
            fault = Fault(cause=cause, detail=detail, from_utc_us=now_utc_us)
    elif fault is not None and fault.until_utc_us is None:
        fault = change(fault, until_utc_us=now_utc_us)  # it answers again
    elif _goes_on(fault, cause, now_utc_us):
        fault = change(fault, detail=detail, until_utc_us=now_utc_us)
    else:
        fault = Fault(cause=cause, detail=detail, from_utc_us=now_utc_us, until_utc_us=now_utc_us)
    turn.hearings[hearing] = change(known, fault=fault)


def _goes_on(fault: Fault | None, cause: str, now_utc_us: int) -> TypeGuard[Fault]:
    if fault is None or fault.until_utc_us is None or fault.cause != cause:
        return False
    return 0 <= now_utc_us - fault.until_utc_us <= REFUSED_AGAIN_S * 1_000_000


def checked(
    facts: Facts, schedule: Schedule, *, hearing: str, reason: Literal["before_hearing", "command", "operator"],
    checks: list[contract.CheckResult],
) -> Outcome:  # fmt: skip
    """The diagnostics ran; ``hearing`` is empty where they ran for none."""
    turn = Turn(facts, schedule)
    known = turn.hearings.get(hearing)
    if known is not None and known.state == "preparing":
        turn.hearings[hearing] = change(known, checks_bad=any(check.result == "bad" for check in checks))
        turn.move_hearing(hearing, "checked")
    turn.events.append(contract.DiagnosticsDone(hearing=hearing, reason=reason, checks=checks))
    return turn.outcome()


def sealed(
    facts: Facts, schedule: Schedule, *, session: str, duration_us: int, head: contract.Head | None, now_utc_us: int, problem: str = "",
    not_begun: str = "",
) -> Outcome:  # fmt: skip
    """The record of a session is sealed (or was ended otherwise: ``problem``), whoever asked for it; one that was lost is found again.

    One that could not begin (``not_begun``) is no record of its hearing, which waits for its start as before.
    """
    turn = Turn(facts, schedule)
    known = _session(turn, session)
    if known.state not in RUNNING | {"failed"}:
        return turn.outcome()
    ended_us = now_utc_us if known.ended_utc_us is None else known.ended_utc_us
    if known.state == "unsealed":  # nobody may have seen its end
        ended_us = min(ended_us, known.began_utc_us + duration_us)
    turn.sessions[session] = change(known, ended_utc_us=ended_us, final_head=head, fault=None if known.state == "failed" else known.fault)
    by, reason = (known.stop_by, known.stop_reason) if known.stop_by else ("recorder", "sealed by the recorder")
    turn.events.append(
        contract.SessionEnded(
            session=session, record=session, hearing=known.hearing, by=by, reason=reason, duration_us=duration_us, head=head,
            problem=problem or not_begun[:1_000],
        )
    )  # fmt: skip
    failed_start = not_begun and not known.stop_by  # a person's reason may read like it
    if failed_start:
        turn.release(session)
    if known.state in {"unsealed", "failed"}:
        turn.move_session(session, "recovered")
    turn.move_session(session, "sealed")
    if failed_start:
        _start_failed(turn, known.hearing, REFUSED, not_begun, ended_us)
    _tell_delivery(turn, session)
    return turn.outcome()


def record_lost(facts: Facts, schedule: Schedule, *, session: str, fault: Fault) -> Outcome:
    """The record of a session that the recorder no longer has is gone, or is never sealed. ``fault.lost_s`` says how much it was."""
    turn = Turn(facts, schedule)
    known = _session(turn, session)
    if known.state not in RUNNING:
        return turn.outcome()
    if known.state != "unsealed":
        turn.move_session(session, "lost")
    turn.sessions[session] = change(turn.sessions[session], fault=fault, ended_utc_us=fault.until_utc_us)
    turn.move_session(session, "failed", fault.cause)
    _tell_delivery(turn, session)
    return turn.outcome()


def bound(facts: Facts, schedule: Schedule, *, action: BindRecord) -> Outcome:
    """The signed entry of a binding is in the record: so it is, also where the order was withdrawn or changed meanwhile.

    While it is recorded the recorder's status says so by itself, in its own order; an answer that overtook it would bind to and fro.
    """
    turn = Turn(facts, schedule)
    known = _session(turn, action.session)
    is_known = known.wanted is None and action.hearing == known.hearing
    if not is_known and (known.state not in RUNNING or action.hearing == known.hearing):
        turn.bind(action.session, action.hearing, action.case, action.actor, action.reason)
    return turn.outcome()


def countersigned(facts: Facts, schedule: Schedule, *, head: contract.Head) -> Outcome:
    """The centre's receipt for a head is stored, or the recorder will never take it: a record's last one is not told any more."""
    turn = Turn(facts, schedule)
    known = turn.sessions.get(head.record)
    if known is not None and known.final_head == head:
        turn.sessions[head.record] = change(known, final_head=None)
    return turn.outcome()


def certified(facts: Facts, schedule: Schedule, *, action: Certify, certificate: contract.FaultCertificate) -> Outcome:
    """The device signed what was not recorded. A hearing that waited to be held has thereby failed."""
    turn = Turn(facts, schedule)
    session: Session | None = turn.sessions.get(action.record)
    hearing: HearingFacts | None = turn.hearings.get(action.hearing)
    if session is not None and session.fault is not None and session.fault.lost_s is not None:
        turn.sessions[session.session] = change(session, fault=change(session.fault, lost_s=None))
    elif hearing is not None and hearing.fault is not None and hearing.fault.lost_s is not None:
        turn.hearings[hearing.hearing] = change(hearing, fault=None)
        if hearing.state in BEFORE:
            turn.move_hearing(hearing.hearing, "failed", hearing.fault.cause)
    else:
        return turn.outcome()
    turn.events.append(certificate)
    return turn.outcome()


# the archive


def delivered(facts: Facts, schedule: Schedule, *, record: str, sums_sha256: str, by: str) -> Outcome:
    """The acknowledgement for a whole record is here. A record that these facts do not know (an earlier disk's) is told of all the same.

    The delivery looks at the disks, and may be ahead of the recorder's word that a record is sealed: its news is kept until that is known.
    """
    turn = Turn(facts, schedule)
    known = turn.sessions.get(record)
    if known is None:
        turn.events.append(contract.RecordDelivered(record=record, sums_sha256=sums_sha256, by=by))
        return turn.outcome()
    new = Delivery(sums_sha256=sums_sha256, by=by)
    if known.delivery is None or known.delivery.sums_sha256 == sums_sha256:
        turn.sessions[record] = change(known, delivery=new)
    else:
        others = [one for one in known.further_deliveries if one.sums_sha256 != sums_sha256]
        turn.sessions[record] = change(known, further_deliveries=[*others, new])
    if known.state not in RUNNING:
        _tell_delivery(turn, record)
    return turn.outcome()


def _tell_delivery(turn: Turn, session: str) -> None:
    """Tell what the archive has said of a session that has ended, also of one whose record was believed to be lost."""
    known = turn.sessions[session]
    if known.delivery is None:
        return
    news = [one for one in (known.delivery, *known.further_deliveries) if one.sums_sha256 not in known.seals_told]
    turn.events.extend(contract.RecordDelivered(record=session, sums_sha256=one.sums_sha256, by=one.by) for one in news)
    seals = [*known.seals_told, *(one.sums_sha256 for one in news)]
    turn.sessions[session] = change(known, delivery=None, further_deliveries=[], seals_told=seals)
    if known.state != "delivered":
        turn.move_session(session, "delivered")
        hearing = turn.hearings.get(known.hearing)
        whole = all(other.state == "delivered" for other in turn.sessions_of(known.hearing))
        if hearing is not None and hearing.state == "failed" and whole and not known.not_begun:
            turn.move_hearing(known.hearing, "delivered")


def session_named(facts: Facts, begin: str) -> str:
    """The session whose id begins so.

    Raises:
        ToldError: there is none, or more than one.
    """
    if begin in facts.sessions:
        return begin
    found = [session for session in facts.sessions if session.startswith(begin)]
    if len(found) > 1:
        raise ToldError(f"{len(found)} sessions begin with {begin}; give more of the id, as `courtroom hearing list` prints it")
    if not found:
        raise ToldError(f"there is no session {begin} in this room; `courtroom hearing list --all` shows their ids")
    return found[0]


def _known_hearing(turn: Turn, hearing: str) -> None:
    if hearing not in turn.hearings and hearing not in turn.schedule.changes:
        raise ToldError(
            f"hearing {hearing} is not in this room's schedule: compare it with `courtroom hearing list`; "
            "where it is right all the same, give the order again with --not-planned"
        )


def _session(turn: Turn, session: str) -> Session:
    known = turn.sessions.get(session)
    if known is None:
        raise ToldError(f"there is no session {session} in this room")
    return known
