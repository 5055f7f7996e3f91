"""Participants on the internet and a room that takes no connection: a real browser, a real TURN server, NAT and firewalls between them."""

import asyncio
import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.lab import browser, coturn, network, readback
from tests.lab.centre import Centre
from tests.lab.network import Network
from tests.lab.site import Site
from tests.lab.tls import Authority
from tests.vks.browsers import until
from tests.vks.test_hearing import BY, HZ, asked, clerk, sealed, stanzas, tone_in
from tests.vks.test_pages import STEPS
from vks.door import STATIC

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(network.missing()), reason=network.missing() or "there is a network"),
    pytest.mark.skipif(coturn.missing(), reason="coturn is not installed (scripts/setup-debian test)"),
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
DOOR_PORT = 8480
JOINS = """
  const frames = () => Math.max(0, ...[...document.querySelectorAll(".tile:not(.own) video")].map(
    video => video.getVideoPlaybackQuality().totalVideoFrames));
  await press("Check microphone and camera");
  await press("Join the hearing");
  await sees("In the hearing");
  await find("pictures", () => frames() > 10);
  seen.push("picture");
  await find("sound", () => { const sound = document.querySelector("audio:not([src])"); return !sound.paused && sound.currentTime > 1 });
  seen.push("sound");
"""
SPEAKS = """
  await press("Raise hand");
  await sees("Lower hand");
  await new Promise(done => setTimeout(done, 4000));
"""
"""What is recorded is to be some seconds long."""


@dataclass
class Scene:
    """All of it."""

    net: Network
    site: Site
    home: Path
    turn_log: Path

    async def link(self) -> str:
        """A session runs, and somebody is invited: the link."""
        await asyncio.to_thread(self.site.order, "start", *BY)
        await until(lambda: self.site.recorder_state() == "open", "the session")
        return (await clerk(self.site, "invite", "B. Party", "party", *BY)).strip()

    async def browse(self, link: str, steps: str) -> Any:
        """Open a link on the internet, and take these steps."""
        flags = (
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--lang=en",
            f"--use-file-for-fake-audio-capture={self.home / 'tone.wav'}",
        )  # fmt: skip
        return await asyncio.to_thread(
            self.net.browser.run, browser.ask, link, STEPS % steps, self.home / "page.png", flags, self.home, 120.0
        )

    async def admit(self, browsing: asyncio.Task[Any]) -> None:
        """Let the participant in, when he is there."""
        await until(lambda: browsing.done() or "lobby" in asked(self.site), "the lobby")
        assert not browsing.done(), browsing.result()
        await clerk(self.site, "admit", "g1", *BY)


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A centre and a TURN server on the internet, and a room that is live behind its NAT; the parameter is more of ``[vks.turn]``."""
    base = tmp_path
    authority = Authority(base / "authority")
    home = base / "home"
    browser.trust(home, authority.roots)
    write_tone(home / "tone.wav")
    with network.network() as net:
        turn, secret = net.turn.address, base / "turn.secret"
        secret.write_text(coturn.SECRET, encoding="ascii")
        secret.chmod(0o600)
        urls = [f"turn:{turn}?transport=udp", f"turn:{turn}?transport=tcp", f"turns:{turn}:443?transport=tcp"]
        extra = stanzas(f'address = ""\npublic_url = "https://{net.centre.address}:{DOOR_PORT}"') + (
            f'[vks.turn]\nurls = {urls}\nsecret = "{secret}"\n{getattr(request, "param", "")}\n'
        )
        pair = authority.issue("door", address=net.centre.address)
        door = {
            "public": f"{net.centre.address}:{DOOR_PORT}", "public_certificate": str(pair.certificate), "public_key": str(pair.key),
        }  # fmt: skip
        (base / "site").mkdir()
        it = Centre(base / "site", host=net.centre.address, **door)
        with coturn.coturn(base, net.turn, authority.issue("turn", address=turn)) as log:
            try:
                net.centre.run(it.start)
                with net.room.entered():
                    room = Site(base, it, extra)
                    room.start()
                try:
                    yield Scene(net, room, home, log)
                finally:
                    room.stop()
            finally:
                it.stop()


def write_tone(path: Path) -> None:
    """A tone that comes and goes as speech does: browsers take a steady one for noise."""
    at = np.arange(48_000 * 4) / 48_000
    samples = 20_000 * np.sin(2 * np.pi * HZ * at) * (at % 0.8 < 0.5)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.astype("<i2").tobytes())


async def heard_and_seen(scene: Scene, steps: str = JOINS + SPEAKS) -> tuple[Path, Any]:
    """Somebody comes by the public link, takes the steps, and is gone; the record, and what the page found."""
    browsing = asyncio.create_task(scene.browse(await scene.link(), steps))
    await scene.admit(browsing)
    found = await browsing
    return await sealed(scene.site), found


def pictures_in(scene: Scene, record: Path, track: str) -> int:
    """How many pictures of a track can be decoded."""
    count, court = 0, scene.site.court
    for part in readback.parts(record, track, court.court_key, court.court):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", options=options) as file:
            count += sum(1 for _ in file.decode(video=0))
    return count


async def test_a_participant_on_the_internet_is_heard_and_seen_in_a_room_that_takes_no_connection(scene: Scene) -> None:
    record, found = await heard_and_seen(scene)
    assert found == ["picture", "sound"]
    assert tone_in(scene.site, record, "remote-g1-audio", HZ)
    assert pictures_in(scene, record, "remote-g1-video") > 20
