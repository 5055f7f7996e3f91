"""The courtroom's own screens: pages on the room's PC that show the public what the room may see, and send nothing."""

from typing import Protocol

from aiohttp import web

from recorder.contract import conference as contract
from vks import signalling
from vks.conference import Conference
from vks.connection import Connection
from vks.order import ROOM, Order, Unsure
from vks.peer import Peer
from vks.talk import Talk
from vks.times import mono_us
from vks.view import screen_of

MOST_DISPLAYS = 4


class _Viewer(Peer):
    """A viewer in the place of the room. It is on the same PC: no link has to be measured."""

    first_tile = 0
    rates_bps = ()


class Shows(Protocol):
    """What gives screens their pictures: this courtroom's conference, or its visit to another's (``visit_media.py``)."""

    def show(self, screen: Peer) -> None:
        """A screen shows it from now on; called again when its media goes another way."""
        ...

    def hide(self, screen: Peer) -> None:
        """It does no more."""
        ...


class Displays:
    """All screens of the courtroom. They stay connected from one hearing to the next."""

    def __init__(self) -> None:
        self._displays: list[Display] = []
        self._own: Shows | None = None
        self._own_screen: signalling.Screen | None = None
        self._visit: Shows | None = None
        self._shows: Shows | None = None
        self._screen: signalling.Screen | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self._displays)

    def follow(self, conference: Conference | None, hearing: contract.HearingIs | None, unsure: Unsure = "") -> None:
        """Show this conference of this hearing, where none of another courtroom is shown."""
        self._own = conference
        if hearing is not None:  # nothing is known before: a screen says that it waits for the courtroom
            order = Order(unsure=unsure) if conference is None else conference.order
            self._own_screen = screen_of(order, hearing.title if hearing.hearing else "")
        if self._visit is None:
            self._bring(self._own, self._own_screen)

    def visit(self, visit: Shows | None, screen: signalling.Screen | None = None) -> None:
        """Show another courtroom's hearing; None: this one's own again."""
        self._visit = visit
        if visit is None:
            self._bring(self._own, self._own_screen)
        else:
            self._bring(visit, screen)

    def _bring(self, shows: Shows | None, screen: signalling.Screen | None) -> None:
        if self._shows is not None and self._shows is not shows:
            for display in self._displays:
                self._shows.hide(display.viewer)
        self._shows, self._screen = shows, screen
        for display in self._displays:
            self.show(display)

    def take(self, display: "Display") -> bool:
        """A screen has come; False where there are too many."""
        if len(self) >= MOST_DISPLAYS:
            return False
        self._displays.append(display)
        self.show(display)
        return True

    def show(self, display: "Display") -> None:
        """Bring a screen in line with the hearing."""
        if self._shows is not None:
            self._shows.show(display.viewer)
        if self._screen is not None:
            display.tell(self._screen)

    def lose(self, display: "Display") -> None:
        """It is gone."""
        if display not in self._displays:
            return
        self._displays.remove(display)
        if self._shows is not None:
            self._shows.hide(display.viewer)

    def close(self, bye: signalling.Bye) -> None:
        """Send all away."""
        for display in self._displays:
            display.end(bye)


class Display:
    """One screen's WebSocket; ``serve`` is its life.

    Args:
        displays: those that it belongs to.
        socket: the connection.
    """

    def __init__(self, displays: Displays, socket: web.WebSocketResponse) -> None:
        self._displays = displays
        self._talk = Talk(socket, "display", signalling.from_display)
        self.end = self._talk.end
        self.viewer: Peer = _Viewer(ROOM, "display", self._talk.say)
        self._told: signalling.Screen | None = None

    def tell(self, screen: signalling.Screen) -> None:
        """Show this, where it is not shown already."""
        if screen != self._told:
            self._told = screen
            self._talk.say(screen)

    async def serve(self) -> None:
        """Hear the page until it is gone."""
        try:
            if not self._displays.take(self):
                self.end(signalling.Bye(code="too_many", again=True))
                return
            while (offer := await self._talk.receive()) is not None:
                await self._talk.answer(offer.sdp, [], self._use)
        finally:
            self._displays.lose(self)
            self.viewer.leave(mono_us())
            await self._talk.finish()

    def _use(self, connection: Connection) -> None:
        lines = range(connection.lines)
        if len(lines) > signalling.MOST_TILES or any(connection.outbound(line).kind != "video" for line in lines):
            self.end(signalling.Bye(code="bad_offer", again=False))
            return
        self.viewer.take(connection, mono_us(), _nothing)
        self._displays.show(self)


def _nothing() -> None:
    """There is no rung that could change."""
