"""A hearing with an interpreter from end to end: what the record, and a copy of it, have of the language channel."""

import asyncio
import subprocess
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from recorder.record.layout import MIX_LATE_US
from tests.lab import readback
from tests.lab.site import COURTROOM, Site
from tests.vks.browsers import Browser, until
from tests.vks.hearing import BY, clerk, has_tone, sealed
from tests.vks.test_hearing import call, come
from tests.vks.test_hearing import room as room  # noqa: PLC0414 - a fixture is used by its name

TRACK = "remote-channel-kk"
SAID_HZ, OFF_RECORD_HZ, AFTER_HZ, LAST_HZ = 1_700.0, 2_600.0, 3_300.0, 4_100.0


@pytest.mark.lab
async def test_the_record_and_a_copy_have_the_language_channel_and_nothing_of_what_was_said_off_the_record(
    room: Site, tmp_path: Path
) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Interpreter", "interpreter", *BY)).strip()
    async with aiohttp.ClientSession() as http:
        page, _ = await come(http, link)
        browser = Browser(SAID_HZ, 200)
        await call(page, browser)
        await clerk(room, "admit", "g1", *BY)
        await clerk(room, "interpret", "g1", "kk", *BY)
        await until(lambda: page.place == "hearing", "the hearing")
        await asyncio.sleep(5)  # what is recorded is to be some seconds long
        await asyncio.to_thread(room.order, "pause", "off_record", *BY)
        browser.microphone.hz = OFF_RECORD_HZ
        await asyncio.sleep(2)
        browser.microphone.hz = AFTER_HZ
        await asyncio.to_thread(room.order, "resume", *BY)
        await asyncio.sleep(4)
        browser.microphone.hz = LAST_HZ
        await asyncio.sleep(3)
        await browser.close()
        await page.close()
    record = await sealed(room)
    sounds = readback.sounds(record, TRACK, room.court.court_key, room.court.court)
    assert [[has_tone(sound, hz) for hz in (SAID_HZ, OFF_RECORD_HZ, AFTER_HZ)] for sound in sounds] == [
        [True, False, False], [False, False, True],
    ]  # fmt: skip
    own = readback.sounds(record, "remote-g1-audio", room.court.court_key, room.court.court)
    lag_us = begins_us(sounds[1], LAST_HZ) - begins_us(own[-1], LAST_HZ)
    assert 0 < lag_us < 600_000, "a mix lies a little later than what is in it"
    assert sounds[1].t_us - own[-1].t_us >= MIX_LATE_US - 500_000, "it begins later, so that nothing of the break is in it"

    out = tmp_path / "copy"
    command = [*COURTROOM, "copy", str(record), str(out), "--key", str(room.court.court_key), "--cert", str(room.court.court)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'NAME="Language channel kk",DEFAULT=NO,AUTOSELECT=NO,URI="tracks/{TRACK}/playlist.m3u8' in (out / "master.m3u8").read_text()
    assert "Language channel kk" in (out / "index.html").read_text(), "the copy's page plays it"


def begins_us(sound: readback.Sound, hz: float) -> int:
    """Session time at which a tone begins."""
    for at in range(0, sound.samples.size - 960, 960):
        wave = np.exp(-2j * np.pi * hz * np.arange(960) / sound.rate_hz)
        if abs(wave @ sound.samples[at : at + 960]) * 2 / 960 > 0.05:
            return sound.t_us + at * 1_000_000 // sound.rate_hz
    raise AssertionError(f"no tone of {hz} Hz")
