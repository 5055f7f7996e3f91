"""Streams that are made only while somebody watches and the room may be seen: who comes just as one ends is not sent away with it."""

import queue
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.children.bus_server import BusServer, BusStream
from recorder.children.on_demand import serve_on_demand
from recorder.contract import bus
from recorder.contract.bus_client import BusClient, BusEndedError
from tests.children.linked import wait_for

HELLO = bus.Hello(stream="cam.low", kind="video", codec="h264", extradata=b"parameters")


def nothing() -> None:
    """Nothing happens in between."""


class Room:
    """A room that may be seen or not, and the making of its one stream, whose pictures the test orders."""

    def __init__(self, run_dir: Path) -> None:
        self.muted = False
        self.once_refused: Callable[[], None] = nothing
        """What happens when it has just been answered that the room is muted, and nothing was done upon it yet."""
        self.once_left: Callable[[], None] = nothing
        """What happens when the making has just ended, as nobody watches."""
        self._run_dir = run_dir
        self._ordered: queue.Queue[bytes] = queue.Queue()
        undescribed = bus.Hello(stream=HELLO.stream, kind="video", codec="h264")
        self._server = BusServer(str(run_dir), [])
        serve_on_demand(self._server, undescribed, self._guarded, self._serve, (OSError,))

    def viewer(self) -> BusClient:
        return BusClient(str(self._run_dir), HELLO.stream, timeout_s=5)

    def mute(self) -> None:
        self.muted = True
        self._server.wipe()

    def give(self, picture: bytes) -> None:
        self._ordered.put(picture)

    def _guarded(self, act: Callable[[], None]) -> bool:
        if self.muted:
            once, self.once_refused = self.once_refused, nothing
            once()
            return False
        act()
        return True

    def _serve(self, stream: BusStream) -> None:
        stream.describe(HELLO)
        while stream.watched:
            try:
                picture = self._ordered.get(timeout=0.02)
            except queue.Empty:
                continue
            if not self._publish(stream, picture):
                break
        once, self.once_left = self.once_left, nothing
        once()

    def _publish(self, stream: BusStream, picture: bytes) -> bool:
        return self._guarded(lambda: stream.publish(time.monotonic_ns() // 1000, 40_000, key=True, data=picture))


def test_who_watches_a_room_that_may_not_be_seen_is_sent_away(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.mute()
    with pytest.raises(BusEndedError, match="ended"):
        room.viewer()
    room.muted = False
    with room.viewer() as viewer:
        room.give(b"seen")
        assert viewer.read()[1] == b"seen"


def test_who_comes_when_the_mute_has_ended_stays_while_those_of_before_are_sent_away(tmp_path: Path) -> None:
    room = Room(tmp_path)
    came: list[BusClient] = []

    def unmute_and_come() -> None:
        room.muted = False
        came.append(room.viewer())

    with room.viewer() as before:
        room.give(b"before")
        assert before.read()[1] == b"before"
        room.once_left = lambda: setattr(room, "once_refused", unmute_and_come)
        room.mute()
        room.give(b"never shown")
        with pytest.raises(BusEndedError):
            before.read()
    wait_for(lambda: came, "the one who comes")
    with came[0] as after:
        room.give(b"after")
        assert after.read()[1] == b"after"


def test_who_comes_as_the_last_one_leaves_sees_what_follows(tmp_path: Path) -> None:
    room = Room(tmp_path)
    came: list[BusClient] = []
    room.once_left = lambda: came.append(room.viewer())
    with room.viewer() as before:
        room.give(b"before")
        assert before.read()[1] == b"before"
    wait_for(lambda: came, "the one who comes")
    with came[0] as after:
        room.give(b"after")
        pictures = [after.read()[1]]
        while pictures[-1] != b"after":
            pictures.append(after.read()[1])
    assert pictures in ([b"before", b"after"], [b"after"])
