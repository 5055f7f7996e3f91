"""Which hearing participants come to: the one that is recorded, else the one that is near. It stays one conference to its end."""

from msgspec.structs import replace

from agent.hearing import Facts
from agent.held import GIVES_WAY_US, OPENS_US, Follow, Held
from agent.schedule import Schedule, merge_feed
from agent.upstream import contract
from recorder.contract.control import Status
from tests.agent.model_room import ModelRoom
from tests.agent.plans import DAY, ROOM, hearing
from tests.agent.statuses import status

PLAN = hearing("h1", starts_us=DAY + 3_600_000_000)


def schedule(*plans: contract.Hearing) -> Schedule:
    changes = [contract.Change(offset=number, hearing=plan) for number, plan in enumerate(plans, 1)]
    return merge_feed(Schedule(), contract.Feed(as_of=len(changes), changes=changes))


def recording(name: str, record: str = "r1", state: str = "open", level: str = "open") -> Status:
    return replace(status(), state=state, record=record, hearing=name, level=level)


def look(follow: Follow, now: Status | None, at_us: int, *plans: contract.Hearing) -> Held:
    held = follow.look(Facts(), schedule(*plans), ROOM, now, at_us)
    assert held is not None
    return held


def test_the_lobby_opens_before_the_planned_start_and_closes_when_nobody_began() -> None:
    idle = replace(status(), state="idle", record="", hearing="")
    assert look(Follow(), idle, PLAN.starts_utc_us - OPENS_US - 1, PLAN).id == ""
    near = look(Follow(), idle, PLAN.starts_utc_us - OPENS_US, PLAN)
    assert (near.id, near.title, near.state) == ("h1", PLAN.title or PLAN.case, "idle")
    assert look(Follow(), idle, PLAN.ends_utc_us + OPENS_US, PLAN).id == ""


def test_a_hearing_that_nobody_began_gives_the_lobby_up_to_the_next_one_when_its_planned_end_is_over() -> None:
    ends_us = PLAN.ends_utc_us
    idle = replace(status(), state="idle", record="", hearing="")
    for begins_us, given_up_us in ((ends_us, ends_us), (ends_us + OPENS_US // 2, ends_us + OPENS_US // 2 - GIVES_WAY_US)):
        plans = (PLAN, hearing("h2", starts_us=begins_us, length_us=OPENS_US // 4))
        assert look(Follow(), idle, given_up_us - 1, *plans).id == "h1", "it may only be late"
        assert look(Follow(), idle, given_up_us, *plans).id == "h2"
        assert look(Follow(), idle, plans[1].ends_utc_us, *plans).id == "h2", "nor does it come back"
        assert look(Follow(), recording("h1"), given_up_us, *plans).id == "h1"


def test_whoever_waited_for_the_hearing_is_in_it_when_it_begins() -> None:
    follow = Follow()
    idle = replace(status(), state="idle", record="", hearing="")
    assert look(follow, idle, PLAN.starts_utc_us, PLAN).id == "h1"
    assert look(follow, recording("h1"), PLAN.starts_utc_us, PLAN).state == "open"
    assert look(follow, recording("h1", state="privileged"), PLAN.starts_utc_us, PLAN).state == "privileged"


def test_which_record_is_made_is_known_as_long_as_it_is() -> None:
    follow = Follow()
    idle = replace(status(), state="idle", record="", hearing="")
    path = "/records/2026-08-03_lab_0f64"
    seen = (idle, recording("h1", path), recording("h1", path, state="off_record"), None, idle)
    assert [look(follow, now, PLAN.starts_utc_us, PLAN).record for now in seen] == ["", "0f64", "0f64", "0f64", ""]


def test_a_session_that_is_bound_to_a_hearing_stays_the_conference_that_it_was() -> None:
    follow = Follow()
    assert look(follow, recording("local:1"), DAY).id == "local:1"
    bound = look(follow, recording("h1"), DAY, PLAN)
    assert (bound.id, bound.hearing) == ("local:1", "h1")
    assert look(follow, recording("h1", record="r2"), DAY, PLAN).id == "h1", "another session is another conference"


def test_an_agent_that_is_started_anew_goes_on_with_the_conference_of_a_session_that_was_bound_meanwhile() -> None:
    room = ModelRoom()
    room.clerk_starts()
    before = Follow().look(room.facts, room.schedule, ROOM, recording(room.recorder.hearing, room.recorder.record), DAY)
    assert before is not None
    room.clerk_binds(room.session.session, "h1")
    assert room.recorder.hearing == "h1"
    after = Follow().look(room.facts, room.schedule, ROOM, recording("h1", room.recorder.record), DAY)
    assert after is not None
    assert (after.id, after.hearing) == (before.id, "h1")
    assert after.id.startswith("local:")


def test_a_recorder_that_is_away_for_a_moment_closes_no_conference() -> None:
    follow = Follow()
    before = look(follow, recording("local:1"), DAY)
    assert look(follow, None, DAY) == before


def test_an_agent_that_has_not_heard_of_the_recorder_yet_says_nothing_of_the_hearing() -> None:
    assert Follow().look(Facts(), schedule(PLAN), ROOM, None, PLAN.starts_utc_us) is None


def test_what_a_recorder_said_that_is_silent_for_long_is_not_taken_for_certain() -> None:
    follow, plans = Follow(), schedule(PLAN)
    assert not look(follow, recording("h1"), DAY, PLAN).unsure
    for now, silent_s, unsure in ((None, 1.0, False), (None, 2.5, True), (recording("h1"), 2.5, True), (recording("h1"), 0.1, False)):
        held = follow.look(Facts(), plans, ROOM, now, DAY, silent_s)
        assert held is not None
        assert (held.id, held.state, held.unsure) == ("h1", "open", unsure)


def test_the_public_is_excluded_by_the_plan_and_by_the_judge_while_it_is_recorded() -> None:
    closed = replace(PLAN, level="closed")
    assert look(Follow(), recording("h1"), DAY, closed).closed
    assert look(Follow(), recording("h1", level="secret"), DAY, PLAN).closed
    assert not look(Follow(), recording("h1"), DAY, PLAN).closed
