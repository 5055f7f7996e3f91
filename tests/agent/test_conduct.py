"""What is asked of the recorder, how often, and what becomes of its answers: the agent's parts at a recorder's real control socket."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from agent import desk
from agent.actions import BindRecord, Prompt, StopRecording
from agent.clock_quality import ClockWatch
from agent.conduct import Conductor
from agent.hearing import Facts
from agent.measures import Measures
from agent.recorder_link import RecorderRefusedError
from agent.room_process import RoomProcess
from agent.staff import Linked, Staff
from agent.upstream import contract
from provisioning.room import Centre, RoomConfig
from recorder.contract import control
from recorder.control_server import ControlServer
from tests.agent.statuses import status
from tests.lab.waiting import until

RECORD = "2f6e7f64-1f43-4e06-9a5e-8c4a2f0a9d10"
PATH = f"/records/2026-01-01_lab_{RECORD}"
NOT_DURABLE = "the session has begun and is kept in memory, but the disk takes nothing of it yet"
CONFIG = RoomConfig.model_validate(
    {
        "centre_roots": "root.pem",
        "room": {"id": "lab", "court": "Court"},
        "storage": {"primary": "/records"},
        "signing": {"kind": "file", "key": "k", "chain": "c"},
        "microphone": [{"id": "mic", "driver": "test-tone", "channels": [{"id": "judge", "number": 1}]}],
        "watch": {"enabled": False},
        "mix": {"enabled": False},
    }
)
WITH_CENTRE = CONFIG.model_copy(
    update={"centre": Centre(url="https://centre.example.kz", key="k", certificate="c", roots="r", receipt_roots="r")}
)


class Answering:
    """A recorder by its contract, whose answers a test chooses."""

    def __init__(self) -> None:
        self.state: control.State = "idle"
        self.hearing = ""
        self.takes_no_title = False
        self.takes_no_record = False
        self.asked: list[control.AnyRequest] = []
        self.answers: dict[type[control.Request], control.Reply] = {}
        self.begins_now = asyncio.Event()
        """A start waits for it."""
        self.begins_now.set()

    async def do(self, request: control.AnyRequest) -> control.Reply:
        self.asked.append(request)
        if isinstance(request, control.Start):
            await self.begins_now.wait()
            if self.state != "idle":
                return control.Reply(ok=False, error="cannot start a session: one is running")
            answer = self.answers.get(control.Start, control.Reply(ok=True, record=PATH))
            if request.title and self.takes_no_title:
                answer = control.Reply(ok=False, error=f"{control.NOT_A_REQUEST}: title")
            if answer.record:
                self.state, self.hearing = "open", request.hearing
            return answer
        if isinstance(request, control.StopRequest | control.BindRequest) and request.record and self.takes_no_record:
            return control.Reply(ok=False, error=f"{control.NOT_A_REQUEST}: Object contains unknown field `record`")
        if isinstance(request, control.BindRequest):
            self.hearing = request.hearing
        if isinstance(request, control.PauseRequest):
            self.state = request.state
        if isinstance(request, control.ResumeRequest):
            self.state = "open"
        return self.answers.get(type(request), control.Reply(ok=True))

    def status(self) -> control.Status:
        runs = self.state != "idle"
        now = status(state=self.state, record=PATH if runs else "", t_us=1_000_000)
        return msgspec.structs.replace(now, hearing=self.hearing if runs else "")

    def count(self) -> Counter[str]:
        return Counter(type(request).__name__ for request in self.asked)


class AgentInProcess:
    """The agent's parts that act, with the recorder that they ask."""

    def __init__(self, base: Path, config: RoomConfig) -> None:
        self.recorder = Answering()
        self.process = RoomProcess(config, base, ClockWatch())
        now_us = self.process.stamp().utc_us
        self.process.centre_clock.said(now_us, 0, own_utc_us=now_us, now_s=time.monotonic())
        self.conductor = Conductor(self.process)
        self.staff = Staff(self.process, self.conductor, Linked())
        self.door = ControlServer(base, self.recorder.do, self.recorder.status, frozenset())

    async def facts(self) -> Facts:
        return await self.process.store.do(lambda store: store.facts)

    async def told(self) -> list[contract.AnyData]:
        stamp = self.process.stamp()
        batch = await self.process.store.do(lambda store: store.change(lambda outbox: outbox.batch(), stamp))
        return [event.data for event in batch.events] if batch is not None else []

    async def until_told(self, kind: type[contract.EventData]) -> None:
        for _ in range(500):
            if any(isinstance(event, kind) for event in await self.told()):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never told: {kind.__name__}")

    async def until_intervals_end_with(self, state: str, by: str) -> None:
        intervals: list[tuple[str, str]] = []
        for _ in range(500):
            intervals = [(event.state, event.by) for event in await self.told() if isinstance(event, contract.IntervalChanged)]
            if intervals[-1:] == [(state, by)]:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never told: {state} by {by}, but {intervals}")


@asynccontextmanager
async def agent(base: Path, config: RoomConfig = CONFIG) -> AsyncIterator[AgentInProcess]:
    it = AgentInProcess(base, config)
    await it.door.start()
    await it.process.open(base / "agent.sqlite")
    tasks = [asyncio.create_task(it.process.link.run()), asyncio.create_task(it.conductor.run())]
    try:
        await until(lambda: it.process.link.reachable, "the recorder's state")
        yield it
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await it.process.store.close()
        await it.door.close()


async def test_a_start_that_is_not_on_the_disk_yet_is_a_start_with_a_warning_and_bears_the_persons_name(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        it.recorder.answers[control.Start] = control.Reply(ok=False, error=NOT_DURABLE, record=PATH)
        said = await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))
        assert (said.session, said.warning) == (RECORD, NOT_DURABLE)
        await it.until_told(contract.SessionStarted)
        (started,) = [event for event in await it.told() if isinstance(event, contract.SessionStarted)]
        assert (started.by, started.hearing) == ("Clerk A.", "h1")
        it.recorder.answers[control.PauseRequest] = control.Reply(ok=False, error="the order is obeyed", record=PATH)
        said = await it.staff.pause(desk.PauseOrder(actor="Clerk A.", state="privileged"))
        assert said.warning == "the order is obeyed"
        await it.until_told(contract.IntervalChanged)
        assert all(hearing.fault is None for hearing in (await it.facts()).hearings.values())


async def test_of_two_people_who_start_at_once_the_second_is_told_of_the_first_whose_name_the_session_bears(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        it.recorder.begins_now.clear()
        starts = [asyncio.create_task(it.staff.start(desk.StartOrder(actor=by, hearing="h1"))) for by in ("Clerk A.", "Clerk B.")]
        await until(lambda: it.recorder.count()["Start"] > 0, "the recorder to be asked")
        it.recorder.begins_now.set()
        first, second = await asyncio.gather(*starts, return_exceptions=True)
        assert isinstance(first, desk.Said)
        assert isinstance(second, desk.DeskError)
        assert "for Clerk A." in str(second)
        await it.until_told(contract.SessionStarted)
        assert [event.by for event in await it.told() if isinstance(event, contract.SessionStarted)] == ["Clerk A."]
        assert [request.actor for request in it.recorder.asked if isinstance(request, control.Start)] == ["Clerk A."]


async def test_a_stop_whose_record_could_not_be_sealed_is_still_an_error(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))
        await it.until_told(contract.SessionStarted)
        it.recorder.answers[control.StopRequest] = control.Reply(ok=False, error="the key does not answer", record=PATH)
        with pytest.raises(RecorderRefusedError, match="key"):
            await it.staff.stop(desk.StopOrder(actor="Clerk A."))


async def test_a_start_whose_words_the_recorder_does_not_take_is_a_start_without_them_at_the_same_level(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        it.recorder.takes_no_title = True
        plan = contract.Hearing(id="h1", room="lab", title="Title", starts_utc_us=1, ends_utc_us=2, level="closed")
        stamp = it.process.stamp()
        feed = contract.Feed(as_of=1, changes=[contract.Change(offset=1, hearing=plan)])
        await it.process.store.do(lambda store: store.take_feed(feed, stamp))
        assert (await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))).session == RECORD
        assert it.recorder.asked[-1] == control.Start(hearing="h1", actor="Clerk A.", level="closed")


async def test_one_order_to_bind_is_asked_of_the_recorder_once_or_twice(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h1"))
        await it.until_told(contract.SessionBound)
        assert it.recorder.count()["BindRequest"] <= 2
        ((session, bound),) = [(one.session, one.wanted) for one in (await it.facts()).sessions.values()]
        assert (session, bound) == (RECORD, None)


async def test_a_record_that_nobody_seals_and_a_binding_that_is_refused_are_asked_for_ever_more_seldom(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        unsealed = control.RecordFound(there=True)
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=unsealed)
        it.recorder.state = "idle"
        await until(lambda: it.recorder.count()["FindRecord"] == 2, "the record to be looked for a second time")
        began_s, before = time.monotonic(), it.recorder.count()["FindRecord"]
        await until(lambda: it.recorder.count()["FindRecord"] > before, "the third time")
        assert time.monotonic() - began_s > 1
        sealed = control.RecordFound(there=True, sealed=True, at=3, head="0" * 64)
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=sealed)
        it.recorder.answers[control.BindSealed] = control.Reply(ok=False, error="no sealed record is here")
        await it.until_told(contract.SessionEnded)
        await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h2", session=RECORD[:8]))
        await until(lambda: it.recorder.count()["BindSealed"] == 2, "the binding to be asked for a second time")
        assert any("no sealed record" in alarm and "withdraw" in alarm for alarm in it.staff.state().alarms)
        await it.staff.withdraw(desk.WithdrawOrder(actor="Clerk A.", session=RECORD))
        await until(lambda: not it.conductor.alarms, "the alarm to end")
        assert it.recorder.count()["BindSealed"] == 2
        with pytest.raises(desk.DeskError, match="no order to bind"):
            await it.staff.withdraw(desk.WithdrawOrder(actor="Clerk A.", session=RECORD))


async def test_a_record_that_nobody_can_seal_ends_its_hearing_with_a_certificate_and_one_that_was_sealed_after_all_comes_back(
    tmp_path: Path,
) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))
        await it.until_told(contract.SessionStarted)
        left = control.LeftUnsealed(cause="record_unsealed", detail=f"{PATH} was begun with another certificate")
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=control.RecordFound(there=True, left=left))
        it.recorder.state = "idle"
        await until(lambda: it.recorder.count()["CertifyFault"] > 0, "the certificate to be asked for")
        asked = next(one for one in it.recorder.asked if isinstance(one, control.CertifyFault))
        assert (asked.hearing, asked.record, asked.cause) == ("h1", RECORD, "record_unsealed")
        assert PATH in asked.detail
        facts = await it.facts()
        assert (facts.sessions[RECORD].state, facts.hearings["h1"].state) == ("failed", "failed")
        sealed = control.RecordFound(there=True, sealed=True, at=3, head="0" * 64)
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=sealed)
        await it.until_told(contract.SessionEnded)
        facts = await it.facts()
        assert (facts.sessions[RECORD].state, facts.hearings["h1"].state) == ("sealed", "sealed")


async def test_a_session_that_the_agent_never_saw_is_taken_in_and_its_last_head_waits_for_the_centre(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await until(lambda: it.recorder.count()["FindRecords"] > 0, "the records to be asked for")
        assert not it.process.knows_records, "it did not answer"
        now_us = it.process.stamp().utc_us
        plan = contract.Hearing(id="h1", room="lab", starts_utc_us=now_us - 6 * 3_600_000_000, ends_utc_us=now_us - 5 * 3_600_000_000)
        feed = contract.Feed(as_of=1, changes=[contract.Change(offset=1, hearing=plan)])
        stamp = it.process.stamp()
        await it.process.store.do(lambda store: store.take_feed(feed, stamp))
        past = control.PastRecord(path=PATH, room="lab", hearing="h1", began_utc_us=plan.starts_utc_us)
        sealed = control.RecordFound(there=True, sealed=True, duration_us=60_000_000, at=3, head="0" * 64)
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=sealed)
        found = control.RecordsFound(past=[past], silent=["mirror"])
        it.recorder.answers[control.FindRecords] = control.Reply(ok=True, records=found)
        await it.until_told(contract.SessionEnded)
        assert not it.process.knows_records, "on the silent disk there may be others"
        asked = it.recorder.count()["FindRecords"]
        waits = PATH.replace("2f6e7f64", "3f6e7f64")
        unsealed = control.RecordsFound(past=[past], unsealed=[PATH, waits])
        it.recorder.answers[control.FindRecords] = control.Reply(ok=True, records=unsealed)
        await until(lambda: it.recorder.count()["FindRecords"] > asked + 1, "the records to be asked for again")
        assert not it.process.knows_records, "of which hearing the one is that waits for its seal nobody knows yet"
        it.recorder.answers[control.FindRecords] = control.Reply(ok=True, records=control.RecordsFound(past=[past], unsealed=[PATH]))
        await until(lambda: it.process.knows_records, "all disks to be looked at")
        facts = await it.facts()
        assert (facts.hearings["h1"].state, facts.sessions[RECORD].ended_utc_us) == ("sealed", plan.starts_utc_us + 60_000_000)
        assert facts.sessions[RECORD].final_head == contract.Head(record=RECORD, at=3, sha256="0" * 64)
        assert [event.outcome for event in await it.told() if isinstance(event, contract.Reconciled)] == ["sealed"]


async def test_checks_are_refused_while_the_recorder_is_silent_and_a_session_of_it_is_not_sealed(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        await it.door.close()
        await until(lambda: it.process.status() is None, "the recorder to be away")
        with pytest.raises(desk.DeskError, match="does not answer, and may be recording"):
            await it.staff.diagnostics(desk.DiagnosticsOrder(actor="Technician C."))


async def test_a_mistyped_hearing_is_refused_and_a_session_of_one_that_nobody_planned_stays_in_the_clerks_sight(tmp_path: Path) -> None:
    async with agent(tmp_path, WITH_CENTRE) as it:
        plan = contract.Hearing(id="h2", room="lab", starts_utc_us=1, ends_utc_us=2)
        stamp = it.process.stamp()
        feed = contract.Feed(as_of=1, changes=[contract.Change(offset=1, hearing=plan)])
        await it.process.store.do(lambda store: store.take_feed(feed, stamp))
        with pytest.raises(desk.DeskError, match=r"h22 is not in this room's schedule.*--not-planned"):
            await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h22"))
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        with pytest.raises(desk.DeskError, match=r"h22 is not in this room's schedule.*--not-planned"):
            await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h22"))
        assert (it.recorder.count()["Start"], it.recorder.count()["BindRequest"]) == (1, 0)
        await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h22", not_planned=True))
        await it.until_told(contract.SessionBound)
        await it.staff.look()
        (other,) = it.staff.state().others
        assert (other.session, other.hearing, other.state) == (RECORD, "h22", "open")
        assert Measures(it.process, it.staff, None).values()["recorded_unscheduled"] == 1
        await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h2", session=other.session[:8]))
        await until(lambda: it.recorder.hearing == "h2", "the session to be bound to its own hearing")


async def test_a_yes_to_what_asks_for_a_hearing_is_refused_and_names_the_command(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await until(lambda: any(prompt.code == "bind_session" for prompt in it.staff.state().prompts), "the question")
        (prompt,) = [each for each in it.staff.state().prompts if each.code == "bind_session"]
        assert (prompt.asks, prompt.command) == (False, f"courtroom hearing bind HEARING --session {RECORD} --by NAME")
        with pytest.raises(desk.DeskError, match=f"hearing bind HEARING --session {RECORD}"):
            await it.staff.answer(desk.AnswerOrder(actor="Clerk A.", prompt=prompt.id, yes=True))


async def test_the_recorder_is_told_which_session_a_stop_and_a_binding_are_meant_for(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))
        await it.until_told(contract.SessionStarted)
        await it.conductor.order(StopRecording(session="another", actor="agent", reason="forgotten_stop"))
        assert control.StopRequest(actor="agent", reason="forgotten_stop", record="another") in it.recorder.asked
        await it.conductor.order(BindRecord(session=RECORD, hearing="h2", case="", actor="Clerk A.", reason="", sealed=False))
        assert control.BindRequest(hearing="h2", actor="Clerk A.", record=RECORD) in it.recorder.asked
        await it.staff.stop(desk.StopOrder(actor="Clerk A."))
        assert control.StopRequest(actor="Clerk A.", record=RECORD) in it.recorder.asked


async def test_a_yes_to_the_end_of_a_forgotten_session_ends_no_other_one(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h2"))
        await it.until_told(contract.SessionStarted)
        for forgotten in ("another", RECORD):
            it.process.prompts = (Prompt(code="forgotten_stop", hearing="h1", session=forgotten),)
            answering = it.staff.answer(desk.AnswerOrder(actor="Clerk A.", prompt=f"forgotten_stop/h1/{forgotten}", yes=True))
            if forgotten == RECORD:
                await answering
                assert control.StopRequest(actor="Clerk A.", record=RECORD) in it.recorder.asked
                continue
            with pytest.raises(desk.DeskError, match="does not run any more"):
                await answering
            assert it.recorder.count()["StopRequest"] == 0


async def test_a_session_that_was_sealed_because_it_could_not_begin_leaves_its_hearing_to_be_started_again(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        plan = contract.Hearing(id="h1", room="lab", starts_utc_us=it.process.stamp().utc_us, ends_utc_us=2**52)
        stamp = it.process.stamp()
        feed = contract.Feed(as_of=1, changes=[contract.Change(offset=1, hearing=plan)])
        await it.process.store.do(lambda store: store.take_feed(feed, stamp))
        await it.staff.start(desk.StartOrder(actor="Clerk A.", hearing="h1"))
        await it.until_told(contract.SessionStarted)
        sealed = control.RecordFound(there=True, sealed=True, reason="could not begin: no keys", at=3, head="0" * 64)
        it.recorder.answers[control.FindRecord] = control.Reply(ok=True, found=sealed)
        it.recorder.state = "idle"
        await it.until_told(contract.SessionEnded)
        facts = await it.facts()
        assert (facts.sessions[RECORD].state, facts.hearings["h1"].state) == ("sealed", "planned")


async def test_a_session_that_goes_on_with_the_program_of_before_an_update_can_be_bound_and_ended_and_no_other_one(tmp_path: Path) -> None:
    async with agent(tmp_path) as it:
        await it.staff.start(desk.StartOrder(actor="Clerk A."))
        await it.until_told(contract.SessionStarted)
        it.recorder.takes_no_record = True
        await it.staff.bind(desk.BindOrder(actor="Clerk A.", hearing="h1"))
        await until(lambda: it.recorder.hearing == "h1", "the session to be bound")
        with pytest.raises(RecorderRefusedError, match="unknown field"):
            await it.conductor.order(StopRecording(session="another", actor="agent", reason="forgotten_stop"))
        assert control.StopRequest(actor="agent", reason="forgotten_stop") not in it.recorder.asked
        await it.staff.stop(desk.StopOrder(actor="Clerk A."))
        assert control.StopRequest(actor="Clerk A.") in it.recorder.asked
