"""Which record is sent next. Pure; the clock is an argument.

The oldest first, one at a time. A record that the archive verifies, that cannot be read, or that is refused does not keep the others from
going: it has its turn again when its time has come, and behind all that wait for theirs for longer. A turn takes time: by age alone, a few
that the archive verifies for ever would be due again before any other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.archive.records import SealedRecord

SETTLE_S = 12.0
"""A record is offered when nothing came to it for so long: the centre's receipt for its last head comes just after the seal."""
LOOK_AGAIN_S = 30.0
"""How long a record that the archive verifies is left alone."""
REFUSED_S = 86_400.0
"""A record that was refused is offered again a day later: a certificate that was missing may have come to the centre."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 3600.0

Outcome = Literal["delivered", "verifying", "troubled", "refused"]


@dataclass(slots=True)
class _Turn:
    ended_s: float
    due_s: float
    failures: int = 0
    why: str = ""
    outcome: Outcome = "troubled"


@dataclass(slots=True)
class Queue:
    """The turns of records by their names and what is to be delivered of them."""

    _turns: dict[tuple[str, str], _Turn] = field(default_factory=dict)

    def next(self, records: Sequence[SealedRecord], now_s: float, now_utc_us: int) -> tuple[SealedRecord | None, float]:
        """The record to send now, or None; and for how many seconds there is none to send.

        ``records`` come oldest first. What had no turn yet goes first, then what had its last one longest ago. Of those that had none, what
        is ``pending`` goes before what is ``late``: an order to a record that the archive has.
        """
        waiting = [one for one in records if one.standing != "delivered"]
        keys = {_key(one) for one in waiting}
        self._turns = {key: turn for key, turn in self._turns.items() if key in keys}
        soonest_s = LOOK_AGAIN_S
        for one in sorted(waiting, key=lambda one: (self._last_s(one), one.standing == "late")):
            turn = self._turns.get(_key(one))
            # A clock that was set back must not hold a record for ever: what came in the future came now.
            settled_s = 0.0 if one.changed_utc_us > now_utc_us else SETTLE_S - (now_utc_us - one.changed_utc_us) / 1e6
            wait_s = max(settled_s, 0.0 if turn is None else turn.due_s - now_s)
            if wait_s <= 0:
                return one, 0.0
            soonest_s = min(soonest_s, wait_s)
        return None, soonest_s

    def ended(self, record: SealedRecord, outcome: Outcome, now_s: float, why: str = "") -> None:
        """How a record's turn ended; ``why`` it is refused or in trouble."""
        key = _key(record)
        if outcome == "delivered":
            self._turns.pop(key, None)
            return
        failures = self._turns[key].failures + 1 if key in self._turns and self._turns[key].outcome == outcome else 1
        wait_s = {"verifying": LOOK_AGAIN_S, "refused": REFUSED_S}.get(
            outcome, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))
        )  # fmt: skip
        self._turns[key] = _Turn(now_s, now_s + wait_s, failures, why, outcome)

    def is_verified(self, record: SealedRecord) -> bool:
        """Whether the archive had all of it at its last turn, and verified it: there is nothing to send, only to ask."""
        turn = self._turns.get(_key(record))
        return turn is not None and turn.outcome == "verifying"

    def stuck(self) -> dict[str, str]:
        """The records that the archive refuses or cannot verify, or that cannot be read, by name with the reason: somebody must look."""
        return {name: turn.why for (name, _), turn in self._turns.items() if turn.outcome != "troubled" and turn.why}

    def _last_s(self, record: SealedRecord) -> float:
        turn = self._turns.get(_key(record))
        return -math.inf if turn is None else turn.ended_s


def _key(record: SealedRecord) -> tuple[str, str]:
    return record.name, record.files_sha256
