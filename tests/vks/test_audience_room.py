"""A large audience from end to end: the clerk's command, the room's real processes, a real Janus, and what the record has of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import janus
from tests.lab.site import Site, site
from tests.lab.whep_speaker import WhepSpeaker
from tests.vks.audience_scene import TOKEN, Watching, media_server
from tests.vks.browsers import Shades, Tone, until
from tests.vks.hearing import BY, HZ, asked, clerk, free_port, sealed, shade_in, stanzas, tone_in

SHADE = 200
pytestmark = [pytest.mark.lab, pytest.mark.skipif(janus.missing(), reason="janus is not installed (scripts/setup-debian test)")]


@pytest.fixture
def port() -> int:
    """Of the WHIP endpoint."""
    return free_port()


@pytest.fixture
def room(tmp_path: Path, port: int) -> Iterator[Site]:
    token = tmp_path / "whip.token"
    token.write_text(f"{TOKEN}\n", encoding="ascii")
    token.chmod(0o600)
    audience = f'[vks.audience]\nwhip = "http://127.0.0.1:{port}/whip"\ntoken = "{token}"'
    with site(tmp_path, stanzas(f"port = {free_port()}\n{audience}")) as it:
        yield it


async def test_a_large_audience_watches_the_courtroom_while_the_hearing_is_public(room: Site, port: int, tmp_path: Path) -> None:
    async with media_server(tmp_path, port) as (_, _, url), aiohttp.ClientSession() as http:
        await asyncio.to_thread(room.order, "start", *BY)
        await asyncio.to_thread(room.until, lambda: asked(room).startswith("hearing local:"), "the session, and vks")
        await clerk(room, "audience", "on", *BY)
        await asyncio.to_thread(room.until, lambda: "A large audience watches." in asked(room), "the server to be reached")
        viewer = Watching()
        await viewer.dial(http, url)
        await until(lambda: len(viewer.shades) > 10 and len(viewer.heard) > 50, "the room's pictures and sound")
        await asyncio.to_thread(room.order, "pause", "privileged", *BY)
        await asyncio.to_thread(room.until, lambda: "shown nothing now" in asked(room), "it to be shown nothing")
        room.kill("vks")
        await asyncio.to_thread(room.order, "resume", *BY)
        await asyncio.to_thread(room.until, lambda: "A large audience watches." in asked(room), "it to be reached again")
        await clerk(room, "audience", "off", "--reason", "a witness is afraid", *BY)
        await viewer.close()
    record = await sealed(room)
    told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name.startswith("audience")]
    assert (told[0].name, told[0].data["by"]) == ("audience_on", "A. Clerk")
    assert [entry.name for entry in told][1:3] == ["audience_began", "audience_silent"]
    assert (told[-1].name, told[-1].data["by"], told[-1].data["reason"]) == ("audience_off", "A. Clerk", "a witness is afraid")


@pytest.mark.long
async def test_a_speaker_of_the_audience_is_recorded_as_any_participant(room: Site, port: int) -> None:
    speaker = WhepSpeaker(Tone(HZ), Shades(SHADE), TOKEN)
    runner = web.AppRunner(speaker.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await asyncio.to_thread(room.order, "start", *BY)
        await asyncio.to_thread(room.until, lambda: asked(room).startswith("hearing local:"), "the session, and vks")
        await clerk(room, "take-in", f"http://127.0.0.1:{port}/speaker", "--name", "C. Expert", "--role", "specialist", *BY)
        await asyncio.to_thread(room.until, lambda: "good" in asked(room), "the expert to be there")
        assert "C. Expert" in await clerk(room, "list")
        await asyncio.sleep(5)  # what is recorded is to be some seconds long
        await clerk(room, "dismiss", "from-audience-1", *BY)
        await until(lambda: speaker.asked == ["POST", "DELETE"], "the expert is fetched no more")
    finally:
        await runner.cleanup()
    record = await sealed(room)
    assert tone_in(room, record, "remote-from-audience-1-audio", HZ)
    assert shade_in(room, record, "remote-from-audience-1-video", SHADE)
    assert tone_in(room, record, "room-out", HZ), "the courtroom heard it"
