"""A participant of a hearing in a real browser: with a camera, a microphone and a screen of its own, told by their shades and tones."""

import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.lab.browser import Tab, opened

RATE_HZ = 48_000
SIZE, FPS = (320, 240), 10
BEEP_S = 0.5
"""A tone that never pauses is taken for noise by a browser, and taken out."""
HEARD_DB = -40
"""A tone in the mix is at about -20 dB, and -35 on a very busy machine; what is made of other tones at those asked for is below -48."""
STANDS_OUT_DB = 10
SILENT_LOOKS, PATIENCE = 12, 20
"""Longer than the pause between two beeps; and so often is waited for it."""
SAME_SHADE = 20
SCREEN_MEAN = 51
"""Of the colours of the screen that Chromium shows where it is told to have no real devices: it is green."""

_STEADY = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--lang=en",
)
_PHONE_AGENT = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"  # any phone's
)
_DESK: dict[str, Any] = {"viewport": {"width": 1000, "height": 700}, "screen": {"width": 1280, "height": 800}}
PHONE_WIDTH = 360
_PHONE: dict[str, Any] = {
    "viewport": {"width": PHONE_WIDTH, "height": 740}, "screen": {"width": PHONE_WIDTH, "height": 740},
    "device_scale_factor": 2, "is_mobile": True, "has_touch": True, "user_agent": _PHONE_AGENT,
}  # fmt: skip

# Listens to the page's own element as long as the page lives: how loud each frequency stayed for three looks, at most since `forget`.
# One look alone would take the crackle of a busy machine, which has all frequencies, for a tone.
_EARS = """(() => {
  const context = new AudioContext(), analyser = context.createAnalyser();
  analyser.fftSize = 4096;
  analyser.smoothingTimeConstant = 0;
  const spectrum = () => new Float32Array(analyser.frequencyBinCount).fill(-200);
  let now = spectrum(), before = spectrum(), earlier = spectrum(), looked = 0, stream = null, source = null;
  const peaks = spectrum();
  window.ears = {
    looks: 0,
    forget() { for (const one of [before, earlier, peaks]) one.fill(-200); this.looks = 0; },
    loudness(hz) {
      const bin = Math.round(hz * analyser.fftSize / context.sampleRate);
      return Math.max(...peaks.slice(bin - 1, bin + 2));
    },
    loudest() { return Math.max(...peaks); },
    around(hz) {
      const bin = Math.round(hz * analyser.fftSize / context.sampleRate);
      const beside = [...peaks.slice(bin - 24, bin - 4), ...peaks.slice(bin + 5, bin + 25)].sort((one, other) => one - other);
      return beside[beside.length >> 1];
    },
  };
  setInterval(() => {
    const next = document.querySelector("audio:not([src])")?.srcObject ?? null;
    if (next !== stream) {
      source?.disconnect();
      stream = next;
      source = stream === null ? null : context.createMediaStreamSource(stream);
      source?.connect(analyser);
    }
    if (context.currentTime - looked < 0.04) return;
    looked = context.currentTime;
    analyser.getFloatFrequencyData(now);
    for (let bin = 0; bin < now.length; bin += 1) peaks[bin] = Math.max(peaks[bin], Math.min(now[bin], before[bin], earlier[bin]));
    [now, before, earlier] = [earlier, now, before];
    ears.looks += 1;
  }, 50);
})()"""

# The mean brightness of each tile whose video has decoded pictures, by what is written below it.
SHADES = """(() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 16;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return Object.fromEntries([...document.querySelectorAll(".tile:not(.own)")].flatMap(tile => {
    const video = tile.querySelector("video");
    if (video.getVideoPlaybackQuality().totalVideoFrames === 0) return [];
    pen.drawImage(video, 0, 0, 16, 16);
    const data = pen.getImageData(0, 0, 16, 16).data;
    return [[tile.querySelector("figcaption").innerText, data.reduce((sum, one, at) => at % 4 === 3 ? sum : sum + one, 0) / 768]];
  }));
})()"""

_PRESS = """(() => {
  const button = [...document.querySelectorAll("button")].find(one => one.innerText.includes(%r) && !one.disabled);
  button?.click();
  return button !== undefined;
})()"""

_OTHER_MICROPHONE = """(() => {
  const label = [...document.querySelectorAll(".devices label")].find(one => one.textContent.startsWith("Microphone"));
  if (label === undefined) return false;
  const list = label.querySelector("select");
  list.value = [...list.options].map(one => one.value).find(one => one !== list.value && one !== "default");
  list.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
})()"""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody with a browser.

    Attributes:
        name: as the others see it.
        role: in the hearing.
        hz: the tone of the microphone.
        shade: the brightness of the camera's pictures.
    """

    name: str
    role: str
    hz: float
    shade: int
    tab: Tab
    sound: Path

    async def press(self, words: str) -> None:
        """Press the button that says this, as soon as it is there."""
        await self.tab.until(_PRESS % words, f"{self.name}'s button '{words}'")

    async def reads(self, words: str) -> None:
        """Wait until the page says this."""
        await self.tab.until(f"document.body.innerText.includes({words!r})", f"{self.name} to read '{words}'")

    async def join(self, link: str) -> None:
        """Come by a link, through the check of the devices."""
        await self.tab.go(link)
        await self.tab.run(_EARS)
        await self.press("Check microphone and camera")
        await self.tab.until("(document.querySelector('meter')?.value ?? 0) > 0", f"{self.name}'s meter to move")
        await self.press("Join the hearing")

    async def say(self, hz: float) -> None:
        """Take another microphone, which gives this tone."""
        write_beeps(self.sound, hz)
        await self.tab.until(_OTHER_MICROPHONE, f"{self.name}'s choice of microphones")

    async def forget(self) -> None:
        """Listen anew."""
        await self.tab.run("ears.forget()")

    async def hears(self, hz: float, who: str) -> None:
        """Wait until a tone is heard."""
        await self.tab.until(f"ears.loudness({hz}) > {HEARD_DB}", f"{self.name} to hear {who} ({hz:g} Hz)")

    async def heard(self, hz: float) -> bool:
        """Whether a tone was heard since ``forget``: one that stands out, for the crackle of a busy machine has all frequencies."""
        tone_db, around_db = await self.tab.run(f"[ears.loudness({hz}), ears.around({hz})]")
        return bool(tone_db > max(HEARD_DB, around_db + STANDS_OUT_DB))

    async def falls_silent(self) -> None:
        """Wait until what was on its way has been heard."""
        for _ in range(PATIENCE):
            await self.forget()
            await self.tab.until(f"ears.looks >= {SILENT_LOOKS}", f"{self.name} to listen")
            if not await self.tab.run(f"ears.loudest() > {HEARD_DB}"):
                return
        raise AssertionError(f"{self.name} still hears something")

    async def shades(self) -> dict[str, float]:
        """How bright each tile is that has pictures, by the words below it."""
        shades: dict[str, float] = await self.tab.run(SHADES)
        return shades

    async def sees(self, whose: str, shade: int) -> None:
        """Wait until the tile that bears these words shows pictures of this brightness."""
        condition = (
            f"Object.entries({SHADES}).some(([words, mean]) => words.startsWith({whose!r}) && Math.abs(mean - {shade}) < {SAME_SHADE})"
        )
        await self.tab.until(condition, f"{self.name} to see '{whose}' at a brightness of {shade}")

    async def tiles(self) -> list[str]:
        """What is written below the tiles of others."""
        tiles: list[str] = await self.tab.run("[...document.querySelectorAll('.tile:not(.own) figcaption')].map(one => one.innerText)")
        return tiles


@asynccontextmanager
async def participant(
    base: Path, name: str, role: str, hz: float, shade: int, *, phone: bool = False, flags: tuple[str, ...] = ()
) -> AsyncIterator[Participant]:
    """A browser with devices of its own; ``base`` is where the files lie that they give, without their endings; ``flags`` are its own."""
    sound, pictures = base.with_suffix(".wav"), base.with_suffix(".y4m")
    write_beeps(sound, hz)
    write_pictures(pictures, shade)
    devices = (*_STEADY, *flags, f"--use-file-for-fake-audio-capture={sound}", f"--use-file-for-fake-video-capture={pictures}")
    async with opened(devices, device=_PHONE if phone else _DESK) as tab:
        yield Participant(name, role, hz, shade, tab, sound)


def write_beeps(path: Path, hz: float) -> None:
    """A microphone's file: a tone that comes and goes, and can be played in a circle."""
    at = np.arange(round(2 * BEEP_S * RATE_HZ)) / RATE_HZ
    ramp_s = 0.02
    loudness = np.clip(np.minimum(at, BEEP_S - at) / ramp_s, 0, 1)  # no click, which would be heard at all frequencies
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((10_000 * loudness * np.sin(2 * np.pi * hz * at)).astype(np.int16).tobytes())


def write_pictures(path: Path, shade: int) -> None:
    """A camera's file: pictures of one brightness."""
    width, height = SIZE
    luma = round(16 + shade * 219 / 255)
    picture = bytes([luma]) * (width * height) + bytes([128]) * (width * height // 2)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg\n".encode() + (b"FRAME\n" + picture) * FPS)
