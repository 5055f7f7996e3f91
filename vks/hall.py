"""The hearing that people come to: the pages at the door, and the conference behind it.

The agent says which hearing it is (``agent_link.py``). Where that changes, all pages are sent away and a new conference begins; where this
process was killed, the agent gives back how the conference stood, and each device comes back to its place by its resume token.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog
from cryptography import x509

from recorder.contract import conference as contract
from recorder.contract.bucket import Bucket
from vks import acts, signalling
from vks.acts import OfParticipant
from vks.admission import Admission, NotAdmittedError, Seat
from vks.audience import Audience
from vks.conference import Conference
from vks.connection import Connection
from vks.display import Displays
from vks.doubts import Doubts
from vks.identity_screen import IdentityScreens
from vks.look_in import LookIns
from vks.order import Order, Unsure, is_kept_out
from vks.page import Page
from vks.rules import RefusedError
from vks.taken_in import TakenIn
from vks.times import mono_us

log = structlog.get_logger()

MOST_PAGES = 300
FACTS_PER_S, FACTS_BURST = 1, 10
"""What somebody does or comes back for becomes a line of the record: so often, and no oftener."""
MakeConference = Callable[[Callable[[], None], Order | None], Conference]


class Hall:
    """All pages.

    Args:
        make: makes the conference of a hearing; is given what to call after each change, and where it stood.
        now_utc_us: the wall clock, by which links open and expire.
        changed: is called after each change of the conference.
        roots: the authorities that vouch for persons.
    """

    def __init__(
        self, make: MakeConference, now_utc_us: Callable[[], int], changed: Callable[[], None], roots: Sequence[x509.Certificate] = ()
    ) -> None:
        self.conference: Conference | None = None
        self.hearing: contract.HearingIs | None = None
        self.displays = Displays()
        """The courtroom's own screens."""
        self.look_ins = LookIns(lambda: (self.conference, self.hearing))
        """Those of the Situation Centre who look in."""
        self.audience = Audience(lambda: (self.conference, self.hearing))
        """The large audience that stands elsewhere."""
        self.taken_in = TakenIn(lambda: (self.conference, self.hearing))
        """Those of it who speak in the hearing."""
        self.doubts = Doubts(lambda: (self.conference, self.hearing), lambda: list(self._pages), roots, now_utc_us, changed)
        """Those for whose certificates nobody has vouched."""
        self.identity_screens = IdentityScreens(lambda: (self.conference, self.hearing))
        """The clerk's, each with somebody whose identity is checked."""
        self.on_visit: Callable[[contract.Visit | None], None] = _nothing
        """Is told whether this room takes part in another one's hearing."""
        self._make = make
        self._now_utc_us = now_utc_us
        self._changed = changed
        self._unsure: Unsure = ""
        self._admission: Admission | None = None
        self._pages: list[Page] = []
        self._measures: dict[tuple[str, bool], Bucket] = {}
        """By person, of the device that holds the seat and of all others together: a new connection brings no new measure, and whoever
        has a copy of the link takes nothing of its owner's."""

    def hold(self, hearing: contract.HearingIs) -> None:
        """Take what the agent says of the hearing."""
        kept = None
        if self.hearing is None or hearing.hearing != self.hearing.hearing or self.conference is None:
            self.close("hearing_over")
            if self.conference is not None:
                self.conference.end()
            kept = _kept(hearing)
            self.conference = self._make(self._follow, kept) if hearing.hearing else None
            self._admission = None
            self._measures.clear()
        if self._admission is None or self.hearing is None or hearing.invitations != self.hearing.invitations:
            self._admission = Admission(hearing.hearing, hearing.invitations, hearing.secret)
        self.hearing = hearing
        if kept is not None and self.conference is not None:
            self.conference.act(acts.Restarted())  # as any other change: what ended with the process before this one is told
        self._room_is(hearing, "recording" if hearing.unsure else "")
        self.look_ins.follow()
        self.audience.follow()
        self.taken_in.follow()
        self.identity_screens.follow()
        self.on_visit(hearing.visit)

    def doubt(self) -> None:
        """Nobody says any more what state the room is in: it may be a confidential one, so nobody hears anybody until ``hold``."""
        if self.hearing is None or self._unsure == "room":
            return
        log.error("the agent is away: nobody hears anybody until it says again what state the room is in")
        self._room_is(self.hearing, "room")

    def _room_is(self, hearing: contract.HearingIs, unsure: Unsure) -> None:
        self._unsure = unsure
        if self.conference is not None:
            self.conference.act(
                acts.RoomIs(hearing=hearing.hearing, state=hearing.state, closed=hearing.closed, unsure=unsure, record=hearing.record)
            )
        self.displays.follow(self.conference, hearing, unsure)

    def close(self, code: str, *, again: bool = False) -> None:
        """Send all pages away."""
        for page in self._pages:
            page.end(signalling.Bye(code=code, again=again))

    def join(self, token: str, device: str, source: str) -> str:
        """The resume token for a join token.

        Raises:
            NotAdmittedError: it opens nothing.
        """
        if self._admission is None or self.hearing is None:
            raise NotAdmittedError("starting")
        if not self.hearing.hearing:
            raise NotAdmittedError("no_hearing")
        return self._admission.resume_token(self._admission.join(token, device, source, self._now_utc_us()))

    # what pages ask

    def seat(self, token: str, source: str) -> Seat:
        """Whose resume token it is.

        Raises:
            NotAdmittedError: nobody's.
        """
        if len(self._pages) >= MOST_PAGES:
            raise NotAdmittedError("too_many")
        if self._admission is None or self.conference is None:
            raise NotAdmittedError("starting" if self.hearing is None else "unknown")
        seat = self._admission.resume(token, source, self._now_utc_us())
        person = self.conference.order.people.get(seat.person)
        if not self._may_tell(seat.person, holds=person is None or person.device == seat.device):
            raise NotAdmittedError("too_many")
        return seat

    def welcome(self, seat: Seat) -> signalling.Welcome:
        """What the page is told first; its resume token is renewed."""
        if self._admission is None or self.hearing is None:
            raise RefusedError("hearing_over", "no hearing is near")
        return signalling.Welcome(
            person=seat.person, name=seat.name, role=seat.role, title=self.hearing.title, resume=self._admission.resume_token(seat),
            ice=self.relays(seat).page,
        )  # fmt: skip

    def relays(self, seat: Seat) -> contract.Relays:
        """By what the media of this person may go; nothing for whom the clerk has put out."""
        none = contract.Relays(page=[], room=[])
        person = None if self.conference is None else self.conference.order.people.get(seat.person)
        if self.hearing is None or (person is not None and person.place == "removed"):
            return none
        return self.hearing.relays.get(seat.person, none)

    def enter(self, page: Page) -> None:
        """A page has said whose it is.

        Raises:
            RefusedError: that person may not come.
        """
        seat, conference = page.seat, self.conference
        if seat is None or conference is None:
            raise RefusedError("hearing_over", "no hearing is near")
        for other in self._pages:
            if _is_same(other, page):
                other.end(signalling.Bye(code="elsewhere", again=False))
        self._pages.append(page)
        conference.act(acts.Came(person=seat.person, name=seat.name, role=seat.role, device=seat.device))
        self._follow()

    def leave(self, page: Page, *, left: bool) -> None:
        """It is gone."""
        if page not in self._pages:
            return
        self._pages.remove(page)
        seat, conference = page.seat, self.conference
        if seat is None or conference is None or seat.hearing != conference.order.hearing:
            return
        if page.peer is not None and conference.peers.get(seat.person) is page.peer:
            conference.gone(page.peer, left=left)
        elif not any(_is_same(other, page) for other in self._pages):
            conference.act(acts.Gone(person=seat.person, device=seat.device, left=left))

    def media(self, page: Page, connection: Connection) -> None:
        """Its media goes by this connection."""
        conference = self.conference
        if conference is not None and page.peer is not None and conference.peers.get(page.peer.person) is page.peer:
            conference.media(page.peer, connection)

    def do(self, page: Page, act: OfParticipant) -> None:
        """It asks for something.

        Raises:
            RefusedError: that cannot be done.
        """
        conference = self.conference
        if conference is None or page.peer is None or conference.peers.get(page.peer.person) is not page.peer:
            raise RefusedError("not_there", "another device of this person is in the hearing")
        if _begins_something(act) and not self._may_tell(page.peer.person, holds=True):
            raise RefusedError("too_often", "so much in so short a time is told in no record")
        conference.act(act, page.peer.person)

    def _may_tell(self, person: str, *, holds: bool) -> bool:
        return self._measures.setdefault((person, holds), Bucket(FACTS_PER_S, FACTS_BURST)).take(mono_us())

    def _follow(self) -> None:
        """Give each person's seat to the page of the device that holds it now, and send those away who may not be there."""
        conference = self.conference
        if conference is None:
            return
        for page in list(self._pages):
            if page.seat is None or page.peer is None:
                continue
            person = conference.order.people.get(page.seat.person)
            if person is None or person.place == "removed":
                kept_out = person is not None and is_kept_out(conference.order, person)
                page.end(signalling.Bye(code="not_public" if kept_out else "removed", again=False))
            elif person.device == page.seat.device:
                self._seat(conference, page)
            elif person.rival == page.seat.device:
                page.say(signalling.Wait())
            else:
                page.end(signalling.Bye(code="elsewhere", again=False))
        self.doubts.follow()
        self.displays.follow(conference, self.hearing, self._unsure)
        self.look_ins.follow()
        self.audience.follow()
        self.taken_in.follow()
        self.identity_screens.follow()
        self._changed()

    def _seat(self, conference: Conference, page: Page) -> None:
        if page.peer is None or conference.peers.get(page.peer.person) is page.peer or self._newer(page):
            return
        conference.enter(page.peer)

    def _newer(self, page: Page) -> bool:
        """Whether the same device has another connection that came later."""
        return any(_is_same(other, page) for other in self._pages[self._pages.index(page) + 1 :])


def _begins_something(act: OfParticipant) -> bool:
    """What ends something is never refused: whoever shows his screen, or is in a private talk, can always leave."""
    return isinstance(act, acts.Listen) or (isinstance(act, acts.RaiseHand | acts.Share) and act.on)


def _is_same(one: Page, other: Page) -> bool:
    """Whether they are the same person's, at the same device: a browser has one name for all who use it."""
    if one.seat is None or other.seat is None:
        return False
    return (one.seat.person, one.seat.device) == (other.seat.person, other.seat.device)


def _kept(hearing: contract.HearingIs) -> Order | None:
    """Where the conference stood, when a process before this one held it."""
    if not hearing.kept:
        return None
    try:
        order = msgspec.json.decode(hearing.kept, type=Order)
    except msgspec.DecodeError as error:
        log.error("what was kept of the conference cannot be read; it begins anew", error=str(error))
        return None
    return order if order.hearing == hearing.hearing else None


def _nothing(_: contract.Visit | None) -> None:
    """Nobody visits."""
