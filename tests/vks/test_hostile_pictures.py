"""One participant sends what is no picture: everybody else's recording goes on, by the same connection to the real ingest child."""

import asyncio
import fractions
from pathlib import Path

import av
import pytest
from av.frame import Frame

from recorder.contract import child
from tests.children.linked import linked
from tests.children.test_ingest import DEVICE
from tests.vks.browsers import Shades, until
from tests.vks.test_conference import Hall, record, recorded_us
from tests.vks.test_conference import hall as hall  # noqa: PLC0414 - a fixture is used by its name
from vks.conference import OLDEST_US
from vks.jitter import Unit
from vks.peer import CAMERA
from vks.sound import PRIVATE_TAIL_US
from vks.times import mono_us

pytestmark = pytest.mark.alone
START = b"\0\0\0\1"
DAMAGED = START + b"\x67\x42" + START + b"\x68\xce" + START + b"\x65\x88\x84"
MANY = (START + b"\x01") * 780


class Hostile(Shades):
    """Sends these bytes for pictures, when it is told to."""

    def __init__(self, pictures: bytes) -> None:
        super().__init__(120)
        self._pictures = pictures
        self.harms = False
        self.bad = 0

    async def recv(self) -> Frame:
        frame = await super().recv()
        if not self.harms:
            return frame
        packet = av.Packet(self._pictures)
        packet.pts, packet.time_base = frame.pts, fractions.Fraction(1, 90_000)
        self.bad += 1
        return packet  # type: ignore[return-value] # aiortc packs what is encoded already


@pytest.mark.parametrize("pictures", [DAMAGED, MANY], ids=["a damaged parameter set", "more units than a picture has"])
async def test_pictures_that_are_none_cost_nobody_else_a_moment_of_the_record(hall: Hall, tmp_path: Path, pictures: bytes) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        camera = Hostile(pictures)
        await hall.join("party", 1_000, 120, camera)
        await hall.join("judge", 2_000, 160)
        hall.admit("party", "judge")
        await until(lambda: len(ingest.all(child.TrackOpened)) == 4, "all tracks")
        camera.harms = True
        record(ingest)
        bad = camera.bad
        await until(lambda: camera.bad > bad + 12, "the harm")
        before_us = {track: recorded_us(ingest, track) for track in ("remote-judge-audio", "remote-judge-video", "remote-party-audio")}
        for track, was_us in before_us.items():
            await until(lambda: recorded_us(ingest, track) > was_us + 1_000_000, f"more of {track}")  # noqa: B023 - it is over before the next
        camera.harms = False
        was_us = recorded_us(ingest, "remote-party-video")
        await until(lambda: recorded_us(ingest, "remote-party-video") > was_us + 1_000_000, "the party's picture is back")
        assert not ingest.all(child.TrackClosed)
        assert not ingest.all(child.Refused)
        assert len(ingest.all(child.TrackOpened)) == 4


class Waiting(Shades):
    """Sends nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__(120)
        self.go = asyncio.Event()

    async def recv(self) -> Frame:
        await self.go.wait()
        return await super().recv()


async def test_a_picture_whose_end_comes_long_after_its_beginning_is_recorded_no_more(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        camera = Waiting()
        await hall.join("party", 1_000, 120, camera)
        hall.admit("party")
        await until(lambda: len(ingest.all(child.TrackOpened)) == 2, "both tracks")
        record(ingest)
        longer_us = PRIVATE_TAIL_US + 500_000
        await until(lambda: recorded_us(ingest, "remote-party-audio") > longer_us, "what came in the lobby is left out no more")
        inbound = hall.connections[0].inbound(CAMERA)
        assert inbound.on_unit is not None
        for age_us in (11_000_000, OLDEST_US + 1):
            inbound.on_unit(Unit(1_000_000, (b"\x41\x9a",), mono_us() - age_us))
        camera.go.set()
        await until(lambda: recorded_us(ingest, "remote-party-video") > 1_000_000, "pictures go on")
        assert not ingest.all(child.Refused)
