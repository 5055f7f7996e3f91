"""The agent's file: what it holds survives, nothing that befalls it stops the agent, and nobody else reads it."""

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.hearing import Asked, Binding, Facts, Fault, HearingFacts, Session
from agent.outbox import HIGHEST_SEQ
from agent.schedule import MOST_HEARINGS, Schedule
from agent.store import Store
from agent.store_file import Reserve, StoreError
from agent.store_schema import STEPS
from agent.turn import Outcome
from agent.upstream import contract
from tests.agent.disks import full_disk
from tests.agent.model_centre import ModelCentre
from tests.agent.plans import DAY, DAY_US, ROOM, TEN, at, hearing, opened

RESERVE = 1_500_000
FACTS = Facts(
    hearings={"h1": HearingFacts(hearing="h1", plan=hearing(), offset=4, state="ready", fault=Fault(cause="c", detail="", from_utc_us=1))},
    sessions={
        "s": Session(
            session="s", path="/r/s", hearing="h1", by="clerk", began_utc_us=TEN, ends_utc_us=None,
            wanted=Binding(hearing="h2", case="", by="clerk", reason=""),
        )
    },
    asked=Asked(to="open", by="clerk", utc_us=5),
    known_from_utc_us=DAY,
)  # fmt: skip
FEED = contract.Feed(
    as_of=9, changes=[contract.Change(offset=9, hearing=hearing())],
    commands=[contract.Refresh(number=1), contract.RunDiagnostics(number=2)],
)  # fmt: skip


def done(number: int = 1) -> contract.CommandDone:
    return contract.CommandDone(number=number, ok=True, detail="")


def waiting(store: Store) -> list[contract.AnyData]:
    batch = store.change(lambda outbox: outbox.batch(), at(DAY))
    return [event.data for event in batch.events] if batch else []


def test_facts_schedule_and_place_are_the_same_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.keep(Outcome(FACTS), at(DAY))
    store.take_feed(FEED, at(DAY))
    schedule, epoch = store.schedule, store.outbox.epoch
    store.close()
    again = opened(tmp_path / "agent.db")
    assert (again.facts, again.schedule, again.place, again.outbox.epoch) == (FACTS, schedule, (9, 2), epoch)
    again.keep(Outcome(Facts()), at(DAY))
    again.close()
    assert opened(tmp_path / "agent.db").facts == Facts()


@pytest.mark.parametrize("as_snapshot", [False, True])
def test_a_schedule_without_end_is_not_taken_and_the_plan_that_is_there_stays(tmp_path: Path, *, as_snapshot: bool) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    before = store.schedule
    many = [hearing(f"x{number}") for number in range(MOST_HEARINGS)]
    if as_snapshot:
        flood = contract.Feed(as_of=99_999, snapshot=contract.Snapshot(as_of=99_999, hearings=many))
    else:
        flood = contract.Feed(as_of=99_999, changes=[contract.Change(offset=10 + place, hearing=one) for place, one in enumerate(many)])
    store.take_feed(msgspec.structs.replace(flood, commands=[contract.Refresh(number=3)]), at(DAY))
    assert (store.schedule, store.place) == (before, (9, 3))
    assert "10000 hearings" in store.refused
    cancelled = contract.Change(offset=11, hearing=hearing(state="cancelled"))
    store.take_feed(contract.Feed(as_of=11, changes=[cancelled]), at(DAY))
    assert store.schedule.changes["h1"] == cancelled
    assert not store.refused


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    os.umask(0o022)
    store = opened(tmp_path / "agent.db")
    store.tell(done(), at(DAY))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_second_agent_on_the_same_file_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.tell(done(), at(DAY))
    other = f"import sys; from tests.agent.plans import opened; from pathlib import Path; opened(Path({str(tmp_path / 'agent.db')!r}))"
    ended = subprocess.run([os.sys.executable, "-c", other], check=False, capture_output=True, text=True)  # type: ignore[attr-defined]
    assert "StoreError: another agent holds" in ended.stderr
    with pytest.raises(StoreError, match="another agent holds"):
        opened(tmp_path / "agent.db")


@pytest.mark.parametrize("damage", ["garbage", "torn page", "not ours", "later version"])
def test_a_damaged_file_is_kept_and_a_new_epoch_begins(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "agent.db"
    store = opened(path)
    for number in range(1, 200):
        store.tell(done(number), at(DAY))
    epoch = store.outbox.epoch
    store.close()
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "torn page":
        with path.open("r+b") as file:
            file.seek(4096 * 2)
            file.write(os.urandom(4096 * 4))
    else:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99" if damage == "later version" else "DROP TABLE meta")
        db.close()
    before = path.read_bytes()
    again = opened(path, DAY + 5)
    assert again.outbox.epoch != epoch
    kept = tmp_path / f"agent.db.damaged-{DAY + 5}"
    assert kept.read_bytes() == before
    fault = waiting(again)[0]
    assert isinstance(fault, contract.DeviceFault)
    assert (fault.code, kept.name in fault.detail, again.trouble) == ("agent_file_damaged", True, "")


def test_a_file_that_is_damaged_under_a_running_agent_costs_nothing_that_memory_holds(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = opened(path)
    store.keep(Outcome(FACTS), at(DAY))
    store.take_feed(FEED, at(DAY))
    epoch = store.outbox.epoch
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._db.execute("PRAGMA cache_size = 0")
    store._db.execute("PRAGMA shrink_memory")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    facts = msgspec.structs.replace(FACTS, asked=None)
    store.keep(Outcome(facts, (done(),)), at(DAY + 1))
    assert store.outbox.epoch != epoch
    store.change(lambda outbox: outbox.acknowledge(10, DAY), at(DAY))  # an answer that was on its way, of the damaged file's events
    store.change(lambda outbox: outbox.quarantine(1, "refused", at(DAY)), at(DAY))
    assert [type(data) for data in waiting(store)] == [contract.DeviceFault, contract.CommandDone]
    store.close()
    again = opened(path)
    assert (again.facts, again.schedule.applied_offset) == (facts, 9)


def test_a_copy_that_somebody_put_back_begins_a_new_epoch(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = opened(path)
    store.tell(done(), at(DAY))
    epoch = store.outbox.epoch
    store.close()
    shutil.copy(path, tmp_path / "copy")
    path.unlink()
    (tmp_path / "between").write_bytes(b"")  # takes the inode
    (tmp_path / "copy").rename(path)
    again = opened(path)
    assert again.outbox.epoch != epoch
    assert waiting(again) == [done()]


def test_what_waits_in_a_file_that_was_carried_to_another_disk_is_told_as_what_it_was_for_the_centre_may_have_it(tmp_path: Path) -> None:
    centre = ModelCentre()
    store = opened(tmp_path / "agent.db")
    store.tell(done(1), at(DAY))
    told = store.change(lambda outbox: outbox.batch(), at(DAY))
    assert told is not None
    centre.take(told)  # its answer is lost
    store.close()
    (tmp_path / "disk").mkdir()
    again = opened(Path(shutil.copy(tmp_path / "agent.db", tmp_path / "disk")))
    again.tell(done(2), at(DAY))
    while (batch := again.change(lambda outbox: outbox.batch(), at(DAY))) is not None:
        answer = centre.take(batch)
        again.change(lambda outbox, to=answer.to: outbox.acknowledge(to, DAY), at(DAY))  # type: ignore[misc]
    assert centre.data() == [done(1), done(2)]
    assert set(centre.highest) == {told.epoch, again.outbox.epoch}


def test_an_agent_without_a_place_for_its_file_works_from_memory_and_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path / "no such folder" / "agent.db")
    store.keep(Outcome(FACTS, (done(),)), at(DAY))
    assert "cannot be opened" in store.trouble
    assert (store.facts, waiting(store)) == (FACTS, [done()])


def test_an_agent_whose_disk_can_only_be_read_knows_what_it_knew(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = opened(path)
    store.keep(Outcome(FACTS), at(DAY))
    store.take_feed(FEED, at(DAY))
    assert store.begin_command(at(DAY)) is not None
    schedule, epoch = store.schedule, store.outbox.epoch
    store.close()
    (tmp_path / "agent.db-wal").mkdir()  # so no log can be made beside it, as on a disk that became read-only
    again = opened(path)
    assert "cannot be opened" in again.trouble
    assert (again.facts, again.schedule, again.place) == (FACTS, schedule, (9, 2))
    again.take_feed(FEED, at(DAY))
    assert again.begin_command(at(DAY)) is None, "what cannot be noted as begun is not begun"
    again.keep(Outcome(Facts(), (done(),)), at(DAY))
    assert again.outbox.epoch != epoch
    again.close()
    (tmp_path / "agent.db-wal").rmdir()
    assert opened(path).facts == FACTS


def test_a_disk_that_becomes_read_only_under_a_running_agent_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    reserve, unlink = tmp_path / "agent.db.reserve", Path.unlink

    def read_only(path: Path, missing_ok: bool = False) -> None:
        if path == reserve:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", read_only)
    store._db.execute("PRAGMA max_page_count = 1")
    for number in range(1, 100):
        store.keep(Outcome(FACTS, (contract.CommandDone(number=number, ok=True, detail="x" * 1_500),)), at(DAY))
    assert "cannot be written" in store.trouble
    assert reserve.exists()
    store._db.close()
    assert (store.begin_command(at(DAY)), store.last_command(), store.outbox.last_seq()) == (None, 2, HIGHEST_SEQ)
    assert "cannot be read" in store.trouble


def test_an_epoch_that_could_not_be_written_did_not_begin(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    first = store.outbox.epoch
    with full_disk():
        assert not store.begin_epoch(at(DAY))
    assert store.outbox.epoch == first
    assert store.begin_epoch(at(DAY))
    second = store.outbox.epoch
    store.close()
    assert second != first
    assert opened(tmp_path / "agent.db").outbox.epoch == second


def test_a_full_disk_is_said_to_be_well_only_when_something_was_written_again(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.tell(done(), at(DAY))
    with full_disk():
        store.change(lambda outbox: outbox.acknowledge(1, DAY), at(DAY))
        assert waiting(store) == [done()], "it is still read"
        assert "cannot be written" in store.trouble
    store.change(lambda outbox: outbox.acknowledge(1, DAY), at(DAY))
    assert (store.trouble, waiting(store)) == ("", [])


def test_each_command_is_begun_once_and_one_that_was_broken_off_is_told_as_failed(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    store.take_feed(FEED, at(DAY))
    assert store.begin_command(at(DAY)) == contract.Refresh(number=1)
    store.end_command(done(1), at(DAY))
    store.end_command(done(1), at(DAY))
    assert store.begin_command(at(DAY)) == contract.RunDiagnostics(number=2)
    store.close()
    again = opened(tmp_path / "agent.db")
    again.take_feed(FEED, at(DAY))
    assert again.begin_command(at(DAY)) is None
    assert [(data.number, data.ok) for data in waiting(again) if isinstance(data, contract.CommandDone)] == [(1, True), (2, False)]


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.touch()
    store = opened(path)
    assert store._db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_ended_a_week_ago_leaves_the_schedule_and_the_file(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    store.tidy(at(DAY + 9 * DAY_US))
    store.close()
    assert opened(tmp_path / "agent.db").schedule == Schedule(floor=9, applied_offset=9)


def test_a_clock_that_cannot_be_believed_makes_the_room_forget_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    store.keep(Outcome(FACTS, (done(),)), at(DAY))
    store.change(lambda outbox: outbox.acknowledge(1, DAY), at(DAY))
    before = store.schedule
    store.tidy(at(DAY + 400 * DAY_US), is_time_known=False)
    assert (store.schedule, store.facts) == (before, FACTS)
    store.change(lambda outbox: outbox.send_again(), at(DAY))
    assert waiting(store) == [done()]


def test_a_centre_that_was_restored_from_a_copy_is_told_again_what_it_may_have_lost(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store.take_feed(FEED, at(DAY))
    store.tell(done(), at(DAY))
    store.change(lambda outbox: outbox.acknowledge(1, DAY), at(DAY))
    assert waiting(store) == []
    store.take_feed(contract.Feed(as_of=3, snapshot=contract.Snapshot(as_of=3, hearings=[])), at(DAY))
    assert (waiting(store), store.place) == ([done()], (3, 2))


def test_the_answer_to_a_batch_that_a_restored_centre_overtook_takes_nothing_that_was_not_in_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    for number in (1, 2, 3):
        store.tell(done(number), at(DAY))
    assert len(waiting(store)) == 3
    store.change(lambda outbox: outbox.acknowledge(3, DAY), at(DAY))
    store.take_feed(FEED, at(DAY))
    store.tell(done(4), at(DAY))
    assert waiting(store) == [done(4)]  # the batch under way
    store.take_feed(contract.Feed(as_of=2, snapshot=contract.Snapshot(as_of=2, hearings=[])), at(DAY))
    store.change(lambda outbox: outbox.acknowledge(4, DAY), at(DAY))
    assert waiting(store) == [done(number) for number in (1, 2, 3, 4)]
    store.change(lambda outbox: outbox.acknowledge(4, DAY), at(DAY))
    assert waiting(store) == []


def test_what_was_delivered_a_month_ago_is_forgotten_and_what_was_not_is_kept(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    delivered = msgspec.structs.replace(FACTS.sessions["s"], state="delivered", ended_utc_us=TEN, wanted=None)
    over = msgspec.structs.replace(FACTS.hearings["h1"], state="delivered", session="s")
    sealed = msgspec.structs.replace(delivered, session="t", hearing="h2", state="sealed")
    kept = HearingFacts(hearing="h2", plan=hearing("h2"), state="sealed", session="t")
    store.keep(Outcome(Facts(hearings={"h1": over, "h2": kept}, sessions={"s": delivered, "t": sealed})), at(DAY))
    store.tidy(at(TEN + 30 * DAY_US))
    assert len(store.facts.sessions) == 2
    store.tidy(at(TEN + 31 * DAY_US))
    store.close()
    assert opened(tmp_path / "agent.db").facts == Facts(hearings={"h2": kept}, sessions={"t": sealed})


def test_a_room_that_was_full_of_hearings_takes_new_ones_a_month_after_they_were_delivered(tmp_path: Path) -> None:
    """Those that nobody planned go too: nothing but their sessions told of them."""
    store = opened(tmp_path / "agent.db")
    over = [f"{'local:' if number % 2 else ''}{number}" for number in range(MOST_HEARINGS)]
    session = msgspec.structs.replace(FACTS.sessions["s"], state="delivered", ended_utc_us=TEN, wanted=None)
    sessions = {f"s-{id_}": msgspec.structs.replace(session, session=f"s-{id_}", hearing=id_) for id_ in over}
    hearings = {
        id_: HearingFacts(hearing=id_, plan=None if id_.startswith("local:") else hearing(id_), state="delivered", session=f"s-{id_}")
        for id_ in over
    }
    store.keep(Outcome(Facts(hearings=hearings, sessions=sessions)), at(DAY))
    later = DAY + 40 * DAY_US
    new = contract.Feed(as_of=9, changes=[contract.Change(offset=9, hearing=hearing("new", starts_us=later + DAY_US))])
    store.take_feed(new, at(later))
    assert store.refused
    store.tidy(at(later))
    assert (store.facts.hearings, store.facts.sessions) == ({}, {})
    store.take_feed(new, at(later))
    assert (store.refused, list(store.schedule.changes)) == ("", ["new"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("no mounting here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.root
def test_on_a_full_disk_measurements_go_and_events_are_still_written(small_disk: Path) -> None:
    path = small_disk / "agent.db"
    store = Store(path, ROOM, at(DAY), Reserve(path, RESERVE))
    measured = contract.Measured(from_utc_us=DAY, to_utc_us=DAY + 1, values={"x" * 40: 1.0})
    for _ in range(200):
        store.tell(measured, at(DAY))
    with (small_disk / "other").open("wb", buffering=0) as other:
        for size in (4096, 512, 16):
            try:
                while other.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    for number in range(1, 300):
        store.keep(Outcome(Facts(hearings={f"h{number}": HearingFacts(hearing=f"h{number}", plan=None)}), (done(number),)), at(DAY))
        store.tell(measured, at(DAY))
    assert store.trouble == ""
    assert waiting(store) == [done(number) for number in range(1, 300)]
    assert not (small_disk / "agent.db.reserve").exists()
    (small_disk / "other").unlink()
    store.tidy(at(DAY))
    assert (small_disk / "agent.db.reserve").stat().st_size == RESERVE
    store.close()


def test_a_disk_that_takes_nothing_at_all_stops_no_decision_and_is_made_up_for_later(tmp_path: Path) -> None:
    store = opened(tmp_path / "agent.db")
    store._db.execute("PRAGMA max_page_count = 1")
    (tmp_path / "agent.db.reserve").unlink(missing_ok=True)
    big = "x" * 1_500
    for number in range(1, 100):
        store.keep(Outcome(FACTS, (contract.CommandDone(number=number, ok=True, detail=big),)), at(DAY))
    assert "cannot be written" in store.trouble
    assert store.facts == FACTS
    store._db.execute("PRAGMA max_page_count = 100000")
    store.write(at(DAY))
    assert store.trouble == ""
    assert len([data for data in waiting(store) if isinstance(data, contract.CommandDone)]) == 99
    store.close()
    assert opened(tmp_path / "agent.db").facts == FACTS
