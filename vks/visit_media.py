"""Sound and pictures between this room and the one whose hearing it takes part in.

For the sound that other room is the one person of a conference of our own (``sound.Sound``), so that what this room says goes through the
same canceller and into the same kind of mix as to any participant, and what it hears through the same playout. Pictures are those that the
media bus has anyway, and those that come are given to this room's screens as they are: no picture is coded anew.

What the link carries is known by what is lost on it, both ways. Estimates are not used between rooms: they are of what is sent, which is
little where nothing moves, and a ladder that believed them fell to sound alone on a good link (measured while they were of single lines).
"""

from collections.abc import Callable

from vks import h264_payloads
from vks.connection import Connection
from vks.echo import EchoCanceller
from vks.forwarding import Feed
from vks.jitter import Unit
from vks.media_time import MediaTime
from vks.mixing import Block
from vks.order import Order, Person
from vks.peer import CAMERA, FIRST_TILE, SOUND, Peer
from vks.sound import BLOCK_US, Sound
from vks.source import PICTURE_HZ
from vks.speaking import Stage
from vks.tiles import fill

TILES = 6
"""As many as a screen of the courtroom shows."""
LINES = (("audio", "sendrecv"), ("video", "sendonly"), ("video", "inactive"), *[("video", "recvonly")] * TILES)
"""As ``signalling.Offer`` has them; a room shows no screen of its own."""
_HOST = "host"
_TOGETHER = Order(
    hearing="visit", room="open", people={_HOST: Person(id=_HOST, name=_HOST, role="judge", place="hearing", connected=True)}
)  # fmt: skip


class _Uplink(Peer):
    """The other room as one to whom this room's picture is sent, by the rung that the link carries."""

    def __init__(self) -> None:
        super().__init__(_HOST, "visit", _nothing)

    def _picture_lines(self, connection: Connection) -> range:
        return range(CAMERA, min(CAMERA + 1, connection.lines))


class _Tile:
    """One line that brings pictures."""

    def __init__(self, want_keyframe: Callable[[], None]) -> None:
        self._want_keyframe = want_keyframe
        self.clock = MediaTime(PICTURE_HZ)
        self.feed = Feed(want_keyframe)

    def begin_anew(self) -> None:
        """Somebody else's pictures come: of those before none is shown any more."""
        self.feed = Feed(self._want_keyframe)


class VisitMedia:
    """For one visit, through all its connections.

    Args:
        pictures: the rungs of this room's camera, the largest first; none where it has no camera.
        play: takes what the loudspeakers are to play.
        echo: takes the loudspeakers' sound out of what is sent; None where the room's own devices do.
        now_us: the clock (CLOCK_MONOTONIC).
    """

    def __init__(
        self, pictures: list[Feed], play: Callable[[Block, int], None], echo: EchoCanceller | None, now_us: Callable[[], int]
    ) -> None:
        self._pictures = pictures
        self._now_us = now_us
        self._sound = Sound(play, echo)
        self._connection: Connection | None = None
        self._uplink = _Uplink()
        self._sends = (False, False)
        self._names = [""] * TILES
        self._tiles: list[_Tile] = []
        self._screens: list[Peer] = []
        self._stage = Stage()
        self._sent_us = 0
        self.packets = 0
        """Of sound, that have come."""

    # connections

    def take(self, connection: Connection) -> None:
        """Media goes by this connection from now on."""
        self.lose()
        self._connection = connection
        self._uplink.take(connection, self._now_us(), self._show_own)
        connection.outbound(CAMERA).on_estimate = _nothing
        connection.inbound(SOUND).on_unit = self._heard
        for number in range(TILES):
            self._hear_line(connection, number)
        self._show_own()

    def lose(self) -> None:
        """The connection is the caller's to close; nothing goes or comes until another is taken."""
        self._uplink.leave(self._now_us())
        self._connection, self._tiles = None, []
        self._names = [""] * TILES
        self._sound.forget(_HOST)
        self._show_all()

    def send(self, *, sound: bool, picture: bool) -> None:
        """Whether this room's sound and picture leave it."""
        self._sends = (sound, picture)
        self._show_own()

    def name(self, names: list[str]) -> None:
        """Whose picture each line carries from now on; one that changes begins with a picture that comes after this was told."""
        now = [*names, *[""] * TILES][:TILES]
        for number, (name, before) in enumerate(zip(now, self._names, strict=True)):
            if name != before and number < len(self._tiles):
                self._tiles[number].begin_anew()
        self._names = now
        self._show_all()

    # screens

    def show(self, screen: Peer) -> None:
        """A screen shows the hearing from now on; called again when its media goes another way."""
        if screen not in self._screens:
            self._screens.append(screen)
        self._fill(screen)

    def hide(self, screen: Peer) -> None:
        """It does no more."""
        if screen in self._screens:
            self._screens.remove(screen)
            screen.blank(self._now_us())
            screen.tell_tiles()

    # the room's own sound, and the clocks

    def room(self, block: Block) -> None:
        """What this room's microphones give together."""
        self._sound.room(block, self._now_us())

    def silence_room(self) -> None:
        """The microphones' stream has ended."""
        self._sound.silence_room()

    def tick(self, now_us: int) -> None:
        """Play and send a block of sound; called each ``BLOCK_US``."""
        self._sent_us = max(self._sent_us + BLOCK_US, now_us - 5 * BLOCK_US)
        listeners = {_HOST: self._say} if self._sends[0] and self._connection is not None else {}
        self._sound.tick(_TOGETHER, listeners, now_us)
        self._uplink.probe(now_us)

    async def ask(self, now_us: int) -> None:
        """Ask for what was lost, and for keyframes; called some times each 40 ms."""
        for viewer in (self._uplink, *self._screens):
            for slot in viewer.slots:
                slot.starved(now_us)
        connection = self._connection
        if connection is not None:
            for line in (SOUND, *range(FIRST_TILE, connection.lines)):
                await connection.inbound(line).tick(now_us)

    async def report(self, now_us: int) -> None:
        """What is due each second."""
        connection = self._connection
        if connection is None:
            return
        self._uplink.count(now_us)
        self._uplink.wait(now_us)
        self._show_own()
        for line in (SOUND, CAMERA):
            await connection.outbound(line).report(now_us)
        for line in (SOUND, *range(FIRST_TILE, connection.lines)):
            await connection.inbound(line).report()

    # within

    def _hear_line(self, connection: Connection, number: int) -> None:
        inbound = connection.inbound(FIRST_TILE + number)
        inbound.tells_estimates = False
        tile = _Tile(inbound.want_keyframe)
        self._tiles.append(tile)
        inbound.on_unit = lambda unit: self._seen(tile, unit)
        inbound.on_lost = lambda _packets: tile.feed.forget()

    def _seen(self, tile: _Tile, unit: Unit) -> None:
        now_us = self._now_us()
        units = h264_payloads.join(unit.payloads)
        if units is None:
            tile.feed.want_keyframe(now_us)
        else:
            tile.feed.take(units, tile.clock.place(unit.timestamp, unit.mono_us), now_us)

    def _heard(self, unit: Unit) -> None:
        now_us = self._now_us()
        self.packets += 1
        self._sound.level(_HOST, 0, now_us)  # a mix tells no level: it is always played
        self._sound.voice(_HOST, unit, now_us)

    def _say(self, packet: bytes) -> None:
        if self._connection is not None:
            out = self._connection.outbound(SOUND)
            out.level_dbov = self._sound.room_level_dbov
            out.write([packet], self._sent_us)

    def _show_own(self) -> None:
        ladder, feed = self._uplink.ladder, None
        if self._sends[1] and self._pictures and ladder is not None and not ladder.sound_alone:
            feed = self._pictures[min(ladder.rung, len(self._pictures) - 1)]
        for slot in self._uplink.slots:
            slot.show(feed, self._now_us())

    def _show_all(self) -> None:
        for screen in self._screens:
            self._fill(screen)

    def _fill(self, screen: Peer) -> None:
        feeds = {name: tile.feed for name, tile in zip(self._names, self._tiles, strict=False) if name}
        fill(screen, feeds, self._stage, self._now_us())


def _nothing(_: object) -> None:
    """It is of no use here."""
