"""Whatever is lost, repeated or killed between room and centre: each class A event arrives exactly once, in its order."""

import tempfile
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from agent.hearing import Facts, HearingFacts
from agent.sending import Pace, after
from agent.turn import Outcome
from agent.upstream import contract
from agent.upstream.client import RefusedError, UpstreamError
from tests.agent.model_centre import POISON, ModelCentre
from tests.agent.plans import DAY, at, opened


class CrashError(Exception):
    """The process died here."""


class AnyCourseOfDelivery(RuleBasedStateMachine):
    """A room's file on a real disk, a centre, and a network that does what networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "agent.db"
        self.store = opened(self.path)
        self.centre = ModelCentre()
        self.committed: list[contract.AnyData] = []
        self.pace = Pace()
        self.on_the_wire: list[contract.EventBatch] = []
        self.count = 0
        self.copy: tuple[bytes, list[contract.AnyData]] | None = None
        self.centre_copy: tuple[dict[tuple[str, str, int], contract.Event], dict[str, int]] = ({}, {})
        self.went_back = False

    def event(self, detail: str = "") -> contract.AnyData:
        self.count += 1
        return contract.CommandDone(number=self.count, ok=True, detail=detail)

    @rule(count=st.integers(1, 5), poison=st.sampled_from(["", "", "", POISON]))
    def state_and_event_change_together(self, count: int, poison: str) -> None:
        events = tuple(self.event(poison if number == 1 else "") for number in range(count))
        known = dict(self.store.facts.hearings) | {f"h{self.count}": HearingFacts(hearing=f"h{self.count}", plan=None)}
        self.store.keep(Outcome(Facts(hearings=known), events), at(DAY + self.count))
        self.committed += events

    @rule(value=st.floats(0, 9))
    def something_less_than_a_happens(self, value: float) -> None:
        measured = contract.Measured(from_utc_us=DAY, to_utc_us=DAY + 60_000_000, values={"cpu": value})
        self.store.tell(measured, at(DAY))
        self.store.tell(self.event(), at(DAY), "B")

    @rule()
    def a_transaction_is_broken_off(self) -> None:
        def work(_: object) -> None:
            self.store.outbox.append(self.event(), at(DAY))
            raise CrashError

        try:
            self.store.change(work, at(DAY))
        except CrashError:
            self.agent_is_started_anew()

    @rule()
    def agent_is_started_anew(self) -> None:
        facts = self.store.facts
        self.store.close()
        self.store, self.pace = opened(self.path), Pace()
        assert self.store.facts == facts

    @rule()
    def a_copy_of_the_disk_is_made(self) -> None:
        self.store.close()
        self.copy = self.path.read_bytes(), list(self.committed)
        self.store, self.pace = opened(self.path), Pace()

    @rule()
    def the_disk_goes_back_to_its_copy(self) -> None:
        """Under the same inode, as by a snapshot of a volume: the file does not see it. What was on the wire has ended by then."""
        if self.copy is not None:
            self.store.close()
            self.path.write_bytes(self.copy[0])
            self.committed, self.went_back = list(self.copy[1]), True
            self.on_the_wire.clear()
            self.store, self.pace = opened(self.path), Pace()

    @rule()
    def the_file_is_carried_to_another_disk(self) -> None:
        self.store.close()
        carried = self.path.with_name("carried")
        carried.write_bytes(self.path.read_bytes())
        carried.replace(self.path)
        epoch = self.store.outbox.epoch
        self.store, self.pace = opened(self.path), Pace()
        assert self.store.outbox.epoch != epoch

    @rule()
    def all_that_was_taken_is_told_again(self) -> None:
        """As to a centre that was restored from a copy."""
        self.store.change(lambda outbox: outbox.send_again(), at(DAY))

    @rule()
    def the_centre_is_copied(self) -> None:
        self.centre_copy = dict(self.centre.taken), dict(self.centre.highest)

    @rule()
    def the_centre_is_restored_from_its_copy(self) -> None:
        """The room is not told so."""
        self.centre.taken, self.centre.highest = dict(self.centre_copy[0]), dict(self.centre_copy[1])

    @rule()
    def measurements_are_rolled_up(self) -> None:
        self.store.change(lambda outbox: outbox.roll_up(DAY + 2 * 86_400_000_000), at(DAY))

    @rule(fate=st.sampled_from(["answered", "answered", "answer lost", "lost", "answer lost, then killed"]))
    def a_batch_goes_out(self, fate: str) -> None:
        batch = self.store.change(lambda outbox: outbox.batch(self.pace.events), at(DAY))
        if batch is None:
            return
        self.on_the_wire.append(batch)
        answer: contract.EventsTaken | RefusedError | UpstreamError = UpstreamError("lost")
        if fate != "lost":
            try:
                answer = self.centre.take(batch)
            except RefusedError as error:
                answer = error
        if fate == "answer lost, then killed":
            self.agent_is_started_anew()
            return
        self.follow(batch, answer if fate == "answered" else UpstreamError("no answer"))

    def follow(self, batch: contract.EventBatch, answer: contract.EventsTaken | RefusedError | UpstreamError) -> None:
        then = after(self.pace, batch, answer, self.store.outbox.last_seq(batch.epoch))
        self.pace = then.pace
        assert then.do != "new_epoch" or self.went_back
        if then.do == "acknowledge":
            self.store.change(lambda outbox: outbox.acknowledge(then.seq, DAY), at(DAY))
        elif then.do == "quarantine":
            self.store.change(lambda outbox: outbox.quarantine(then.seq, then.detail, at(DAY)), at(DAY))
        elif then.do == "send_again":
            self.store.change(lambda outbox: outbox.send_again(then.seq), at(DAY))
        elif then.do == "new_epoch":
            self.store.begin_epoch(at(DAY), then.seq, then.detail)

    @rule(data=st.data())
    def an_old_batch_arrives_once_more(self, data: st.DataObject) -> None:
        if self.on_the_wire:
            batch = data.draw(st.sampled_from(self.on_the_wire))
            try:
                self.centre.take(batch)
            except RefusedError:
                return

    def teardown(self) -> None:
        try:
            self.state_and_event_change_together(1, "")  # from the next event on a restored centre knows what it lacks
            for _ in range(400):
                if self.store.outbox.depth().waiting == 0:
                    break
                self.a_batch_goes_out("answered")
            else:
                raise AssertionError("the queue is blocked")
            wanted = [data for data in self.committed if POISON not in str(data)]
            told = [data for data in self.centre.data() if not isinstance(data, contract.Quarantined)]
            quarantined = [data for data in self.centre.data() if isinstance(data, contract.Quarantined)]
            assert len(self.committed) - len(wanted) == self.store.outbox.depth().quarantined
            if self.went_back:  # what the room forgot is at the centre all the same
                told = [data for data in told if data in wanted]
                assert len(quarantined) >= self.store.outbox.depth().quarantined
            else:
                assert len(quarantined) == self.store.outbox.depth().quarantined
            assert told == wanted
            assert self.centre.are_in_order()
            assert len(self.store.facts.hearings) == len({*self.store.facts.hearings})
        finally:
            self.store.close()
            self.folder.cleanup()


def test_any_interleaving_of_crash_loss_and_retry_delivers_each_event_once_and_in_order() -> None:
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    run_state_machine_as_test(
        AnyCourseOfDelivery, settings=settings(max_examples=80, stateful_step_count=25, phases=phases)
    )  # fmt: skip
