"""A real room and a real centre, over real TLS: what the court relies on, from the plan to the archive, whoever is killed on the way."""

import hashlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.centre.looking_in import look_into
from recorder.contract import control
from recorder.contract.client import ControlClient
from tests.lab.events import hearing
from tests.lab.fronts import new_prefix
from tests.lab.nats_cluster import NatsCluster, nats_cluster
from tests.lab.site import ROOM, Site, site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
CLERK = ("--by", "Clerk A.")


def planned(name: str, begins_in_s: float = 0.0, **fields: object) -> contract.Hearing:
    starts_us = time.time_ns() // 1000 + int(begins_in_s * 1e6)
    return hearing(name, ROOM, starts_utc_us=starts_us, case="7599-26-1", title="Сот отырысы", **fields)


def plan(it: Site, *hearings: contract.Hearing) -> None:
    it.centre.plan(*hearings)
    for each in hearings:
        it.until(lambda each=each: it.hearing(each.id), f"{each.id} to reach the room")  # type: ignore[misc]


def record(it: Site, name: str, seconds: float = 3.0) -> None:
    it.order("start", name, *CLERK)
    it.until(lambda: it.written_us() > seconds * 1e6, "media on the disk")


def test_a_hearing_goes_from_its_plan_to_the_archive_and_the_centre_can_prove_it(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        plan(it, planned("h-1"))
        it.until(lambda: any(prompt["code"] == "start_due" for prompt in it.state().get("prompts", [])), "the clerk to be asked")
        record(it, "h-1")
        it.order("stop", *CLERK)
        it.until(lambda: it.hearing("h-1").get("state") == "delivered", "the archive's acknowledgement")
        it.until(
            lambda: it.data(contract.Reconciled)[-1:] and it.data(contract.Reconciled)[-1].outcome == "delivered", "the centre to know"
        )
        ((session, verdict),) = it.verdicts().items()
        assert (verdict.level, verdict.anchored_to, verdict.hearing) == ("anchored", verdict.entries - 1, "h-1")
        started = it.data(contract.SessionStarted)
        assert [(event.session, event.hearing, event.by) for event in started] == [(session, "h-1", "Clerk A.")]
        assert started[0].revision > 0
        seqs = [event.seq for event in it.events()]
        assert seqs == sorted(set(seqs))


def kinds(it: Site) -> set[str]:
    return {event.change for event in it.data(contract.ScheduleConflict)}


@pytest.mark.long
def test_a_hearing_that_is_moved_cancelled_and_retimed_while_it_is_recorded_goes_on_and_everybody_is_told(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        first = planned("h-1")
        plan(it, first)
        record(it, "h-1", 1.0)
        for change, kind in (
            ({"starts_utc_us": first.starts_utc_us + 7_200_000_000, "ends_utc_us": first.ends_utc_us + 7_200_000_000}, "retimed"),
            ({"room": "another"}, "moved"),
            ({"state": "cancelled"}, "cancelled"),
        ):
            plain = {"starts_utc_us": first.starts_utc_us, "ends_utc_us": first.ends_utc_us, "room": ROOM} | change
            it.centre.plan(hearing("h-1", case="7599-26-1", title="Сот отырысы", **plain))  # type: ignore[arg-type]
            it.until(lambda: kinds(it) >= {kind}, f"the centre to know: {kind}")  # noqa: B023 - waited for before the next round
            it.until(lambda: "hearing_changed" in {prompt["code"] for prompt in it.state().get("prompts", [])}, "the clerk to be told")
            assert it.recorder_state() == "open"
        before_us = it.written_us()
        it.until(lambda: it.written_us() > before_us, "more media")
        it.order("stop", *CLERK)
        it.until(lambda: it.data(contract.SessionEnded), "the end")
        ((_, verdict),) = it.verdicts().items()
        assert verdict.exit_status == 0
        assert not verdict.not_recorded


@pytest.mark.long
def test_an_unplanned_session_starts_at_once_and_is_bound_after_its_seal(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        it.order("start", *CLERK)
        it.until(lambda: it.written_us() > 1e6, "media")
        it.order("stop", *CLERK)
        it.until(lambda: it.data(contract.SessionEnded), "the end")
        session = it.data(contract.SessionEnded)[0].session
        plan(it, planned("h-9", -600.0))
        it.order("bind", "h-9", "--session", session, *CLERK)
        it.until(lambda: it.data(contract.SessionBound), "the binding")
        it.until(lambda: it.hearing("h-9").get("state") in {"sealed", "delivered"}, "the hearing to be reconciled")
        verdict = it.verdicts()[session]
        assert (verdict.hearing, [given.actor for given in verdict.bindings]) == ("h-9", ["Clerk A."])


def test_the_centres_commands_are_carried_out_once_each_and_none_touches_a_recording(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        new = it.config.read_text().replace('court = "Lab court"', 'court = "Another court"')
        digest = hashlib.sha256(new.encode()).hexdigest()
        commands: list[contract.AnyCommand] = [
            contract.RunDiagnostics(number=0),
            contract.Refresh(number=0),
            look_into("Inspector C.", "a complaint", 60, time.time_ns() // 1_000)[0],
            contract.Configure(number=0, toml=new, sha256=digest),
            contract.Configure(number=0, toml=new, sha256="0" * 64),
            contract.Configure(number=0, toml="[room", sha256=hashlib.sha256(b"[room").hexdigest()),
        ]
        for command in commands:
            it.centre.ask(admin.Give(room=ROOM, command=command))
        it.until(lambda: len(it.data(contract.CommandDone)) == len(commands), "all commands")
        done = {event.number: event for event in it.data(contract.CommandDone)}
        assert [done[number].ok for number in sorted(done)] == [True, True, False, True, False, False]
        assert {check.check for event in it.data(contract.DiagnosticsDone) for check in event.checks} >= {"disk", "clock", "capture"}
        assert [(event.person, event.phase) for event in it.data(contract.LookedIn)] == [("Inspector C.", "refused")]
        assert (tmp_path / "state" / "room.toml.next").read_text() == new
        assert "a technician copies it" in done[sorted(done)[3]].detail
        plan(it, planned("h-1"))
        record(it, "h-1", 1.0)
        it.centre.ask(admin.Give(room=ROOM, command=contract.RunDiagnostics(number=0)))
        it.until(lambda: len(it.data(contract.CommandDone)) == len(commands) + 1, "the last command")
        assert not it.data(contract.CommandDone)[-1].ok
        assert it.recorder_state() == "open"


def killed(base: Path, rounds: int, cluster: NatsCluster | None = None) -> None:
    """Record a hearing, kill somebody at random moments, and hold everybody to what was promised."""
    chance = random.Random()  # where it fails, the log says who was killed when
    keeper: dict[str, Any] = {} if cluster is None else {"nats": cluster.settings(new_prefix(), keeps_uploads=True)}
    victims = ["agent", "recorder", "centre", "deliver", *(() if cluster is None else ("nats",))]
    with site(base, **keeper) as it:
        plan(it, planned("h-1"))
        record(it, "h-1", 1.0)
        for number in range(rounds):
            time.sleep(chance.uniform(0.2, 2.0))
            victim = victims[number % len(victims)]
            if victim == "centre":
                it.centre.kill()
                it.centre.start()
            elif victim == "nats" and cluster is not None:
                node = chance.randrange(cluster.nodes)
                cluster.kill(node)
                cluster.start(node)
            else:
                it.kill(victim)
        it.until(lambda: it.recorder_state() == "open", "the recording to go on")
        before_us = it.written_us()
        it.until(lambda: it.written_us() > before_us + 1_000_000, "more media")
        it.order("stop", *CLERK)
        it.until(lambda: it.hearing("h-1").get("state") == "delivered", "the archive's acknowledgement", 150.0)
        it.until(lambda: any(event.outcome == "delivered" for event in it.data(contract.Reconciled)), "the centre to know", 150.0)
        events = it.events()
        assert len({(event.epoch, event.seq) for event in events}) == len({event.id for event in events}) == len(events)
        assert len({event.epoch for event in events}) == 1
        classes_a = [event.seq for event in events if event.eventclass == "A"]
        assert classes_a == sorted(classes_a)
        assert [event.session for event in it.data(contract.SessionStarted)] == list(it.verdicts())
        assert len(it.data(contract.SessionEnded)) == 1
        ((_, verdict),) = it.verdicts().items()
        assert (verdict.level, verdict.anchored_to) == ("anchored", verdict.entries - 1), verdict.sentence()


@pytest.mark.long
def test_whoever_is_killed_the_hearing_is_recorded_told_once_and_delivered(tmp_path: Path) -> None:
    killed(tmp_path, 4)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_kills_of_agent_recorder_centre_and_delivery_lose_and_double_nothing(tmp_path: Path) -> None:
    killed(tmp_path, 50)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_kills_with_the_servers_of_nats_among_the_victims_lose_and_double_nothing(tmp_path: Path) -> None:
    with nats_cluster(tmp_path / "nats") as cluster:
        killed(tmp_path, 50, cluster)


@pytest.mark.long
def test_a_certificate_that_expires_stops_no_recording(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        plan(it, planned("h-1"))
        it.stop()
        it.files.transport.write_bytes((it.centre.home.root / "server.pem").read_bytes())  # no certificate for the room's key
        it.start()
        assert it.state()["centre_reached"] is not True
        record(it, "h-1", 2.0)
        it.order("stop", *CLERK)
        it.until(lambda: it.hearing("h-1").get("state") == "sealed", "the seal")
        assert it.state()["alarms"]


@pytest.mark.long
def test_records_that_ended_offline_are_countersigned_to_their_last_entry_once_the_centre_is_back(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        it.centre.kill()
        for _ in range(3):
            it.order("start", *CLERK)
            it.until(lambda: it.recorder_state() == "open" and it.written_us() > 1e6, "media")
            it.order("stop", *CLERK)
            it.until(lambda: it.recorder_state() == "idle", "the seal")
        it.kill("agent")
        it.centre.start()
        it.until(lambda: len(it.data(contract.SessionEnded)) == 3, "the centre to know of all three")
        it.until(lambda: all(verdict.anchored_to == verdict.entries - 1 for verdict in it.verdicts().values()), "the last heads' receipts")
        assert [verdict.level for verdict in it.verdicts().values()] == ["anchored"] * 3


@pytest.mark.long
def test_what_was_recorded_while_the_agent_was_away_is_told_countersigned_and_delivered(tmp_path: Path) -> None:
    with site(tmp_path) as it:
        plan(it, planned("h-1"))
        for pid in it.pids("agent"):
            os.kill(pid, signal.SIGSTOP)
        with ControlClient(it.run_dir, timeout_s=60.0) as recorder:
            recorder.do(control.Start(hearing="h-1", actor="Clerk A."))
            it.until(lambda: it.written_us() > 1e6, "media on the disk")
            recorder.do(control.StopRequest(actor="Clerk A."))
        it.kill("agent")
        it.until(lambda: it.hearing("h-1").get("state") == "delivered", "the archive's acknowledgement")
        it.until(lambda: all(verdict.anchored_to == verdict.entries - 1 for verdict in it.verdicts().values()), "the last head's receipt")
        it.until(lambda: len(it.data(contract.Reconciled)) == 2, "the centre to know")
        assert [event.outcome for event in it.data(contract.Reconciled)] == ["sealed", "delivered"]
        assert [event.by for event in it.data(contract.SessionStarted)] == ["recorder"]
        assert [event.record for event in it.data(contract.RecordDelivered)] == list(it.verdicts())
