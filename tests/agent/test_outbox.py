"""What waits for the centre: in order, within a batch's bounds, measurements ever coarser, and nothing in the queue's way."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox import rfc3339, rolled_up
from agent.store import Store
from agent.upstream import contract
from tests.agent.plans import DAY, DAY_US, HOUR_US, MINUTE_US, ROOM, at, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = opened(tmp_path / "agent.db")
    yield store
    store.close()


def done(number: int, detail: str = "") -> contract.CommandDone:
    return contract.CommandDone(number=number, ok=True, detail=detail)


def measured(minute: int, **values: float) -> contract.Measured:
    return contract.Measured(from_utc_us=DAY + minute * MINUTE_US, to_utc_us=DAY + (minute + 1) * MINUTE_US, values=values)


def waiting(store: Store) -> list[contract.Event]:
    batch = store.change(lambda outbox: outbox.batch(), at(DAY))
    return batch.events if batch else []


def test_an_event_is_a_cloud_event_with_wall_time_monotonic_time_boot_and_clock_quality(store: Store) -> None:
    store.tell(done(1), at(DAY + 1))
    event = msgspec.json.decode(msgspec.json.encode(waiting(store)[0]))
    assert event.pop("id")
    assert event == {
        "specversion": "1.0", "source": f"urn:courtroom:room:{ROOM}", "type": "kz.courtroom.command.done",
        "time": "2024-10-04T00:00:00.000001Z", "datacontenttype": "application/json", "room": ROOM, "epoch": store.outbox.epoch, "seq": 1,
        "eventclass": "A", "monous": DAY_US + 1, "bootid": "b", "clock": {"source": "test", "stratum": None, "error_us": None},
        "data": {"is": "command.done", "number": 1, "ok": True, "detail": ""},
    }  # fmt: skip


def test_a_batch_holds_no_more_than_the_contract_allows(store: Store) -> None:
    for number in range(1, 601):
        store._unwritten.append((done(number), at(DAY), None))
    store.write(at(DAY))
    assert [event.seq for event in waiting(store)] == list(range(1, 501))
    store.change(lambda outbox: outbox.acknowledge(600, DAY), at(DAY))
    for number in range(300):
        store._unwritten.append((done(number, "x" * 2000), at(DAY), None))
    store.write(at(DAY))
    batch = store.change(lambda outbox: outbox.batch(), at(DAY))
    assert batch is not None
    assert contract.BATCH_BYTES - 3_000 < len(msgspec.json.encode(batch)) <= contract.BATCH_BYTES


def test_of_class_b_only_the_latest_of_its_type_waits(store: Store) -> None:
    for number in range(3):
        store.tell(done(number), at(DAY), "B")
    store.tell(contract.AgentStarted(version="1", boot="b"), at(DAY), "B")
    assert [event.seq for event in waiting(store)] == [3, 4]


def test_what_the_centre_took_of_class_a_stays_for_thirty_days_and_is_not_sent_again(store: Store) -> None:
    store.tell(done(1), at(DAY))
    store.tell(measured(0, cpu=1), at(DAY))
    store.change(lambda outbox: outbox.acknowledge(2, DAY), at(DAY))
    assert waiting(store) == []
    kept = "SELECT class FROM outbox"
    assert store._db.execute(kept).fetchall() == [("A",)]
    store.tidy(at(DAY + 30 * DAY_US))
    assert store._db.execute(kept).fetchall() == [("A",)]
    store.tidy(at(DAY + 30 * DAY_US + 1))
    assert store._db.execute(kept).fetchall() == []
    store.tell(done(2), at(DAY))
    assert waiting(store)[0].seq == 3, "a number is never given twice"


def test_measurements_that_wait_become_coarser_and_events_do_not(store: Store) -> None:
    for minute in range(26 * 60):
        store._unwritten.append((measured(minute, cpu=minute % 5, cpu_max=minute), at(DAY + minute * MINUTE_US), None))
    store.tell(done(1), at(DAY))
    for _ in range(2):
        store.change(lambda outbox: outbox.roll_up(DAY + 26 * HOUR_US), at(DAY))
    spans = [event.data for event in waiting(store) if isinstance(event.data, contract.Measured)]
    lengths = sorted((span.to_utc_us - span.from_utc_us) // MINUTE_US for span in spans)
    assert (lengths.count(60), lengths.count(5), lengths.count(1)) == (2, 23 * 12, 60)
    first = min(spans, key=lambda span: span.from_utc_us)
    assert first.values == {"cpu": 2.0, "cpu_max": 59.0}
    assert sum(lengths) == 26 * 60
    assert [event.data for event in waiting(store) if event.eventclass == "A"] == [done(1)]


@given(st.lists(st.tuples(st.integers(1, 100), st.floats(-1e6, 1e6)), min_size=1, max_size=8))
def test_a_mean_of_means_is_the_mean_and_the_worst_stays_the_worst(spans: list[tuple[int, float]]) -> None:
    made, from_us = [], 0
    for length_us, value in spans:
        made.append(
            contract.Measured(from_utc_us=from_us, to_utc_us=from_us + length_us, values={"m": value, "m_max": value, "m_min": value})
        )
        from_us += length_us
    total = rolled_up(made)
    assert (total.from_utc_us, total.to_utc_us) == (0, from_us)
    assert total.values["m"] == pytest.approx(sum(length * value for length, value in spans) / from_us, abs=1e-6)
    assert (total.values["m_max"], total.values["m_min"]) == (max(value for _, value in spans), min(value for _, value in spans))


def test_an_event_that_only_another_version_can_read_is_set_aside_and_holds_nothing_up(store: Store) -> None:
    store.tell(done(1), at(DAY))
    store.tell(done(2), at(DAY))
    store._db.execute("""UPDATE outbox SET data = CAST('{"is":"of.the.future"}' AS BLOB) WHERE seq = 1""")
    batch = store.change(lambda outbox: outbox.batch(most_events=1), at(DAY))
    assert batch is not None
    assert [event.seq for event in batch.events] == [2]
    (unread,) = store.outbox.set_aside(9)
    assert (unread.seq, unread.reason[:32]) == (1, "this version of the agent cannot")


def test_a_refused_event_is_kept_told_of_and_can_be_sent_once_more(store: Store) -> None:
    store.tell(done(1), at(DAY))
    store.change(lambda outbox: outbox.quarantine(1, "not understood", at(DAY)), at(DAY))
    told = contract.Quarantined(seq=1, type="kz.courtroom.command.done", detail="not understood")
    assert [event.data for event in waiting(store)] == [told]
    store.change(lambda outbox: outbox.quarantine(2, "nor this", at(DAY)), at(DAY))
    assert waiting(store) == []
    assert store.change(lambda outbox: outbox.requeue(), at(DAY)) == 2
    assert [(event.seq, event.data) for event in waiting(store)] == [(3, done(1)), (4, told)]


def test_depth_says_how_much_waits_and_since_when(store: Store) -> None:
    assert msgspec.structs.astuple(store.outbox.depth()) == (0, None, 0)
    store.tell(done(1), at(DAY + 5))
    store.tell(done(2), at(DAY + 7))
    assert msgspec.structs.astuple(store.outbox.depth()) == (2, DAY + 5, 0)


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_rfc_3339_with_microseconds(utc_us: int) -> None:
    text = rfc3339(utc_us)
    assert len(text) == len("2024-10-04T00:00:00.000001Z")
    assert text.endswith("Z")
    assert int(text[20:26]) == utc_us % 1_000_000
