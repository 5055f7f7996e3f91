"""The clerk's counter for participants: who is there, who is invited, and what is done with them (``courtroom conference``)."""

import datetime as dt
import time
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from agent.audience_token import AudienceToken
from agent.conference_link import ConferenceAwayError, ConferenceLink
from agent.desk import Actor, DeskError
from agent.guests import Guests, GuestsError
from agent.held import Held
from agent.identity_desk import IdentityDesk
from agent.names import NameRefusedError, tidy
from agent.relay_credentials import RelayCredentials
from agent.upstream.contract import Hearing
from agent.visit_desk import VisitDesk, VisitState
from provisioning.videoconference import Vks
from recorder.contract import conference

AFTER_US = 24 * 3_600_000_000
"""A link that was made here opens for so long, and so long after the planned end of its hearing."""
Plan = Callable[[], Mapping[str, Hearing] | None]


class InviteOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Invite somebody to the hearing that is held or near, or to another one."""

    actor: Actor
    name: conference.Name
    role: conference.Role
    hearing: Annotated[str, msgspec.Meta(max_length=128)] = ""
    iin: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{12})?$(?![\s\S])")] = ""
    """The person's identification number: in a hearing that is not public, a signature by that person's key vouches for the page."""


class WithdrawInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link that was made here opens nothing any more."""

    actor: Actor
    person: conference.PersonId
    hearing: Annotated[str, msgspec.Meta(max_length=128)] = ""


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the clerk's orders will name, and the link with its token, shown this once."""

    hearing: str
    person: conference.PersonId
    token: str
    link: str
    until: str = ""
    """How long it opens, in the courtroom's time."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is done."""

    text: str


class GuestState(msgspec.Struct, frozen=True, kw_only=True):
    """The conference as the clerk sees it."""

    hearing: str
    title: str
    running: bool
    """vks is there."""
    people: list[conference.Present] = []
    sharing: str = ""
    look_ins: list[conference.LookingIn] = []
    audience: conference.Audience = "off"
    audience_fault: str = ""
    visit: VisitState | None = None
    """Of this room to another one's hearing."""


class GuestDesk:
    """Carries out what the clerk orders about participants.

    Args:
        link: to vks.
        guests: who was invited here.
        vks: its configuration.
        room: the room's id.
        visits: takes this room to another one's hearing.
        plan: the hearings planned here, by their ids; None: the room works alone, and has no plan.
        timezone: the courtroom's.
    """

    def __init__(
        self, link: ConferenceLink, guests: Guests, vks: Vks, room: str, visits: VisitDesk, plan: Plan = lambda: None, timezone: str = "UTC"
    ) -> None:
        self.visits = visits
        self._plan = plan
        self._zone = zoneinfo.ZoneInfo(timezone)
        self._room = room
        self._link = link
        self._guests = guests
        self._vks = vks
        self._relays = RelayCredentials(vks.turn, room)
        self._audience = AudienceToken(vks.audience)
        self.held = Held()
        """The hearing that is held or near; the agent keeps it up to date."""
        self.identity = IdentityDesk(self.act, link, vks)
        """Checks who somebody is."""

    def state(self) -> GuestState:
        """The conference now."""
        stands = self._link.stands
        if stands is None or stands.hearing != self.held.id:
            return GuestState(hearing=self.held.id, title=self.held.title, running=self._link.reachable, visit=self.visits.state())
        return GuestState(
            hearing=self.held.id, title=self.held.title, running=self._link.reachable, people=stands.people, sharing=stands.sharing,
            look_ins=stands.look_ins, audience=stands.audience, audience_fault=stands.audience_fault, visit=self.visits.state(),
        )  # fmt: skip

    async def invite(self, order: InviteOrder) -> Invited:
        """Make a link."""
        name = _tidy(order.name)
        await self._link.tell_now()  # and know which hearing is held, though vks is not there yet
        hearing = order.hearing or self.held.id
        if not hearing:
            raise DeskError("no hearing is held or near: name one by --hearing")
        plan = self._plan()
        if plan is not None and hearing not in plan and hearing != self.held.id:
            raise DeskError(f"no hearing '{hearing}' is planned in this room; `courtroom hearing list` shows those that are")
        root = self._root()
        now_us = time.time_ns() // 1_000
        planned = None if plan is None else plan.get(hearing)
        until_us = max(now_us, planned.ends_utc_us if planned is not None else now_us) + AFTER_US
        try:
            person, token = self._guests.invite(hearing, name, order.role, now_us, until_us, now_us, order.iin)
        except GuestsError as error:
            raise DeskError(str(error)) from None
        await self._link.tell_now()
        until = f"{dt.datetime.fromtimestamp(until_us / 1e6, self._zone):%Y-%m-%d %H:%M}"
        return Invited(hearing=hearing, person=person, token=token, link=f"{root}/join/#{token}", until=until)

    async def withdraw(self, order: WithdrawInvitation) -> Done:
        """A link opens nothing any more."""
        await self._link.tell_now()
        try:
            found = self._guests.withdraw(order.hearing or self.held.id, order.person)
        except GuestsError as error:
            raise DeskError(str(error)) from None
        if not found:
            raise DeskError(f"nobody who was invited here is '{order.person}'; `courtroom conference list` shows who is there")
        return Done(text=f"The link of {order.person} opens nothing any more; who is in the hearing already is put out by `remove`.")

    async def act(self, act: conference.OfStaff) -> Done:
        """Admit, call, mute, and whatever else staff may do."""
        if not act.by.strip():
            raise DeskError("name the person who gives the order")
        if isinstance(act, conference.ToAudience) and act.on and self._audience.why_not:
            raise DeskError(self._audience.why_not)
        if isinstance(act, conference.TakeIn):
            if why := self._audience.why_not_from(act.feed):
                raise DeskError(why)
            act = msgspec.structs.replace(act, name=_tidy(act.name))
        try:
            answer = await self._link.ask(act)
        except ConferenceAwayError as error:
            raise DeskError(str(error)) from None
        if answer.code:
            raise DeskError(answer.words or answer.code)
        return Done(text="Done.")

    def _root(self) -> str:
        """Where a link leads."""
        if self._vks.public_url:
            return f"{self._vks.public_url}/r/{self._room}"
        if not self._vks.own_url:
            raise DeskError("no link would open: set public_url in [vks] of room.toml (the centre's public door), or address and port")
        return self._vks.own_url

    def hearing_is(self, held: Held) -> conference.HearingIs:
        """What vks is to know of it now."""
        self.held = held
        invitations, now_s = self._guests.of(held.id), time.time_ns() // 1_000_000_000
        return conference.HearingIs(
            hearing=held.id, title=held.title, state=held.state, closed=held.closed, invitations=invitations,
            secret=self._guests.secret_of(held.id), relays=self._relays.relays(invitations, now_s),
            look_in_relays=self._relays.of_look_ins(now_s), audience=self._audience.server(now_s), visit=self.visits.visit(held),
            record=held.record, unsure=held.unsure,
        )  # fmt: skip


def _tidy(name: str) -> str:
    try:
        return tidy(name)
    except NameRefusedError as error:
        raise DeskError(str(error)) from None
