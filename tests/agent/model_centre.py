"""The centre's half of the outbox, by the contract: it knows an event by room, epoch and seq, and takes each once."""

import msgspec

from agent.upstream import contract, transfer
from agent.upstream.client import RefusedError

POISON = "poison"
"""What this centre does not take."""


def refused(status: int, title: str = "refused") -> RefusedError:
    return RefusedError(transfer.Problem(type="about:blank", title=title, status=status))


class ModelCentre:
    """Events in the order in which they were taken."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str, int], contract.Event] = {}
        self.highest: dict[str, int] = {}
        self.batches: list[int] = []

    def take(self, batch: contract.EventBatch) -> contract.EventsTaken:
        raw = msgspec.json.encode(batch)
        batch = msgspec.json.decode(raw, type=contract.EventBatch)
        assert len(batch.events) == 1 or len(raw) <= contract.BATCH_BYTES
        seqs = [event.seq for event in batch.events]
        assert seqs == sorted(set(seqs))
        self.batches.append(len(batch.events))
        if batch.after is not None and (had := self.highest.get(batch.after.epoch, 0)) < batch.after.seq:
            return contract.EventsTaken(epoch=batch.after.epoch, to=had)
        for event in batch.events:
            if POISON in msgspec.json.encode(event.data).decode() and not isinstance(event.data, contract.Quarantined):
                raise refused(422)
        for event in batch.events:
            kept = self.taken.get((event.room, event.epoch, event.seq))
            if event.seq <= self.highest.get(batch.epoch, 0) and (kept is None or kept.id != event.id):
                raise refused(409)
        for event in batch.events:
            self.taken.setdefault((event.room, event.epoch, event.seq), event)
        self.highest[batch.epoch] = max(self.highest.get(batch.epoch, 0), seqs[-1])
        return contract.EventsTaken(epoch=batch.epoch, to=self.highest[batch.epoch])

    def data(self, eventclass: str = "A") -> list[contract.AnyData]:
        return [event.data for event in self.taken.values() if event.eventclass == eventclass]

    def are_in_order(self) -> bool:
        """Whether each epoch's events were taken in the order of their numbers."""
        return all(
            seqs == sorted(seqs) for epoch in self.highest for seqs in [[key[2] for key in self.taken if key[1] == epoch]]
        )  # fmt: skip
