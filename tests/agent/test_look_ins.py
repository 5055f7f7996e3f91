"""The centre's look-ins in the room: each that began is told to have ended, and none goes on that nobody knows of."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest
from msgspec.structs import replace

from agent.conference_link import ConferenceAwayError, ConferenceLink
from agent.look_in_desk import LookInDesk
from agent.look_ins import GONE, IS_OVER, NOT_OPEN, LookIn, LookIns, over, refusal, unknown
from agent.outbox import Stamp
from agent.room_process import RoomProcess
from agent.upstream import contract
from agent.upstream.centre.looking_in import WAITS_US, look_into
from recorder.contract import conference
from recorder.contract.control import State
from tests.agent.statuses import status
from tests.lab.waiting import until

NOW = Stamp(utc_us=1_000_000_000, mono_us=5_000_000, boot="boot-1", clock=contract.ClockQuality(source="test"))
ONE = LookIn(lookin="l1", person="B. Inspector", reason="a complaint", boot="boot-1", until_mono_us=65_000_000, began=True, told=True)


def wanted() -> contract.StartLookIn:
    return look_into("B. Inspector", "a complaint", 60, NOW.utc_us)[0]


def test_it_goes_on_while_it_is_shown_and_the_room_is_open_also_where_nobody_knows_for_a_moment() -> None:
    assert over(ONE, ["l1"], "open", NOW) == ""
    assert over(ONE, None, None, NOW) == ""


@pytest.mark.parametrize(
    ("shown", "room", "mono_us", "boot", "why"),
    [
        (["l1"], "open", 65_000_000, "boot-1", IS_OVER),
        (None, None, 65_000_000, "boot-1", IS_OVER),
        (["l1"], "open", 1, "boot-2", IS_OVER),
        (["l1"], "off_record", 5_000_000, "boot-1", NOT_OPEN),
        (["l2"], "open", 5_000_000, "boot-1", GONE),
    ],
)
def test_it_is_over_by_its_time_by_a_new_boot_by_the_rooms_state_and_where_it_is_not_shown(
    shown: list[str] | None, room: State | None, mono_us: int, boot: str, why: str
) -> None:
    now = Stamp(utc_us=NOW.utc_us, mono_us=mono_us, boot=boot, clock=NOW.clock)
    assert over(ONE, shown, room, now) == why


def test_what_is_shown_and_not_known_is_to_end() -> None:
    assert unknown([ONE], ["l1", "stranger"]) == ["stranger"]


def test_a_command_that_comes_late_or_twice_is_refused() -> None:
    command = wanted()
    assert refusal(command, [], NOW.utc_us + WAITS_US) == ""
    assert "too late" in refusal(command, [], NOW.utc_us + WAITS_US + 1)
    assert "already" in refusal(command, [command.lookin], NOW.utc_us)


@pytest.mark.parametrize("broken", [b"{", b'[{"lookin": "\xff"}]', b'[{"lookin": "l1"}]'])
def test_what_is_open_is_known_after_a_new_start_and_a_broken_file_keeps_no_agent_from_its_work(tmp_path: Path, broken: bytes) -> None:
    file = tmp_path / "look_ins.json"
    LookIns(file).put(ONE)
    assert LookIns(file).open == [ONE]
    LookIns(file).drop("l1")
    assert LookIns(file).open == []
    file.write_bytes(broken)
    assert LookIns(file).open == []
    assert file.with_suffix(".damaged").read_bytes() == broken
    LookIns(file).put(ONE)
    assert LookIns(file).open == [ONE]


class Desk:
    """The desk of a room whose vks answers by hand."""

    def __init__(self, path: Path) -> None:
        self.process = create_autospec(RoomProcess, instance=True)
        self.process.stamp.return_value = NOW
        self.process.status.return_value = status()
        self.process.tell = AsyncMock()
        self.link = create_autospec(ConferenceLink, instance=True)
        self.link.ask = AsyncMock(return_value=conference.Answer(number=1))
        self.desk = LookInDesk(self.process, self.link, LookIns(path / "look_ins.json"))
        self.shows()

    def shows(self, *names: str) -> None:
        look_ins = [conference.LookingIn(look_in=name, person="", reason="", until_mono_us=0, watches=False) for name in names]
        self.link.stands_now = conference.Stands(hearing="h1", people=[], sharing="", look_ins=look_ins, order=b"")

    @property
    def told(self) -> list[tuple[str, str, str]]:
        events = [call.args[0] for call in self.process.tell.await_args_list]
        return [(event.phase, event.by, event.detail) for event in events]

    @property
    def asked(self) -> list[conference.Act]:
        return [call.args[0] for call in self.link.ask.await_args_list]

    async def runs_until(self, condition: Callable[[], bool], what: str) -> None:
        running = asyncio.create_task(self.desk.run())
        try:
            await until(condition, what)
        finally:
            running.cancel()


@pytest.fixture
async def room(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def begun(room: Desk) -> contract.StartLookIn:
    command = wanted()
    assert (await room.desk.begin(command))[0]
    room.shows(command.lookin)
    return command


async def test_its_begin_is_told_when_the_room_shows_it_and_its_end_with_who_ended_it(room: Desk) -> None:
    command = await begun(room)
    (act,) = room.asked
    assert isinstance(act, conference.BeginLookIn)
    assert (act.person, act.reason, act.length_s, act.token_sha256) == ("B. Inspector", "a complaint", 60, command.token_sha256)
    room.link.on_fact(conference.Fact(name="look_in_ended", data={"look_in": command.lookin, "by": "A. Judge", "reason": "a child"}))
    room.shows()
    await room.runs_until(lambda: len(room.told) == 2, "the end")
    assert room.told == [("began", "", ""), ("ended", "A. Judge", "a child")]


async def test_what_vks_refuses_or_does_not_answer_is_refused_and_what_began_nevertheless_is_ended(room: Desk) -> None:
    room.link.ask.return_value = conference.Answer(number=1, code="not_open", words="no open hearing is recorded now")
    assert await room.desk.begin(wanted()) == (False, "no open hearing is recorded now")
    room.link.ask.side_effect = ConferenceAwayError("it did not answer")
    lost = wanted()
    assert await room.desk.begin(lost) == (False, "it did not answer")
    assert room.told == [("refused", "", "no open hearing is recorded now"), ("refused", "", "it did not answer")]
    room.link.ask.side_effect = None
    room.shows(lost.lookin)
    await room.runs_until(lambda: conference.EndLookIn(look_in=lost.lookin) in room.asked, "it is ended")


async def test_the_centre_ends_it_at_once_and_vks_when_it_is_back(room: Desk) -> None:
    command = await begun(room)
    room.link.ask.side_effect = ConferenceAwayError("away")
    assert (await room.desk.end(contract.EndLookIn(number=1, lookin=command.lookin)))[0]
    assert room.told[-1] == ("ended", "", "by the centre")
    room.link.ask.side_effect = None
    before = len(room.asked)
    await room.runs_until(lambda: conference.EndLookIn(look_in=command.lookin) in room.asked[before:], "it ends in the room too")
    assert len(room.told) == 2, "its end is told once"


async def test_a_disk_that_takes_nothing_lets_nobody_look_in_and_each_end_is_told_once(room: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    command = await begun(room)
    monkeypatch.setattr("agent.look_ins.whole_file.write", Mock(side_effect=OSError(28, "No space left on device")))
    refused, why = await room.desk.begin(wanted())
    assert (refused, "No space left" in why) == (False, True)
    room.shows()
    room.link.ask.reset_mock()
    await room.runs_until(lambda: len(room.told) == 3, "the end")
    room.shows("stranger")
    await room.runs_until(lambda: conference.EndLookIn(look_in="stranger") in room.asked, "another look")
    assert [phase for phase, _, _ in room.told] == ["began", "refused", "ended"]
    assert command.lookin not in [act.look_in for act in room.asked if isinstance(act, conference.EndLookIn)]


async def test_one_that_a_killed_agent_had_asked_for_is_refused_and_one_that_had_begun_goes_on(tmp_path: Path) -> None:
    LookIns(tmp_path / "look_ins.json").put(ONE)
    asked = LookIns(tmp_path / "look_ins.json")
    asked.put(LookIn(lookin="l2", person="D. Li", reason="a complaint", boot="boot-1", until_mono_us=65_000_000))
    after = Desk(tmp_path)
    after.shows("l1", "l2")
    await after.runs_until(lambda: conference.EndLookIn(look_in="l2") in after.asked, "what nobody was told of is ended")
    assert after.told == [("refused", "", "the agent was started anew while it was asked for")]
    assert [one.lookin for one in LookIns(tmp_path / "look_ins.json").open] == ["l1"]


async def test_a_begin_that_a_killed_agent_had_not_told_is_told_before_the_end(tmp_path: Path) -> None:
    LookIns(tmp_path / "look_ins.json").put(replace(ONE, told=False))
    after = Desk(tmp_path)
    after.shows("l1")
    await after.runs_until(lambda: bool(after.told), "the begin")
    assert after.told == [("began", "", "")]
    again = Desk(tmp_path)
    await again.runs_until(lambda: bool(again.told), "the end")
    assert [phase for phase, _, _ in again.told] == ["ended"], "the begin is told once"


async def test_a_begin_that_was_not_told_is_told_also_where_the_centre_ends_it_at_once(tmp_path: Path) -> None:
    LookIns(tmp_path / "look_ins.json").put(replace(ONE, told=False))
    after = Desk(tmp_path)
    await after.desk.end(contract.EndLookIn(number=1, lookin="l1"))
    assert [phase for phase, _, _ in after.told] == ["began", "ended"]
