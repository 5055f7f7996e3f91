"""Plans, stamps and an opened store, for the tests of what the room decides and keeps."""

from pathlib import Path

from agent.outbox import Stamp
from agent.store import Store
from agent.store_file import Reserve
from agent.upstream import contract

ROOM = "almaty-1"
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
DAY = 20_000 * DAY_US
"""Midnight of the tests' first day."""
TEN = DAY + 10 * HOUR_US
SMALL_RESERVE = 64 * 1024


def hearing(
    id_: str = "h1",
    *,
    starts_us: int = TEN,
    length_us: int = HOUR_US,
    room: str = ROOM,
    state: str = "planned",
    automatic: bool | None = None,
) -> contract.Hearing:
    assert state in {"planned", "cancelled"}
    return contract.Hearing(
        id=id_, room=room, case=f"case of {id_}", starts_utc_us=starts_us, ends_utc_us=starts_us + length_us,
        state="cancelled" if state == "cancelled" else "planned", automatic=automatic,
    )  # fmt: skip


def at(utc_us: int) -> Stamp:
    return Stamp(utc_us=utc_us, mono_us=utc_us - DAY + DAY_US, boot="b", clock=contract.ClockQuality(source="test"))


def opened(path: Path, utc_us: int = DAY) -> Store:
    return Store(path, ROOM, at(utc_us), Reserve(path, SMALL_RESERVE))
