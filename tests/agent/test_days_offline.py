"""Five days without the centre: hearings are held from the schedule that was cached, and everything is delivered in order afterwards."""

from pathlib import Path

import msgspec

from agent.outbox import Stamp
from agent.sending import Pace, after
from agent.store import Store
from agent.turn import Outcome
from agent.upstream import contract
from tests.agent.model_centre import ModelCentre
from tests.agent.model_room import ModelRoom
from tests.agent.plans import DAY, DAY_US, HOUR_US, MINUTE_US, at, hearing, opened

DAYS = 5


class RoomWithFile(ModelRoom):
    """A room whose facts and events lie in the agent's file on a real disk, and which can be started anew."""

    def __init__(self, path: Path) -> None:
        super().__init__(keep=self._to_file)
        self.path = path
        self.store: Store = opened(path)

    def _to_file(self, outcome: Outcome) -> None:
        self.store.keep(outcome, self.stamp())

    def stamp(self) -> Stamp:
        return at(self.now_us)

    def started_anew(self) -> None:
        """The agent ends and starts; only its file and the recorder remain."""
        self.store.close()
        self.store = opened(self.path)
        self.facts, self.schedule = self.store.facts, self.store.schedule

    def follows(self, feed: contract.Feed) -> None:
        self.store.take_feed(feed, self.stamp())
        self.schedule = self.store.schedule


def test_five_days_offline_are_held_by_the_cached_schedule_and_delivered_in_order_afterwards(tmp_path: Path) -> None:
    room, centre = RoomWithFile(tmp_path / "agent.db"), ModelCentre()
    plans = [
        hearing(f"d{day}h{hour}", starts_us=DAY + day * DAY_US + hour * HOUR_US, automatic=hour == 10)
        for day in range(1, DAYS + 1) for hour in (10, 12, 14)
    ]  # fmt: skip
    room.follows(contract.Feed(as_of=15, changes=[contract.Change(offset=n, hearing=plan) for n, plan in enumerate(plans, 1)]))
    unplanned = []
    for day in range(1, DAYS + 1):
        midnight = DAY + day * DAY_US
        room.until(midnight + 10 * HOUR_US + 30 * MINUTE_US)
        assert room.state(f"d{day}h10") == "open", "the automatic start needs no centre"
        room.started_anew()
        room.until(midnight + 11 * HOUR_US)
        room.clerk_stops()
        room.until(midnight + 12 * HOUR_US + MINUTE_US)
        room.clerk_starts(f"d{day}h12")
        room.until(midnight + 13 * HOUR_US)
        room.started_anew()
        room.clerk_stops()
        room.until(midnight + 16 * HOUR_US)
        room.clerk_starts()
        unplanned.append(room.session.session)
        room.until(midnight + 17 * HOUR_US)
        room.clerk_stops()
        for minute in range(24 * 60):
            measured = contract.Measured(
                from_utc_us=midnight + minute * MINUTE_US, to_utc_us=midnight + (minute + 1) * MINUTE_US, values={"cpu": 1}
            )
            room.store._unwritten.append((measured, at(midnight + minute * MINUTE_US), None))
        room.store.write(room.stamp())
        room.store.change(lambda outbox: outbox.roll_up(room.now_us), room.stamp())
    # The centre is back: it has planned what was held without a plan, and moved on in the meantime.
    room.until(DAY + (DAYS + 1) * DAY_US)
    held = [hearing(f"late{number}", starts_us=DAY + number * DAY_US + 16 * HOUR_US) for number in range(1, DAYS + 1)]
    room.follows(contract.Feed(as_of=20, changes=[contract.Change(offset=n, hearing=plan) for n, plan in enumerate(held, 16)]))
    for number, session in enumerate(unplanned, 1):
        room.clerk_binds(session, f"late{number}")
    room.look()
    deliver(room, centre)

    assert centre.data() == room.events
    assert centre.are_in_order()
    outcome = {event.hearing: event.outcome for event in room.events if isinstance(event, contract.Reconciled)}
    for day in range(1, DAYS + 1):
        assert (outcome[f"d{day}h10"], outcome[f"d{day}h12"], outcome[f"d{day}h14"]) == ("sealed", "sealed", "not_held")
        assert outcome[f"late{day}"] == "sealed"
    assert len(room.facts.sessions) == 3 * DAYS == room.recorder.count
    spans = [data for data in centre.data("C") if isinstance(data, contract.Measured)]
    assert sum(span.to_utc_us - span.from_utc_us for span in spans) == DAYS * DAY_US
    assert len(spans) < DAYS * 24 * 13, "measurements of days are not sent minute by minute"


def deliver(room: RoomWithFile, centre: ModelCentre) -> None:
    pace = Pace(events=50)
    while (batch := room.store.change(lambda outbox: outbox.batch(pace.events), room.stamp())) is not None:
        then = after(pace, batch, centre.take(batch), room.store.outbox.last_seq())
        assert then.do == "acknowledge"
        room.store.change(lambda outbox, to=then.seq: outbox.acknowledge(to, room.now_us), room.stamp())  # type: ignore[misc]
    events = list(centre.taken.values())
    assert all(msgspec.json.decode(msgspec.json.encode(event), type=contract.Event) == event for event in events)
