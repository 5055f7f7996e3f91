"""Those of the Situation Centre who look in: pages that hear and see the floor, send nothing, and are named to everybody there.

A look-in is begun and ended by the agent (``BeginLookIn``). The order says who may look in now; a page only shows it. Its link opens
for the first device that comes with it, and for that one again where its connection is lost.
"""

import hashlib

from aiohttp import web

from recorder.contract import conference as contract
from vks import acts, signalling
from vks.connection import Connection
from vks.opened_page import OpenedPage
from vks.opened_pages import OpenedPages
from vks.order import LookIn, Order, looker
from vks.peer import SOUND, Peer
from vks.rules import RefusedError
from vks.talk import Talk
from vks.times import mono_us
from vks.view import screen_of


def opened_by(order: Order, token: str) -> LookIn:
    """The look-in whose link has this token.

    Raises:
        RefusedError: none has.
    """
    digest = hashlib.sha256(token.encode()).hexdigest()
    for one in order.look_ins:
        if one.token_sha256 == digest:
            return one
    raise RefusedError("unknown", "this link opens no look-in now")


class Viewer(Peer):
    """Somebody who hears and sees, and sends nothing: line 0 takes sound, the others pictures."""

    first_tile = SOUND + 1
    own_lines = 0


class LookIns(OpenedPages["LookInPage"]):
    """All pages that look in."""

    def follow(self) -> None:
        """Bring all in line with the hearing: those whose look-in is over are sent away."""
        order = Order() if self.conference is None else self.conference.order
        going_on = {looker(one) for one in order.look_ins}
        for page in self:
            if page.viewer is None or page.viewer.person not in going_on:
                page.end(signalling.Bye(code="look_in_over", again=False))
            else:
                page.tell(screen_of(order, "" if self.hearing is None else self.hearing.title))

    def take(self, page: "LookInPage", look: signalling.Look) -> None:
        """A page has come with its link's token.

        Raises:
            RefusedError: it opens nothing.
        """
        conference, hearing = self.held()
        one = opened_by(conference.order, look.token)
        conference.act(acts.Looks(look_in=one.id, device=look.device))
        self.add(page, replaces=lambda earlier: earlier.look_in == one.id)
        left_s = max(0, one.until_us - mono_us()) // 1_000_000
        page.begin(one.id, looker(one), signalling.Looking(person=one.person, left_s=left_s, ice=hearing.look_in_relays.page))
        self.follow()

    def lose(self, page: "LookInPage") -> None:
        """It is gone."""
        if page not in self:
            return
        self.drop(page)
        if self.conference is not None and all(other.look_in != page.look_in for other in self):
            self.conference.act(acts.LooksNoMore(look_in=page.look_in))

    def use(self, page: "LookInPage", connection: Connection) -> None:
        """Its media goes by this connection."""
        conference, viewer = self.conference, page.viewer
        if conference is not None and viewer is not None and page in self:
            viewer.take(connection, mono_us(), lambda: conference.show(viewer))
            conference.show(viewer)

    @property
    def relays(self) -> list[contract.IceServer]:
        """By what media finds its way from here."""
        return [] if self.hearing is None else self.hearing.look_in_relays.room


class LookInPage(OpenedPage[signalling.FromLookIn, signalling.Look, signalling.Screen]):
    """One page.

    Args:
        look_ins: those that it belongs to.
        socket: the connection.
        source: where it comes from.
    """

    def __init__(self, look_ins: LookIns, socket: web.WebSocketResponse, source: str) -> None:
        super().__init__(Talk(socket, source, signalling.from_look_in, takes_media=False), signalling.Look)
        self._look_ins = look_ins
        self.look_in = ""

    def begin(self, look_in: str, name: str, looking: signalling.Looking) -> None:
        """It may look in."""
        self.look_in, self.viewer = look_in, Viewer(name, "look-in", self._talk.say)
        self._talk.say(looking)

    def _open(self, first: signalling.Look) -> None:
        self._look_ins.take(self, first)

    def _lose(self) -> None:
        self._look_ins.lose(self)

    async def _hear(self) -> None:
        while isinstance(message := await self._talk.receive(), signalling.Offer | signalling.Candidate):
            if isinstance(message, signalling.Offer):
                await self._talk.answer(message.sdp, self._look_ins.relays, self._use)
            else:
                await self._talk.take_candidate(message.candidate)

    def _use(self, connection: Connection) -> None:
        kinds = [connection.outbound(line).kind for line in range(connection.lines)]
        if kinds[:1] != ["audio"] or kinds[1:] != ["video"] * len(kinds[1:]) or len(kinds) > 1 + signalling.MOST_TILES:
            self.end(signalling.Bye(code="bad_offer", again=False))
            return
        self._look_ins.use(self, connection)
