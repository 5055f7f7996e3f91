"""What the technician can see of events that the centre refused, and order: that they are sent once more."""

from typing import TypeVar

import msgspec

from agent.desk import DeskError, Said
from agent.outbox import SetAside
from agent.room_process import RoomProcess

MOST_SHOWN = 500
Found = TypeVar("Found")


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """The events that were set aside, the oldest first; ``count`` of them, of which at most ``MOST_SHOWN`` are here."""

    count: int
    events: list[SetAside]


class SendOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send them all once more."""


class QuarantineDesk:
    """Shows them and has them sent."""

    def __init__(self, process: RoomProcess) -> None:
        self._process = process

    async def state(self) -> Quarantine:
        """What is set aside."""
        stamp = self._process.stamp()
        found = await self._process.store.do(
            lambda file: file.change(
                lambda outbox: Quarantine(count=outbox.depth().quarantined, events=outbox.set_aside(MOST_SHOWN)), stamp
            )
        )
        return self._known(found)

    async def send(self, _: SendOrder) -> Said:
        """Send them all: each once, behind what waits, under a new number."""
        stamp = self._process.stamp()
        count = self._known(await self._process.store.do(lambda file: file.change(lambda outbox: outbox.requeue(), stamp)))
        for call in self._process.on_events:
            call()
        if count == 0:
            return Said(text="No event is set aside: nothing is sent again.")
        return Said(text=f"{count} event{'s wait' if count > 1 else ' waits'} to be sent again, behind what waited before.")

    def _known(self, found: Found | None) -> Found:
        if found is None:
            raise DeskError(self._process.store.trouble or "the agent's file cannot be used")
        return found
