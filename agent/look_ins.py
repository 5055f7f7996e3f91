"""The look-ins that the room has let begin: kept until the centre is told that they are over, whatever is killed meanwhile.

What is kept here and what vks shows are compared again and again (``over``, ``unknown``): one that is in either alone is ended, so that
none goes on unseen by the other, and none without an end. Pure but for the file.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from agent import whole_file
from agent.outbox import Stamp
from agent.upstream import contract
from recorder.contract.control import State

IS_OVER, NOT_OPEN, GONE = "its time was over", "the hearing was no longer open", "it was ended in the room"
_DAMAGED = "what was known of look-ins cannot be read; those that were open are ended"


class LookInsError(Exception):
    """The file cannot be written; the message says why."""


class LookIn(msgspec.Struct, frozen=True, kw_only=True):
    """One that was asked for."""

    lookin: str
    person: str
    reason: str
    boot: str
    until_mono_us: int
    """By the clock of that boot, which nobody sets."""
    began: bool = False
    """False while vks has not answered."""
    told: bool = False
    """The centre was told that it began."""


class LookIns:
    """The file.

    Args:
        path: where it is; none are open where there is none. One that cannot be read keeps no agent from its work: it is set aside, and
            what vks shows is ended, for nobody knows it any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = whole_file.read_or_set_aside(path, list[LookIn], _DAMAGED)
        self._open = {one.lookin: one for one in kept or []}

    @property
    def open(self) -> list[LookIn]:
        """Those whose end the centre has not been told."""
        return list(self._open.values())

    def find(self, lookin: str) -> LookIn | None:
        """One of them."""
        return self._open.get(lookin)

    def put(self, one: LookIn) -> None:
        """Keep it, as it is now.

        Raises:
            LookInsError: the file cannot be written; what was known stays.
        """
        now = {**self._open, one.lookin: one}
        self._write(now)
        self._open = now

    def note_told(self, lookin: str) -> None:
        """The centre was told that it began.

        Raises:
            LookInsError: the file cannot be written; it is known until the agent is started anew.
        """
        self._open[lookin] = msgspec.structs.replace(self._open[lookin], told=True)
        self._write(self._open)

    def drop(self, lookin: str) -> None:
        """Forget it.

        Raises:
            LookInsError: the file cannot be written; it is forgotten until the agent is started anew.
        """
        self._open = {name: one for name, one in self._open.items() if name != lookin}
        self._write(self._open)

    def _write(self, now: dict[str, LookIn]) -> None:
        try:
            whole_file.write(self._path, msgspec.json.encode(list(now.values())))
        except OSError as error:
            raise LookInsError(f"{self._path} cannot be written: {error.strerror}; look after the disk") from error


def refusal(command: contract.StartLookIn, known: Collection[str], now_utc_us: int) -> str:
    """Why a look-in may not even be asked for; empty where it may."""
    if now_utc_us > command.before_utc_us:
        return "the command came too late: the person does not wait for it any more"
    if command.lookin in known:
        return "a look-in of this name has begun already"
    return ""


def over(one: LookIn, shown: Collection[str] | None, room: State | None, now: Stamp) -> str:
    """Why a look-in that began is over; empty while it goes on.

    Args:
        one: the look-in.
        shown: those that vks shows now; None while it is away.
        room: the recorder's state; None while it is away.
        now: this moment.
    """
    if one.boot != now.boot or now.mono_us >= one.until_mono_us:
        return IS_OVER
    if room is not None and room != "open":
        return NOT_OPEN
    return GONE if shown is not None and one.lookin not in shown else ""


def unknown(known: Collection[LookIn], shown: Collection[str]) -> list[str]:
    """Those that vks shows, and that nobody here knows: they are to end."""
    names = {one.lookin for one in known}
    return [name for name in shown if name not in names]
