"""What a visiting room's screens show of the lines that bring pictures, and what of its own picture leaves it."""

from collections.abc import Callable
from typing import Any, cast

from tests.vks.browsers import PictureEncoder
from vks.connection import Connection
from vks.display import _Viewer
from vks.forwarding import Feed
from vks.h264_payloads import split
from vks.jitter import Unit
from vks.mixing import Block
from vks.order import ROOM
from vks.peer import CAMERA, FIRST_TILE, RATES_BPS, Peer
from vks.visit_media import LINES, TILES, VisitMedia

SECOND_US = 1_000_000


class Line:
    """Both ends of a line, without a network."""

    def __init__(self) -> None:
        self.written: list[list[bytes]] = []
        self.wanted = 0
        self.sent_bytes = 0
        self.on_unit: Callable[[Unit], None] = lambda _: None
        self.on_estimate: Callable[[int], None] = lambda _: None
        self.on_loss: Callable[[float], None] = lambda _: None
        self.tells_estimates = True

    def write(self, payloads: list[bytes], _at_us: int) -> bool:
        self.written.append(payloads)
        self.sent_bytes += sum(map(len, payloads))
        return True

    def want_keyframe(self) -> None:
        self.wanted += 1

    def begin_anew(self) -> None:
        """Nothing was sent before."""

    def pad(self, _size: int) -> None:
        """There are no retransmissions: what the link carries is tried."""


class Wires:
    """A connection, without a network."""

    def __init__(self, lines: int) -> None:
        self._lines = [Line() for _ in range(lines)]
        self.lines = lines

    def outbound(self, line: int) -> Line:
        return self._lines[line]

    inbound = outbound


class Room:
    """A visiting room with one screen."""

    def __init__(self, pictures: int = 0) -> None:
        self.now_us = 10 * SECOND_US
        self.rungs = [Feed(lambda: None) for _ in range(pictures)]
        self.media = VisitMedia(self.rungs, _silent, None, lambda: self.now_us)
        self.wires, self.glass = Wires(len(LINES)), Wires(2)
        self.media.take(cast("Connection", self.wires))
        self.told: list[Any] = []
        self.screen: Peer = _Viewer(ROOM, "display", self.told.append)
        self.screen.take(cast("Connection", self.glass), self.now_us, lambda: None)
        self.media.show(self.screen)
        self._encoder = PictureEncoder()

    def picture(self, line: int, *, key: bool) -> None:
        """One comes by a line."""
        self.now_us += 40_000
        payloads = split(self._encoder.units(100, key=key), [])
        self.wires.inbound(FIRST_TILE + line).on_unit(Unit(self.now_us * 9 // 100, tuple(payloads), self.now_us))

    @property
    def tiles(self) -> list[str]:
        """Whose name the screen shows over pictures."""
        return [name for name in self.told[-1].shown if name] if self.told else []

    @property
    def shown(self) -> int:
        """How many pictures the screen was given."""
        return sum(len(self.glass.outbound(line).written) for line in range(self.glass.lines))


def _silent(_block: Block, _at_us: int) -> None:
    """No loudspeakers."""


def test_no_picture_of_one_person_stands_under_the_name_of_the_next() -> None:
    room = Room()
    room.media.name(["party"])
    room.picture(0, key=True)
    room.picture(0, key=False)
    assert (room.tiles, room.shown) == (["party"], 2)
    room.media.name(["witness"])
    assert room.tiles == []
    wanted = room.wires.inbound(FIRST_TILE).wanted
    room.picture(0, key=False)
    assert (room.tiles, room.shown) == ([], 2), "it may still be the party's"
    assert wanted > 0
    room.picture(0, key=True)
    assert (room.tiles, room.shown) == (["witness"], 3)


def test_the_other_room_is_told_no_estimate_of_a_single_line() -> None:
    room = Room()
    assert not any(room.wires.inbound(FIRST_TILE + number).tells_estimates for number in range(TILES))


def test_a_line_whose_owner_this_room_is_not_told_of_is_not_shown() -> None:
    room = Room()
    room.picture(0, key=True)
    room.media.name([""])
    room.picture(0, key=True)
    assert (room.tiles, room.shown) == ([], 0)


def test_the_room_s_picture_goes_by_the_rung_that_the_link_carries_and_only_while_it_may() -> None:
    room = Room(pictures=2)
    assert not any(rung.watched for rung in room.rungs)
    room.media.send(sound=True, picture=True)
    assert [rung.watched for rung in room.rungs] == [False, True]
    room.wires.outbound(CAMERA).on_loss(0.0)
    room.media.tick(room.now_us)
    assert [rung.watched for rung in room.rungs] == [True, False]
    room.wires.outbound(CAMERA).on_estimate(RATES_BPS[1] // 2)
    for _ in range(3):
        room.wires.outbound(CAMERA).on_loss(0.2)
    assert [rung.watched for rung in room.rungs] == [False, True]
    room.media.send(sound=True, picture=False)
    assert not any(rung.watched for rung in room.rungs)
    room.media.send(sound=True, picture=True)
    assert any(rung.watched for rung in room.rungs)
    room.media.lose()
    assert not any(rung.watched for rung in room.rungs), "a connection that is lost takes none"
