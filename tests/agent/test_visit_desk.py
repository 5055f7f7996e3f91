"""The clerk's orders about a visit to another room's hearing, with vks played by the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web

from agent.conference_link import ConferenceLink
from agent.desk import DeskError
from agent.held import Held
from agent.recorder_link import RecorderLink
from agent.visit_desk import LeaveVisit, VisitDesk, VisitOrder
from agent.visits import SECRET_BYTES, Visits
from recorder.contract import conference
from recorder.contract.control import State
from tests.lab.waiting import until

BY = "A. Clerk"
TOKEN = "x" * 43
BOOT = "boot-1"
ORDER = VisitOrder(actor=BY, link=f"https://centre.example/r/lab/join/#{TOKEN}")


class Vks:
    """vks, as the agent meets it."""

    def __init__(self, run_dir: Path) -> None:
        self.desk = desk(run_dir, self._look)
        self.state: State = "idle"
        self.told: list[conference.HearingIs] = []
        self._agent: web.WebSocketResponse | None = None

    def _look(self) -> conference.HearingIs:
        held = Held(state=self.state)
        return conference.HearingIs(
            hearing="", title="", state=self.state, closed=False, invitations=[], secret=b"", visit=self.desk.visit(held)
        )

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self._agent = agent = web.WebSocketResponse()
        await agent.prepare(request)
        async for message in agent:
            said = conference.from_agent.decode(message.data)
            assert isinstance(said, conference.HearingIs)
            self.told.append(said)
        return agent

    @property
    def visit(self) -> conference.Visit | None:
        """What it was told last."""
        return self.told[-1].visit if self.told else None

    async def say(self, phase: conference.VisitPhase, words: str = "", resume: str = "", **more: str) -> None:
        """How the visit stands."""
        await until(lambda: self.visit is not None, "the visit")
        assert self.visit is not None
        assert self._agent is not None
        said = conference.VisitIs(visit=self.visit.id, phase=phase, title="Case 1", name="Court 2", words=words, resume=resume, **more)
        await self._agent.send_str(conference.encoder.encode(said).decode())


def desk(run_dir: Path, look: Callable[[], conference.HearingIs | None] = lambda: None) -> VisitDesk:
    """A desk with a link that knows this of the hearing."""
    link = ConferenceLink(run_dir, RecorderLink(run_dir), look)
    return VisitDesk(link, Visits(run_dir / "visit.json", BOOT), None)


@pytest.fixture
async def vks(tmp_path: Path) -> AsyncIterator[Vks]:
    made = Vks(tmp_path)
    application = web.Application()
    application.router.add_get("/agent", made.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, conference.socket_path(str(tmp_path))).start()
    running = asyncio.create_task(made.desk._link._keep())
    await until(lambda: bool(made.told), "the agent")
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await runner.cleanup()


async def begun(vks: Vks, phase: conference.VisitPhase = "waits", words: str = "", resume: str = "", **more: str) -> str:
    """Order a visit, have vks say how it stands, and return what the clerk reads."""
    asked = asyncio.create_task(vks.desk.begin(ORDER))
    await vks.say(phase, words, resume, **more)
    return (await asked).text


async def test_the_clerk_reads_as_whom_the_room_waits_and_where(vks: Vks) -> None:
    assert await begun(vks) == "This room waits as “Court 2” to be admitted to “Case 1” by the other room's clerk."
    assert vks.visit is not None
    assert (vks.visit.root, vks.visit.token) == ("https://centre.example/r/lab", TOKEN)
    await vks.say("takes_part")
    await until(lambda: (state := vks.desk.state()) is not None and state.phase == "takes_part", "the state")


async def test_the_clerk_reads_out_a_code_where_the_hearing_is_not_public_and_the_next_process_needs_no_other(
    vks: Vks, tmp_path: Path
) -> None:
    read = await begun(vks, "unvouched", resume="r1", code="12345678901234567890")
    assert "this code: 12345 67890 12345 67890." in read
    assert "Until then nothing of the case is to be said here" in read, "whoever is in the middle can say that it fitted"
    state = vks.desk.state()
    assert state is not None
    assert (state.phase, state.code) == ("unvouched", "12345 67890 12345 67890")
    await vks.say("waits", resume="r1", host="ab" * 32)
    await until(lambda: vks.visit is not None and vks.visit.host == "ab" * 32, "vks is told what was compared")
    kept = Visits(tmp_path / "visit.json", BOOT).now
    assert kept is not None
    assert vks.visit is not None
    assert (kept.host, kept.secret) == ("ab" * 32, vks.visit.secret)
    assert len(kept.secret) == SECRET_BYTES


async def test_a_room_that_does_not_answer_is_dialled_on(vks: Vks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.visit_desk.ANSWER_S", 0.5)
    assert "cannot be reached" in await begun(vks, "dials", "the other room cannot be reached")
    assert vks.desk.state() is not None


async def test_what_the_other_room_refuses_is_refused_in_its_words_and_kept_no_more(vks: Vks, tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="does not know this link"):
        await begun(vks, "over", "the other room does not know this link")
    assert vks.desk.state() is None
    assert Visits(tmp_path / "visit.json", BOOT).now is None
    await until(lambda: vks.visit is None, "vks is told")


async def test_how_a_visit_ended_later_is_shown_until_the_clerk_has_seen_it(vks: Vks) -> None:
    await begun(vks)
    await vks.say("over", "the other room has put this one out")
    await until(lambda: vks.visit is None, "vks is told")
    ended = vks.desk.state()
    assert ended is not None
    assert (ended.phase, ended.title, ended.words) == ("over", "Case 1", "the other room has put this one out")
    with pytest.raises(DeskError, match="no other room"):
        await vks.desk.end(LeaveVisit(actor=BY))
    assert vks.desk.state() is None


async def test_of_two_orders_at_once_one_is_carried_out(vks: Vks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.visit_desk.ANSWER_S", 0.2)
    done = await asyncio.gather(vks.desk.begin(ORDER), vks.desk.begin(ORDER), return_exceptions=True)
    assert [type(one).__name__ for one in done if isinstance(one, Exception)] == ["DeskError"]


async def test_a_visit_whose_file_stays_is_ended_and_the_clerk_is_told(vks: Vks, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(vks)

    def fail(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("agent.whole_file.remove", fail)
    with pytest.raises(DeskError, match=r"is ended, but .* cannot be removed: Read-only file system"):
        await vks.desk.end(LeaveVisit(actor=BY))
    await until(lambda: vks.visit is None, "vks is told")


async def test_there_is_one_visit_at_a_time(vks: Vks) -> None:
    await begun(vks)
    with pytest.raises(DeskError, match="leave-visit"):
        await vks.desk.begin(ORDER)
    await vks.desk.end(LeaveVisit(actor=BY))
    await until(lambda: vks.visit is None, "vks is told")
    with pytest.raises(DeskError, match="no other room"):
        await vks.desk.end(LeaveVisit(actor=BY))
    await begun(vks)


@pytest.mark.parametrize("state", ["open", "off_record", "privileged", "closing"])
async def test_a_room_whose_own_hearing_is_held_visits_nobody_and_its_beginning_ends_a_visit(vks: Vks, state: State) -> None:
    await begun(vks)
    vks.state = state
    await until(lambda: vks.told[-1].state == state, "its own hearing")
    assert vks.visit is None
    assert vks.desk.state() is None
    with pytest.raises(DeskError, match="courtroom hearing stop"):
        await vks.desk.begin(ORDER)


async def test_an_agent_that_is_started_anew_goes_on_by_the_newest_way_back(vks: Vks, tmp_path: Path) -> None:
    await begun(vks, resume="r1")
    await vks.say("takes_part", resume="r2")
    await until(lambda: vks.visit is not None and vks.visit.resume == "r2", "the newest resume token")
    assert Visits(tmp_path / "visit.json", BOOT).now == vks.visit


async def test_while_vks_or_the_recorder_is_away_no_visit_begins(tmp_path: Path) -> None:
    made = desk(tmp_path)
    with pytest.raises(DeskError, match="recorder is away"):
        await made.begin(ORDER)
    made.visit(Held())
    with pytest.raises(DeskError, match="courtroom-vks"):
        await made.begin(ORDER)
    assert Visits(tmp_path / "visit.json", BOOT).now is None


async def test_what_could_not_be_removed_of_a_visit_is_told_until_it_is_gone(
    vks: Vks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(vks)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", Mock(side_effect=OSError(30, "Read-only file system")))
        for _ in range(2):
            with pytest.raises(DeskError, match=r"is ended, but .*visit\.json cannot be removed: Read-only file system"):
                await vks.desk.end(LeaveVisit(actor=BY))
    with pytest.raises(DeskError, match="no other room"):
        await vks.desk.end(LeaveVisit(actor=BY))
    assert Visits(tmp_path / "visit.json", BOOT).now is None


async def test_a_file_of_authorities_that_cannot_be_read_is_told(vks: Vks, tmp_path: Path) -> None:
    vks.desk._authorities = tmp_path / "roots.pem"
    with pytest.raises(DeskError, match=r"roots\.pem"):
        await vks.desk.begin(ORDER)
    vks.desk._authorities.write_text("PEM")
    await begun(vks)
    assert vks.visit is not None
    assert vks.visit.authorities == "PEM"


async def test_no_log_of_the_agent_has_the_link_or_the_way_back(vks: Vks, capsys: pytest.CaptureFixture[str]) -> None:
    await begun(vks, resume="secret-resume")
    await vks.desk.end(LeaveVisit(actor=BY))
    said = "".join(capsys.readouterr())
    assert "visits another one" in said
    assert TOKEN not in said
    assert "secret-resume" not in said
