"""A participant on the internet, and a room that takes no connection: a real browser, TURN server, centre and room, and a NAT."""

import asyncio
import io
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent.relay_credentials import STEP_S, credentials, good_until_s
from recorder.contract.client import ControlClient
from tests.lab import browser, coturn, network, readback
from tests.lab.centre import Centre
from tests.lab.network import Network
from tests.lab.site import ROOM, Site
from tests.lab.tls import Authority
from tests.vks.browsers import until
from tests.vks.hearing import BY, HZ, asked, clerk, sealed, stanzas
from tests.vks.test_pages import STEPS

DOOR_PORT = 8480
PERSON = "g1"
AUDIO, VIDEO = f"remote-{PERSON}-audio", f"remote-{PERSON}-video"
RECORDED_US = 3_000_000
"""What is looked into afterwards is to be so long."""
ANSWER_S = 150.0
JOINS = """
  const frames = () => Math.max(0, ...[...document.querySelectorAll(".tile:not(.own) video")].map(
    video => video.getVideoPlaybackQuality().totalVideoFrames));
  const hears = () => { const sound = document.querySelector("audio:not([src])"); return !sound.paused && sound.currentTime > 1 };
  await press("Check microphone and camera");
  await press("Join the hearing");
  await sees("In the hearing");
  await find("pictures", () => frames() > 10);
  seen.push("picture");
  await find("sound", hears);
  seen.push("sound");
  await press("Raise hand");
  await sees("Lower hand");
"""
"""The raised hand tells the test that all this was seen."""
LEAVES = """
  await sees("The clerk has turned off your microphone");
"""
"""The test has seen enough."""


@dataclass
class Scene:
    """All of it."""

    net: Network
    site: Site
    home: Path

    async def begin(self) -> None:
        """A session runs."""
        await asyncio.to_thread(self.site.order, "start", *BY)
        await until(lambda: "local:" in asked(self.site), "the agent to know of the session")

    async def come(self, steps: str) -> asyncio.Task[Any]:
        """A session runs, and a browser on the internet opens the link of somebody who is invited: what its page finds by these steps."""
        await self.begin()
        link = (await clerk(self.site, "invite", "B. Party", "party", *BY)).strip()
        flags = (
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--lang=en",
            f"--use-file-for-fake-audio-capture={self.home / 'tone.wav'}",
        )  # fmt: skip
        picture = self.home / "page.png"
        browsing = asyncio.create_task(
            asyncio.to_thread(self.net.browser.run, browser.ask, link, STEPS % steps, picture, flags, self.home, ANSWER_S)
        )
        await self._until(browsing, "lobby", "the lobby")
        await clerk(self.site, "admit", PERSON, *BY)
        await self._until(browsing, "hand", "the participant hears and sees")
        return browsing

    async def recorded(self, browsing: asyncio.Task[Any]) -> None:
        """Wait until more of the participant's sound is on the disk."""
        before_us = await asyncio.to_thread(self._written_us)
        await until(lambda: browsing.done() or self._written_us() >= before_us + RECORDED_US, "the participant's sound on the disk")

    async def gone(self, browsing: asyncio.Task[Any]) -> tuple[Path, Any]:
        """Let the page end; the sealed record, and what the page found."""
        if not browsing.done():
            await clerk(self.site, "mute", PERSON, *BY)
        found = await browsing
        return await sealed(self.site), found

    async def _until(self, browsing: asyncio.Task[Any], word: str, what: str) -> None:
        await until(lambda: browsing.done() or word in asked(self.site), what)
        assert not browsing.done(), browsing.result()

    def _written_us(self) -> int:
        with ControlClient(self.site.run_dir, timeout_s=5.0) as client:
            return sum(channel.written_us for channel in client.status().channels if channel.track == AUDIO)

    def sounds(self, record: Path) -> list[readback.Sound]:
        """What is recorded of the participant's sound, by its parts."""
        return readback.sounds(record, AUDIO, self.site.court.court_key, self.site.court.court)

    def pictures(self, record: Path) -> int:
        """How many of the participant's pictures are recorded, and can be decoded."""
        count = 0
        for part in readback.parts(record, VIDEO, self.site.court.court_key, self.site.court.court):
            options = {"decryption_key": part.key} if part.key else {}
            with av.open(io.BytesIO(part.data), "r", options=options) as file:
                count += sum(1 for _ in file.decode(video=0))
        return count

    def secrets_in_logs(self) -> list[str]:
        """Of the TURN server's secret and the passwords that were made of it, those that stand in a log of the room or the centre."""
        latest_s = good_until_s(int(time.time()))
        secrets = [coturn.SECRET] + [credentials(coturn.SECRET, f"{ROOM}.{PERSON}", latest_s - step * STEP_S)[1] for step in range(2)]
        return [secret for secret in secrets if secret in self.site.log + self.site.centre.log]


@contextmanager
def far_scene(base: Path, more: str = "") -> Iterator[Scene]:
    """A centre and a TURN server on the internet, and a room that is live behind its NAT; ``more`` stands under ``[vks.turn]``."""
    authority = Authority(base / "authority")
    home, secret = base / "home", base / "turn.secret"
    browser.trust(home, authority.roots)
    _write_tone(home / "tone.wav")
    secret.write_text(coturn.SECRET, encoding="ascii")
    secret.chmod(0o600)
    (base / "site").mkdir()
    with network.network() as net, coturn.coturn(base, net.turn, authority.issue("turn", address=net.turn.address)):
        turn, door = net.turn.address, f"{net.centre.address}:{DOOR_PORT}"
        urls = [f"turn:{turn}?transport=udp", f"turn:{turn}?transport=tcp", f"turns:{turn}:443?transport=tcp"]
        extra = stanzas(f'address = ""\npublic_url = "https://{door}"')
        pair = authority.issue("door", address=net.centre.address)
        files = {"public_certificate": str(pair.certificate), "public_key": str(pair.key)}
        it = Centre(base / "site", host=net.centre.address, public=door, public_url=f"https://{door}", **files)
        try:
            net.centre.run(it.start)
            with net.room.entered(), pytest.MonkeyPatch.context() as environment:
                environment.setenv("SSL_CERT_FILE", str(authority.roots))  # whom the room's PC trusts
                room = Site(base, it, f'{extra}[vks.turn]\nurls = {urls}\nsecret = "{secret}"\n{more}\n')
                room.start()
            try:
                yield Scene(net, room, home)
            finally:
                room.stop()
        finally:
            it.stop()


def _write_tone(path: Path) -> None:
    """A tone that comes and goes as speech does: browsers take a steady one for noise."""
    at = np.arange(48_000 * 4) / 48_000
    samples = 20_000 * np.sin(2 * np.pi * HZ * at) * (at % 0.8 < 0.5)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.astype("<i2").tobytes())
