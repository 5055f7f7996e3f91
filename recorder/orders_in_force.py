"""What people ordered of the running session, in a small file of the run directory: it holds at once, whatever the disks do.

The journal says it as soon as a disk takes it. Until then a recorder that is killed, or whose only disk with that line died, would come
back recording what nobody may hear. The file is no evidence and is not synced: a power cut takes it, and the journal is what there is then.
Of that only what is signed ends a pause or lowers a level: whoever has the disk of a dark room writes a line without any key.
"""

import contextlib
import os
from pathlib import Path
from typing import get_args

import msgspec
import structlog

from recorder.contract import control
from recorder.contract.control import State
from recorder.record import entries
from recorder.record.entries import Level, PausedState
from recorder.running import RunningSession
from recorder.signed_end import SignedEnd

log = structlog.get_logger()

_LEVELS: tuple[Level, ...] = get_args(Level)
_PAUSED: tuple[PausedState, ...] = get_args(PausedState)
_STRICTNESS: dict[State, int] = {"open": 0, "off_record": 1, "privileged": 2, "deliberation": 2}
_RECORDER = "recorder"
UNSIGNED = "what was ordered last before the power cut is signed by nobody, and the stricter holds on"
KEPT = "orders_kept"
"""The alarm of a session that was taken up in a stricter state, or at a higher level, than its last lines say."""


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The orders in force: the last pause (None: open), the last level and the session's end, each as it was asked for."""

    record: str
    pause: control.PauseRequest | None = None
    level: control.SetLevel | None = None
    stop: control.StopRequest | None = None
    kept: bool = False
    """They hold on against an unsigned line, and nobody has ordered anything since."""


def begun_with(record: str, request: control.Start) -> InForce:
    """The orders in force of a session that begins: its level is one, for the journal's line of it may be torn off."""
    ordered = request.level != "open"
    return InForce(record=record, level=control.SetLevel(level=request.level, actor=request.actor) if ordered else None)


def signed_orders(record: str, signed: SignedEnd | None) -> InForce:
    """What held as of the last line that is signed, as orders: of these and the journal the stricter holds after a power cut."""
    if signed is None:
        return InForce(record=record)
    state = next((paused for paused in _PAUSED if paused == signed.state), None)
    pause = None if state is None else control.PauseRequest(state=state, actor=_RECORDER, reason=UNSIGNED)
    return InForce(record=record, pause=pause, level=control.SetLevel(level=signed.level, actor=_RECORDER))


class OrdersInForce:
    """The file; an error in writing it is logged, for the order is obeyed all the same."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "orders-in-force.json"

    def put(self, orders: InForce) -> None:
        """Write it, whole or not at all."""
        part = self._path.with_suffix(".part")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(orders))
            part.replace(self._path)
        except OSError as error:
            log.error("the orders in force stand in the journal alone", file=str(self._path), error=str(error))

    def get(self, record: str) -> InForce | None:
        """The orders in force for this record; None where the file does not know it."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=InForce)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            log.error("the orders in force cannot be read; those of the journal hold", file=str(self._path), error=str(error))
            return None
        return found if found.record == record else None

    def stop_of(self, record: str) -> control.StopRequest | None:
        """The end that was asked for of this record, as far as the file knows it."""
        orders = self.get(record)
        return None if orders is None else orders.stop

    def clear(self) -> None:
        """The session is over."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def stricter_pause(journal: State, orders: InForce) -> control.PauseRequest | None:
    """The pause that must be obeyed although the journal does not say it (yet); None where what it says is as strict."""
    paused: State | PausedState = "open" if orders.pause is None else orders.pause.state
    return orders.pause if _STRICTNESS[paused] > _STRICTNESS.get(journal, 0) else None


def higher_level(journal: Level, orders: InForce) -> control.SetLevel | None:
    """As ``stricter_pause``, for the level."""
    return orders.level if orders.level is not None and _LEVELS.index(orders.level.level) > _LEVELS.index(journal) else None


def obey_again(session: RunningSession, orders: InForce, now_us: int) -> None:
    """A session was taken up: what was ordered and had not reached the disk holds on, and is journaled now."""
    pause, level = stricter_pause(session.state, orders), higher_level(session.level, orders)
    if pause is not None:
        session.pause(pause, now_us)
    if level is not None:
        session.level = level.level
        from_us = session.clock.t_us(now_us)
        session.journal(entries.LevelChange(level=level.level, actor=level.actor, order=level.order, from_us=from_us), urgent=True)
