"""The sessions that the agent missed, for it did not run, or did not reach the recorder: taken in by their records. Pure."""

from collections.abc import Sequence

from agent.decision import CHECK_BEFORE_S
from agent.follow_recorder import Seen, take_up
from agent.hearing import BEFORE, KEPT_S, Facts, record_of
from agent.prompts import WRONG_CASE_S
from agent.schedule import Schedule
from agent.turn import Outcome, Turn
from recorder.contract.control import PastRecord


def take_in(
    facts: Facts, schedule: Schedule, *, past: Sequence[PastRecord], room: str, now_utc_us: int, is_time_known: bool
) -> Outcome:  # fmt: skip
    """Take these records in whose sessions nobody knows: as ones that the recorder no longer has, so that it is found out how they ended.

    Not while the time is not known, nor what began longer ago than facts are kept, or is still to come: that was known, and is forgotten.
    Where the facts begin anew (another disk) earlier ones knew what was recorded before; of that only what a waiting hearing lacks is
    taken in.
    """
    turn = Turn(facts, schedule)
    if not is_time_known:
        return turn.outcome()
    if turn.known_from_utc_us is None:
        turn.known_from_utc_us = now_utc_us
    for one in past:
        record = record_of(one.path)
        if record not in turn.sessions and one.room == room and _was_missed(turn, one, now_utc_us):
            seen = Seen(state="idle", record=one.path, hearing=one.hearing, t_us=max(0, now_utc_us - one.began_utc_us))
            take_up(turn, record, seen, now_utc_us, is_over=True)
    return turn.outcome()


def _was_missed(turn: Turn, one: PastRecord, now_utc_us: int) -> bool:
    if not now_utc_us - KEPT_S * 1_000_000 <= one.began_utc_us <= now_utc_us:
        return False
    is_new = turn.known_from_utc_us is not None and one.began_utc_us >= turn.known_from_utc_us
    hearing = turn.hearings.get(one.hearing)
    if hearing is None or hearing.state not in BEFORE or hearing.plan is None:
        return is_new
    # It waits for its new date, perhaps, or for the afternoon: a record of before must not end it while that may still be held.
    is_over = hearing.plan.ends_utc_us <= now_utc_us
    early_s = WRONG_CASE_S if is_over else CHECK_BEFORE_S
    is_of_this_date = one.began_utc_us >= hearing.plan.starts_utc_us - early_s * 1_000_000
    return is_of_this_date or (is_new and is_over)
