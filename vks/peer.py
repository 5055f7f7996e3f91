"""One viewer while connected, a page or a screen of the courtroom: its media lines, its tiles, how good its link is.

Of a page line 0 is sound both ways, 1 the camera, 2 the shared screen; from line 3 on each takes one picture (``signalling.Offer``). A
screen of the courtroom sends nothing, and all its lines take pictures.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal

from vks import signalling, wire
from vks.connection import Connection
from vks.forwarding import Slot
from vks.ladder import Ladder
from vks.outbound import Outbound
from vks.probe import Probe
from vks.times import mono_us

SOUND, CAMERA, SCREEN, FIRST_TILE = range(4)
RATES_BPS = (1_500_000, 500_000)
"""What the two rungs of pictures take: the room's with the others' beside it, and the least that shows anybody."""
FEW_TILES = 1
"""On the lower rung one picture is shown."""
ONE_REPORT_US = 50_000
Quality = Literal["good", "small", "sound"]
_QUALITIES: tuple[Quality, ...] = ("good", "small", "sound")


class Peer:
    """A page.

    Args:
        person: whose it is, or ``order.ROOM``.
        device: which of the person's devices.
        say: sends a message to the page.
    """

    first_tile = FIRST_TILE
    """The first of the lines that take pictures."""
    rates_bps: tuple[int, ...] = RATES_BPS
    """What each rung takes; none: all pictures are sent always."""

    def __init__(self, person: str, device: str, say: Callable[[signalling.ToPage], None]) -> None:
        self.person = person
        self.device = device
        self.say = say
        self.connection: Connection | None = None
        self.slots: list[Slot] = []
        self.sent_bps = 0
        """What is sent to this person now, by ``count``."""
        self._sent_bytes, self._sent_us = 0, 0
        self.estimated_us = 0
        """When the link was estimated last."""
        self.tiles: list[str] = []
        """Whose picture is in each slot: a feed's name, or empty."""
        self._on_line: list[str] = []
        """Whose picture each line carries by now."""
        self.ladder: Ladder | None = None
        self._on_change: Callable[[], None] = _nothing
        self._probe: Probe | None = None
        self._asks: set[asyncio.Task[None]] = set()
        self._view: signalling.View | None = None
        self._told_tiles: list[str] | None = None
        self._told_quality: Quality = "good"

    def take(self, connection: Connection, now_us: int, on_change: Callable[[], None]) -> None:
        """Media goes by this connection from now on. ``on_change`` is called where the rung changes."""
        self.leave(now_us)
        self.connection, self.ladder = connection, None
        if self.rates_bps:
            self.ladder = Ladder(self.rates_bps, now_us, len(self.rates_bps) - 1, is_new=True)
        self._sent_bytes, self._sent_us = 0, now_us
        self._on_change, self._probe = on_change, None
        for line in self._picture_lines(connection):
            out = connection.outbound(line)
            slot = Slot(out, partial(self._begun, len(self.slots)))
            self.slots.append(slot)
            _listen(out, slot, self, on_change)
        self.tiles, self._on_line = [""] * len(self.slots), [""] * len(self.slots)
        self._told_tiles = None

    def leave(self, now_us: int) -> None:
        """Show nothing more; the connection is the caller's to close."""
        self.blank(now_us)
        self.connection, self.slots, self.tiles, self._on_line, self.ladder = None, [], [], [], None

    def blank(self, now_us: int) -> None:
        """Show nothing now."""
        for slot in self.slots:
            slot.show(None, now_us)
        self.tiles = [""] * len(self.slots)

    @property
    def hears(self) -> bool:
        """Whether its first line takes sound."""
        return self.first_tile > SOUND

    @property
    def own_lines(self) -> int:
        """How many lines carry what this peer sends, before those that take pictures."""
        return 0 if self.connection is None else min(self.first_tile, self.connection.lines)

    @property
    def tiles_wanted(self) -> int:
        """How many pictures the link carries now."""
        if self.ladder is None:
            return len(self.slots)
        if self.ladder.sound_alone:
            return 0
        return len(self.slots) if self.ladder.rung == 0 else min(FEW_TILES, len(self.slots))

    def count(self, now_us: int) -> None:
        """Measure what is sent; called each second."""
        if self.connection is None or now_us <= self._sent_us:
            return
        sent = sum(self.connection.outbound(line).sent_bytes for line in range(self.connection.lines))
        self.sent_bps = (sent - self._sent_bytes) * 8 * 1_000_000 // (now_us - self._sent_us)
        self._sent_bytes, self._sent_us = sent, now_us

    def wait(self, now_us: int) -> None:
        """Try a picture again where it is time; called each second."""
        if self.ladder is not None and self.ladder.wait(now_us):
            self.rung_changed()

    def probe(self, now_us: int) -> None:
        """Where the ladder asks, find out whether the link holds the next rung; called each 20 ms."""
        ladder, connection = self.ladder, self.connection
        if ladder is None or connection is None or not ladder.probing:
            self._probe = None
            return
        probe = self._probe = self._probe or Probe(ladder.rates_bps[ladder.rung - 1] - self.sent_bps, now_us)
        holds, due = probe.verdict(now_us), probe.due_bytes(now_us)
        if holds is None:
            for line in self._picture_lines(connection):
                padded = connection.outbound(line).pad(due)
                if padded is not None:
                    probe.padded(padded)
                    self._ask(probe, connection.outbound(line), now_us)
                    return
        if ladder.probed(now_us, holds=holds is not False):  # also where a peer cannot be probed: it has no retransmissions
            self.rung_changed()
            self._on_change()

    def _ask(self, probe: Probe, out: Outbound, now_us: int) -> None:
        async def ask() -> None:
            if await wire.answers(out.transport):
                probe.answered(now_us, mono_us())

        probe.asked(now_us)
        task = asyncio.create_task(ask())
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    def rung_changed(self) -> None:
        """Something else is sent from now on."""
        if self.connection is not None:
            for line in self._picture_lines(self.connection):
                self.connection.outbound(line).begin_anew()

    def hear(self, packet: bytes, mono_us: int) -> None:
        """A packet of the mix that this person hears."""
        if self.connection is not None:
            self.connection.outbound(SOUND).write([packet], mono_us)

    def tell(self, view: signalling.View) -> None:
        """The page shows this, where it does not already."""
        if view != self._view:
            self._view = view
            self.say(view)

    def tell_tiles(self) -> None:
        """Whose picture is on which line, and how good the link is, where the page does not know.

        A name is told with the first picture and not before: a page would show somebody's name over the face that was there until then.
        """
        self._on_line = [name if name == tile else "" for name, tile in zip(self._on_line, self.tiles, strict=True)]
        if self._on_line != self._told_tiles:
            self._told_tiles = list(self._on_line)
            self.say(signalling.Tiles(shown=self._told_tiles))
        quality = self.quality
        if quality != self._told_quality:
            self._told_quality = quality
            self.say(signalling.Link(quality=quality))

    def _picture_lines(self, connection: Connection) -> range:
        """The lines by which it is sent pictures."""
        return range(self.first_tile, connection.lines)

    def _begun(self, line: int) -> None:
        self._on_line[line] = self.tiles[line]
        self.tell_tiles()

    @property
    def quality(self) -> Quality:
        """How good the link is."""
        return "good" if self.ladder is None or self.ladder.is_new else _QUALITIES[self.ladder.rung]


def _listen(out: Outbound, slot: Slot, peer: Peer, on_change: Callable[[], None]) -> None:
    """Have a viewer's reports decide about his pictures."""

    def estimated(bps: int) -> None:
        now_us = mono_us()
        if peer.ladder is None or now_us < peer.estimated_us + ONE_REPORT_US:
            return  # one report speaks of all lines, and is handed to each
        peer.estimated_us = now_us
        if not peer.ladder.sound_alone and all(each.feed is None for each in peer.slots):
            peer.ladder.pause(now_us)
        if peer.ladder.estimate(bps, peer.sent_bps, now_us):
            peer.rung_changed()
            on_change()

    def lost(share: float) -> None:
        if peer.ladder is not None and peer.ladder.loss(share, mono_us()):
            peer.rung_changed()
            on_change()

    out.on_estimate, out.on_loss = estimated, lost
    out.on_keyframe_wanted = lambda: slot.want_keyframe(mono_us())


def _nothing() -> None:
    """Nobody shows it anything yet."""
