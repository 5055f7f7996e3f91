"""Which of the sessions that earlier runs left goes on, and how the others end. Pure."""

from collections.abc import Callable, Iterable

from recorder.contract import control
from recorder.recovery import Left

TAKE_UP_WITHIN_US = 12 * 3600 * 1_000_000
"""A session that a crash broke off is taken up again at the next start, unless that comes later than this: then it is sealed as it is."""

Ending = tuple[Left, control.StopRequest]
"""A session that does not go on, and how its record is sealed."""


def judge(found: Iterable[Left], stop_of: Callable[[str], control.StopRequest | None], now_utc_us: int) -> tuple[Left | None, list[Ending]]:
    """The session that goes on, the newest one, if it does; and all others that have no seal.

    A session whose end was asked for before the crash is over, by its journal or by ``stop_of``, which tells it of a record's id.
    """
    endings: list[Ending] = []
    open_ones: list[Left] = []
    for left in sorted(found, key=_last_utc_us):
        stop = _stop(left) or stop_of(left.genesis.record)
        if stop is None:
            open_ones.append(left)
        else:
            endings.append((left, stop))
    newest = open_ones.pop() if open_ones else None
    endings += [(left, _interrupted("a later session was taken up")) for left in open_ones]
    if newest is not None and newest.last is not None and now_utc_us - newest.last.utc_us > TAKE_UP_WITHIN_US:
        hours = (now_utc_us - newest.last.utc_us) / 3600e6
        endings.append((newest, _interrupted(f"the recorder came back after {hours:.0f} h, and takes a session up within 12 h only")))
        newest = None
    return newest, endings


def _stop(left: Left) -> control.StopRequest | None:
    journal = left.journal
    return control.StopRequest(actor=journal.stopped_by, reason=journal.stop_reason) if journal.stopped_by else None


def _interrupted(why: str) -> control.StopRequest:
    return control.StopRequest(actor="recorder", reason=f"interrupted: {why}")


def _last_utc_us(left: Left) -> int:
    return left.last.utc_us if left.last else 0
