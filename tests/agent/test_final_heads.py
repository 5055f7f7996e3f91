"""The last head of each record is countersigned, however many ended while the centre was away; the running record's go on to be told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from agent import told
from agent.centre_link import CentreLink
from agent.clock_quality import ClockWatch
from agent.conduct import Conductor
from agent.final_heads import MOST_TRIES, FinalHeads, HeadsTold
from agent.hearing import Facts, Session
from agent.measures import Measures
from agent.room_process import RoomProcess
from agent.staff import Linked, Staff
from agent.turn import change
from agent.upstream import contract, transfer
from agent.upstream.centre.decisions import Kept, verdict
from agent.upstream.client import RefusedError, UpstreamError
from agent.upstream.heart import Heart
from recorder.contract import control
from recorder.control_server import ControlServer
from recorder.record.checkpoint import Receipt
from tests.agent.statuses import status
from tests.agent.test_conduct import CONFIG, WITH_CENTRE
from tests.lab.waiting import until

NAMES = ("A", "B", "C")
REFUSED = RefusedError(transfer.Problem(type="about:blank", title="Not taken.", status=422))


def head_of(record: str, at: int = 9) -> contract.Head:
    return contract.Head(record=record, at=at, sha256=f"{at:064x}")


def ended(*names: str) -> dict[str, Session]:
    return {
        name: Session(
            session=name, path=name, number=number, hearing="h", state="sealed", by="", began_utc_us=1, ends_utc_us=None,
            final_head=head_of(name),
        )
        for number, name in enumerate(names, 1)
    }  # fmt: skip


class Ledger:
    """The centre by its contract: it countersigns what contradicts nothing, and refuses a heartbeat with what it cannot read."""

    def __init__(self) -> None:
        self.told: list[contract.Head | None] = []
        self.receipts: list[Receipt] = []
        self.contradictions: list[contract.Head] = []
        self.unreadable: set[str] = set()

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        head = heartbeat.head
        self.told.append(head)
        if head is not None and head.record in self.unreadable:
            raise REFUSED
        return contract.HeartbeatTaken(utc_us=1, receipt=None if head is None else self._countersign(head))

    def _countersign(self, head: contract.Head) -> Receipt | None:
        last = next((each for each in reversed(self.receipts) if each.record == head.record), None)
        found = verdict(None if last is None else Kept(last.at, last.head, last.room), CONFIG.room.id, head)
        if found == "contradicts":
            self.contradictions.append(head)
            return None
        if found == "new":
            self.receipts.append(
                Receipt(
                    record=head.record, room=CONFIG.room.id, at=head.at, head=head.sha256, counter=len(self.receipts) + 1, utc_us=1,
                    sig="", certificate="",
                )
            )  # fmt: skip
            return self.receipts[-1]
        return last


class Recorder:
    """The recorder's side of its socket: what runs, and the receipts that it stores."""

    def __init__(self) -> None:
        self.now = status(state="idle", record="")
        self.stored: list[str] = []

    async def do(self, request: control.AnyRequest) -> control.Reply:
        assert isinstance(request, control.AddReceipt)
        self.stored.append(msgspec.json.decode(request.receipt, type=Receipt).record)
        return control.Reply(ok=True)

    def runs(self, record: str, at: int) -> None:
        self.now = msgspec.structs.replace(status(record=f"/records/2026-01-01_lab_{record}"), head_at=at, head=f"{at:064x}")


class AgentAtItsCentre:
    """One run of the agent: its file, and its link to the centre, which beats when a test says so."""

    def __init__(self, base: Path, ledger: Ledger) -> None:
        self.process = RoomProcess(CONFIG, base, ClockWatch())
        conductor = Conductor(self.process)
        measures = Measures(self.process, Staff(self.process, conductor, Linked()), None)
        assert WITH_CENTRE.centre is not None
        link = CentreLink(self.process, conductor, measures, WITH_CENTRE.centre, base)
        centre = HeadsTold(ledger, link._heads, self.process.room)
        self._heart = Heart(centre, link._heartbeat, link._keep, lambda *_: None, room=self.process.room)

    async def beat(self, times: int = 1) -> None:
        for _ in range(times):
            await self._heart._beat()

    async def end(self, *names: str) -> None:
        """These sessions end, one after the other."""
        for name in names:
            await self.process.apply(
                lambda facts, schedule, name=name: told.sealed(  # type: ignore[misc]
                    Facts(sessions=facts.sessions | {name: change(ended(name)[name], state="open", final_head=None)}), schedule,
                    session=name, duration_us=1, head=head_of(name), now_utc_us=2,
                )
            )  # fmt: skip

    @property
    def waiting(self) -> list[str]:
        return [session.session for session in self.process.store.sessions.values() if session.final_head is not None]


@asynccontextmanager
async def running(base: Path, ledger: Ledger, recorder: Recorder | None) -> AsyncIterator[AgentAtItsCentre]:
    it = AgentAtItsCentre(base, ledger)
    await it.process.open(base / "agent.sqlite")
    server = None if recorder is None else ControlServer(base, recorder.do, lambda: recorder.now, frozenset())
    if server is not None:
        await server.start()
    task = asyncio.create_task(it.process.link.run())
    try:
        if server is not None:
            await until(lambda: it.process.link.reachable, "the recorder's state")
        yield it
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await it.process.store.close()
        if server is not None:
            await server.close()


async def test_sessions_that_ended_while_the_centre_was_away_all_have_their_last_head_countersigned_and_stored(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    async with running(tmp_path, ledger, recorder) as it:
        await it.end(*NAMES)
        await it.beat(len(NAMES))
        assert ledger.told == [head_of(name) for name in NAMES]
        await until(lambda: not it.waiting, "the receipts beside their records")
        assert recorder.stored == [*NAMES]
        await it.beat()
        assert ledger.told[-1] is None, "what is countersigned is not told again"
    assert [receipt.record for receipt in ledger.receipts] == [*NAMES]


async def test_an_agent_that_is_started_anew_tells_the_last_heads_that_have_no_receipt_yet(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    async with running(tmp_path, ledger, recorder) as it:
        await it.end(*NAMES)
        await it.beat()
        await until(lambda: it.waiting == ["B", "C"], "the first receipt beside its record")
    async with running(tmp_path, ledger, recorder) as it:
        await it.beat(2)
        await until(lambda: not it.waiting, "the receipts beside their records")
    assert recorder.stored == [*NAMES]
    assert [receipt.record for receipt in ledger.receipts] == [*NAMES]


async def test_a_receipt_that_the_agent_could_not_hand_over_before_it_ended_is_asked_for_again(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    async with running(tmp_path, ledger, None) as it:
        await it.end(*NAMES)
        await it.beat(len(NAMES) + 1)
        assert ledger.told == [*(head_of(name) for name in NAMES), None]
        assert it.waiting == [*NAMES]
    async with running(tmp_path, ledger, recorder) as it:
        await it.beat(len(NAMES))
        await until(lambda: not it.waiting, "the receipts beside their records")
    assert recorder.stored == [*NAMES]
    assert len(ledger.receipts) == len(NAMES)


async def test_a_running_records_heads_are_told_and_stored_in_turn_with_those_that_wait(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    recorder.runs("D", 4)
    async with running(tmp_path, ledger, recorder) as it:
        await it.end(*NAMES)
        await it.beat(6)
        assert ledger.told == [head_of("A"), head_of("D", 4), head_of("B"), head_of("D", 4), head_of("C"), head_of("D", 4)]
        await until(lambda: not it.waiting, "the receipts beside their records")
        assert sorted(recorder.stored) == ["A", "B", "C", "D"], "a head that has not moved is stored once"


async def test_a_state_of_the_recorder_that_is_older_than_the_records_end_contradicts_nothing(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    recorder.runs("A", 7)
    async with running(tmp_path, ledger, recorder) as it:
        await it.beat()
        await it.end("A")
        await it.beat(2)
    assert ledger.told == [head_of("A", 7), head_of("A"), None]
    assert ledger.contradictions == []


def answer(heads: FinalHeads, sessions: dict[str, Session], running: contract.Head | None = None, *, never: str) -> str:
    """One heartbeat that is answered; the centre signs all but one record's head. Returns the record that was told."""
    head = heads.choose(sessions, running)
    heads.answered(is_signed=head is not None and head.record != never)
    return "" if head is None else head.record


def test_a_head_without_a_receipt_is_told_some_times_while_the_others_have_their_turns() -> None:
    heads, sessions = FinalHeads(), ended(*NAMES)
    asked = [answer(heads, sessions, never="A") for _ in range(20)]
    assert asked[:3] == [*NAMES]
    assert (asked.count("A"), asked.count("B"), asked.count("C")) == (MOST_TRIES, 1, 1)
    assert answer(heads, sessions, head_of("D"), never="A") == "D"
    assert answer(FinalHeads(), sessions, never="A") == "A", "the next agent asks again"


async def test_a_head_with_which_a_heartbeat_is_refused_is_not_told_for_ever_and_the_room_is_seen_all_the_same(tmp_path: Path) -> None:
    ledger, recorder = Ledger(), Recorder()
    ledger.unreadable.add("A")
    async with running(tmp_path, ledger, recorder) as it:
        await it.end("A", "B")
        await it.beat(4 * MOST_TRIES)
        assert ledger.told.count(head_of("A")) == MOST_TRIES
        assert ledger.told.count(head_of("B")) == 1
        await until(lambda: it.waiting == ["A"], "the other receipt beside its record")


async def test_no_head_is_given_up_while_the_centre_is_away_or_refuses_the_room_itself() -> None:
    class Away:
        error: Exception = REFUSED

        async def beat(self, _: contract.Heartbeat) -> contract.HeartbeatTaken:
            raise self.error

    heads, sessions, centre = FinalHeads(), ended("A"), Away()
    for error in (REFUSED, UpstreamError("no route to host")):
        centre.error = error
        for _ in range(4 * MOST_TRIES):
            with pytest.raises(type(error)):
                await HeadsTold(centre, heads, "lab").beat(beat_with(heads.choose(sessions, None)))
    assert "A" in {answer(heads, sessions, never="") for _ in range(2)}


def beat_with(head: contract.Head | None) -> contract.Heartbeat:
    return contract.Heartbeat(
        utc_us=1, boot="b", version="1", clock=contract.ClockQuality(source="test"), state="idle", session="", hearing="", head=head,
        applied_offset=0, outbox_depth=0, indicators={},
    )  # fmt: skip
