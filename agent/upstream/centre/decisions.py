"""What a keeper decides, whatever it keeps things in: which events are new, what a head contradicts, who may change a hearing. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from agent.upstream import contract
from agent.upstream.centre.backend import API


class Kept(NamedTuple):
    """The last head of a record that was countersigned, and the room that said it."""

    at: int
    head: str
    room: str


Verdict = Literal["new", "same", "contradicts"]


def verdict(kept: Kept | None, room: str, said: contract.Head) -> Verdict:
    """What a head is to what was countersigned before: a chain only grows, and belongs to one room."""
    if kept is None:
        return "new"
    if kept.room != room or said.at < kept.at or (said.at == kept.at and said.sha256 != kept.head):
        return "contradicts"
    return "same" if said.at == kept.at else "new"


def new_events(batch: contract.EventBatch, highest: int) -> Sequence[contract.Event]:
    """The events of a batch that are behind the epoch's highest number: a room sends in order, so all others were taken."""
    return [event for event in batch.events if event.seq > highest]


def may_change(source: str, owner: str | None) -> bool:
    """Whether this source may change a hearing of that owner (None: nobody's yet)."""
    return owner is None or source in {API, owner}


def wants_snapshot(after: int, as_of: int) -> bool:
    """Whether a room knows nothing yet, or was told by a centre that this one was before it was restored."""
    return after > as_of or (after == 0 and as_of > 0)
