"""The clerk's check of who a participant is: the link of the screen that shows the person, and stills for the record."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from agent.conference_link import ConferenceLink
from agent.desk import Actor, DeskError
from provisioning.videoconference import Vks
from recorder.contract import conference

TOKEN_BYTES = 32
STILL_S = 12.0
"""vks waits shorter for a picture; so long is looked for what became of it."""
LOOK_S = 0.1


class IdentifyOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin to check who somebody is, or begin anew."""

    actor: Actor
    person: conference.PersonId


class Identifying(msgspec.Struct, frozen=True, kw_only=True):
    """The link of the screen that shows the person; it is shown this once, and opens once."""

    link: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The still was handed to the recorder."""

    text: str


class IdentityDesk:
    """Carries the check out.

    Args:
        act: has something of staff done; raises ``DeskError`` where it is refused.
        link: to vks.
        vks: its configuration.
    """

    def __init__(self, act: Callable[[conference.OfStaff], Awaitable[object]], link: ConferenceLink, vks: Vks) -> None:
        self._act = act
        self._link = link
        self._vks = vks

    async def begin(self, order: IdentifyOrder) -> Identifying:
        """From now on nobody sees the person but who opens the link, on this PC."""
        if not self._vks.identity_url:
            port = "port" if self._vks.is_on_this_pc_alone else "display_port"
            raise DeskError(f"no screen of this PC could show the person: [vks] of room.toml has {port} = 0")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        digest = hashlib.sha256(token.encode()).hexdigest()
        await self._act(conference.Identify(by=order.actor, person=order.person, token_sha256=digest))
        return Identifying(link=f"{self._vks.identity_url}#{token}")

    async def take(self, order: conference.TakeStill) -> Taken:
        """Have a still taken, and wait until it is."""
        before = self._stills(order) or 0
        await self._act(order)
        end_s = asyncio.get_running_loop().time() + STILL_S
        while (now := self._stills(order)) is not None and now <= before:
            if now < before:
                raise DeskError(f"the recorder was away, and what was taken of {order.person} may be in no record: take both stills anew")
            if asyncio.get_running_loop().time() > end_s:
                raise DeskError(
                    f"no picture of {order.person} came that could be recorded: ask for the camera to be turned on, and look at the alarms"
                )
            await asyncio.sleep(LOOK_S)
        if now is None:
            raise DeskError(f"the check of {order.person} ended meanwhile; begin it again")
        return Taken(text=f"The still of the {order.of} is handed to the record.")

    def _stills(self, order: conference.TakeStill) -> int | None:
        """How many of these stills the check has that goes on; None where none does."""
        people = [] if self._link.stands is None else self._link.stands.people
        for one in people:
            if one.person == order.person and one.identity == "checking":
                return one.faces if order.of == "face" else one.documents
        return None
