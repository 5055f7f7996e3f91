"""Carries out `courtroom conference visit` and `leave-visit`: this room takes part in another room's hearing."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from agent.conference_link import ConferenceLink
from agent.desk import Actor, DeskError
from agent.held import Held
from agent.visits import Visits, VisitsError, visit_by
from recorder.contract import conference

log = structlog.get_logger()

ANSWER_S = 8.0
"""So long the clerk's command waits for the other room."""
READ_CODE = (
    "“{title}” is not public. Call its clerk by a number that you have from elsewhere, and read out this code: {code}. Where the clerk "
    "says that it fits, this room waits to be admitted; `courtroom conference list` shows it. Until then nothing of the case is to be said "
    "here. Where it does not fit, somebody may be between the rooms: `courtroom conference leave-visit`."
)
GROUP_DIGITS = 5
OWN_HEARING = "this room's own hearing is held"


class VisitOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take part in another room's hearing."""

    actor: Actor
    link: Annotated[str, msgspec.Meta(max_length=2_000)]


class LeaveVisit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take part in it no more."""

    actor: Actor


class VisitState(msgspec.Struct, frozen=True, kw_only=True):
    """The visit as the clerk sees it."""

    root: str
    phase: conference.VisitPhase = "dials"
    title: str = ""
    name: str = ""
    words: str = ""
    code: str = ""
    """What the other room's clerk is to be read, in groups."""


class VisitDesk:
    """For one room.

    Args:
        link: to vks.
        visits: what is kept of it.
        authorities: file of certificates that vouch for other rooms' doors; None: those alone that the PC trusts.
    """

    def __init__(self, link: ConferenceLink, visits: Visits, authorities: Path | None) -> None:
        self._link = link
        self._visits = visits
        self._authorities = authorities
        self._held: Held | None = None
        self._stands: conference.VisitIs | None = None
        self._over: VisitState | None = None
        """How the last visit ended, until the clerk orders something about visits, or this room's own hearing begins."""
        self._news = asyncio.Event()
        link.on_visit = self._heard

    def visit(self, held: Held) -> conference.Visit | None:
        """What vks is to know of it; a visit ends where this room's own hearing begins."""
        self._held = held
        if held.state != "idle":
            self._over = None
        if self._visits.now is not None and held.state != "idle":
            log.error("this room takes part in the other room's hearing no more: its own has begun", root=self._visits.now.root)
            self._drop()
        return self._visits.now

    def state(self) -> VisitState | None:
        """The visit now, or how the last one ended."""
        visit, stands = self._visits.now, self._stands
        if visit is None:
            return self._over
        if stands is None or stands.visit != visit.id or not self._link.reachable:
            return VisitState(root=visit.root)
        return VisitState(
            root=visit.root, phase=stands.phase, title=stands.title, name=stands.name, words=stands.words, code=in_groups(stands.code)
        )

    async def begin(self, order: VisitOrder) -> "VisitAnswer":
        """Take part in a hearing by this link; answered when the other room has said something, or after ``ANSWER_S``."""
        try:
            authorities = await asyncio.to_thread(self._read_authorities)
            visit = self._kept(order.link, authorities)
        except VisitsError as error:
            raise DeskError(str(error)) from None
        log.info("this room visits another one", by=order.actor, root=visit.root)
        await self._link.tell_now()
        stands = await self._first_word(visit)
        if stands is not None and stands.phase == "over":
            words = stands.words if self._over is None else self._over.words
            self._over = None
            raise DeskError(words)
        return VisitAnswer(text=_words(stands))

    def _kept(self, link: str, authorities: str) -> conference.Visit:
        """A visit by this link, if there may be one: looked at and kept at once, for two orders may come together.

        Raises:
            DeskError: there may be none.
            VisitsError: it is no link, or cannot be kept.
        """
        if self._visits.now is not None:
            raise DeskError("this room takes part in another room's hearing already; `courtroom conference leave-visit` ends that")
        if self._held is None:
            raise DeskError("it is not known whether this room's own hearing is held: the recorder is away")
        if self._held.state != "idle":
            raise DeskError(f"{OWN_HEARING}: end it by `courtroom hearing stop` first, a room can be in one hearing at a time")
        if not self._link.reachable:
            raise DeskError("the videoconference is not running; see `systemctl status courtroom-vks`")
        visit = visit_by(link, authorities)
        self._visits.keep(visit)
        self._over = None
        return visit

    async def end(self, order: LeaveVisit) -> "VisitAnswer":
        """Take part no more."""
        visit, self._over = self._visits.now, None
        left = self._drop()  # also where there is none: what could not be removed before may be now
        if visit is not None:
            log.info("this room's visit is ended", by=order.actor, root=visit.root)
            await self._link.tell_now()
        if left:
            raise DeskError(f"the visit is ended, but {left}")
        if visit is None:
            raise DeskError("this room takes part in no other room's hearing")
        return VisitAnswer(text="This room takes part in the other room's hearing no more.")

    async def _first_word(self, visit: conference.Visit) -> conference.VisitIs | None:
        """What is known of the visit when the other room has answered, or does not for long."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while (stands := self._of(visit)) is None or stands.phase == "dials":
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        return self._of(visit)

    def _of(self, visit: conference.Visit) -> conference.VisitIs | None:
        return self._stands if self._stands is not None and self._stands.visit == visit.id else None

    def _heard(self, stands: conference.VisitIs) -> None:
        visit = self._visits.now
        if visit is None or stands.visit != visit.id:
            return
        self._stands = stands
        if stands.phase == "over":
            log.warning("this room's visit is over", root=visit.root, words=stands.words)
            left = self._drop()
            words = f"{stands.words}; {left}" if left else stands.words
            self._over = VisitState(root=visit.root, phase="over", title=stands.title, name=stands.name, words=words)
        elif stands.resume and (stands.resume, stands.host) != (visit.resume, visit.host):
            try:
                self._visits.keep(msgspec.structs.replace(visit, resume=stands.resume, host=stands.host))
            except VisitsError as error:
                log.error("the way back into the other room's hearing cannot be kept", error=str(error))
        self._news.set()

    def _drop(self) -> str:
        """Forget the visit; returns why it may come back, empty: it will not."""
        try:
            self._visits.drop()
        except VisitsError as error:
            log.error("what is kept of this room's visit cannot be removed", error=str(error))
            return str(error)
        return ""

    def _read_authorities(self) -> str:
        if self._authorities is None:
            return ""
        try:
            return self._authorities.read_text(encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise VisitsError(f"{self._authorities}, which vouches for other rooms, cannot be read: {error}") from error


class VisitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands."""

    text: str


def in_groups(code: str) -> str:
    """A code as people read it out."""
    return " ".join(code[at : at + GROUP_DIGITS] for at in range(0, len(code), GROUP_DIGITS))


def _words(stands: conference.VisitIs | None) -> str:
    if stands is None or stands.phase == "dials":
        why = "" if stands is None else f": {stands.words}"
        return f"The other room has not answered yet{why}. It is dialled until it does; `courtroom conference list` shows it."
    if stands.phase == "unvouched":
        return READ_CODE.format(title=stands.title, code=in_groups(stands.code))
    if stands.phase == "waits":
        return f"This room waits as “{stands.name}” to be admitted to “{stands.title}” by the other room's clerk."
    return f"This room is in “{stands.title}” as “{stands.name}”."
