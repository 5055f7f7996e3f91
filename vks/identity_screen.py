"""The clerk's screens on the room's PC, each of which shows one person whose identity is checked; they send nothing.

A screen opens by a link that is shown to the clerk once, and for the first page that comes with it: that page makes a name for itself,
keeps it in no storage, and dials again by it. The display's page, which the public reads, never shows what these do (``order.sees``).
"""

import hashlib

from aiohttp import web

from vks import acts, identity, signalling
from vks.connection import Connection
from vks.opened_page import OpenedPage
from vks.opened_pages import OpenedPages
from vks.order import Check, Order, Person, checker
from vks.peer import Peer
from vks.rules import RefusedError
from vks.talk import Talk
from vks.times import mono_us


def opened_by(order: Order, token: str) -> tuple[Person, Check]:
    """Whose check has the link of this token.

    Raises:
        RefusedError: nobody's has.
    """
    digest = hashlib.sha256(token.encode()).hexdigest()
    for person in order.people.values():
        if person.check is not None and person.check.token_sha256 == digest:
            return person, person.check
    raise RefusedError("unknown", "this link opens no check now")


class Viewer(Peer):
    """A screen: it takes one picture. It is on the same PC: no link has to be measured."""

    first_tile = 0
    rates_bps = ()


class IdentityScreens(OpenedPages["IdentityScreen"]):
    """All of them."""

    def follow(self) -> None:
        """Bring all in line with the hearing: those whose check is over show nothing more."""
        people = {} if self.conference is None else self.conference.order.people
        for screen in self:
            person = people.get(screen.person)
            check = None if person is None else person.check
            if person is None or check is None or check.token_sha256 != screen.token_sha256:
                screen.end(signalling.Bye(code="check_over", again=False))
                continue
            screen.tell(
                signalling.Checking(
                    name=person.name, role=person.role, step=identity.step(person), faces=check.faces, documents=check.documents
                )
            )

    def take(self, screen: "IdentityScreen", see: signalling.See) -> None:
        """A page has come with its link's token.

        Raises:
            RefusedError: it opens nothing.
        """
        conference, _ = self.held()
        person, check = opened_by(conference.order, see.token)
        conference.act(acts.CheckSeen(person=person.id, device=see.device))
        self.add(screen, replaces=lambda earlier: earlier.token_sha256 == check.token_sha256)
        screen.begin(person.id, check.token_sha256)
        self.follow()

    def lose(self, screen: "IdentityScreen") -> None:
        """It is gone."""
        if screen in self:
            self.drop(screen)

    def use(self, screen: "IdentityScreen", connection: Connection) -> None:
        """Its picture goes by this connection."""
        if self.conference is not None and screen.viewer is not None and screen in self:
            screen.viewer.take(connection, mono_us(), _nothing)
            self.conference.show(screen.viewer)


class IdentityScreen(OpenedPage[signalling.FromIdentity, signalling.See, signalling.Checking]):
    """One screen.

    Args:
        screens: those that it belongs to.
        socket: the connection.
    """

    def __init__(self, screens: IdentityScreens, socket: web.WebSocketResponse) -> None:
        super().__init__(Talk(socket, "identity", signalling.from_identity, takes_media=False), signalling.See)
        self._screens = screens
        self.person, self.token_sha256 = "", ""

    def begin(self, person: str, token_sha256: str) -> None:
        """It shows this person."""
        self.person, self.token_sha256 = person, token_sha256
        self.viewer = Viewer(checker(person), "identity", self._talk.say)

    def _open(self, first: signalling.See) -> None:
        self._screens.take(self, first)

    def _lose(self) -> None:
        self._screens.lose(self)

    async def _hear(self) -> None:
        while isinstance(offer := await self._talk.receive(), signalling.Offer):
            await self._talk.answer(offer.sdp, [], self._use)

    def _use(self, connection: Connection) -> None:
        if [connection.outbound(line).kind for line in range(connection.lines)] != ["video"]:
            self.end(signalling.Bye(code="bad_offer", again=False))
            return
        self._screens.use(self, connection)


def _nothing() -> None:
    """There is no rung that could change."""
