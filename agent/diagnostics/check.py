"""What a check is: a file of its own with one class, which is listed in ``registry.py``. The interface is of version 1.

A check looks, changes nothing that lasts, and says what it found by codes; the words for each code in each language are in ``words.py``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.centre_clock import Difference
from agent.upstream.contract import ClockQuality
from provisioning.room import RoomConfig
from recorder.contract.control import Status

INTERFACE_VERSION = 1
Result = Literal["good", "unknown", "warning", "bad"]
ORDER: tuple[Result, ...] = ("good", "unknown", "warning", "bad")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What checks may ask.

    Args:
        config: the room's.
        status: the recorder's state now; None where it is away.
        quality: the clock's quality.
        planned_hours: of the hearings that are planned here, as far as the schedule reaches.
        centre: the difference to the centre's clock, where it is known.
    """

    config: RoomConfig
    status: Callable[[], Status | None]
    quality: Callable[[], Awaitable[ClockQuality]]
    planned_hours: float = 0.0
    centre: Difference | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a check found: its code in ``words.py`` with what stands in its words."""

    result: Result
    code: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a check found, and what it measured (names with their units)."""

    found: list[Found]
    values: dict[str, float] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """The worst of all."""
        return max((one.result for one in self.found), key=ORDER.index, default="good")


class Check(Protocol):
    """One check. ``version`` rises when what it judges, or how, changes: results of two versions do not compare."""

    name: str
    version: int
    deadline_s: float

    async def run(self, context: Context) -> Outcome:
        """Look. Ends by itself before the deadline where it can; is cancelled then, and when a hearing begins."""
        ...
