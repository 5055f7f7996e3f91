"""A check of who somebody is from end to end: the clerk's own command at a terminal, the room's real processes, and the record."""

import asyncio
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab.site import COURTROOM, Site, site
from tests.vks.browsers import Browser, Watcher, until
from tests.vks.hearing import BY, clerk, free_port, pictures, sealed, shade_in, stanzas
from tests.vks.test_hearing import call, come
from tests.vks.test_service import PageInTest
from vks import signalling

FACE, DOCUMENT = 200, 90
STILLS = "remote-g1-identity"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, stanzas(f"port = {free_port()}")) as it:
        yield it


class Terminal:
    """A command at a terminal."""

    def __init__(self, room: Site, *words: str) -> None:
        self._near, far = pty.openpty()
        command = [*COURTROOM, "conference", *words, "--run", str(room.run_dir)]
        self.process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, env=os.environ | {"COLUMNS": "200"})
        os.close(far)
        os.set_blocking(self._near, False)
        self._text = ""

    @property
    def text(self) -> str:
        """What it has said until now."""
        try:
            self._text += os.read(self._near, 65_536).decode()
        except OSError:  # nothing new, or it has ended
            return self._text
        return self._text

    async def reads(self, words: str) -> None:
        """Wait until it says this."""
        await until(lambda: words in self.text, f"the terminal to say '{words}'")

    def type(self, line: str) -> None:
        """Answer it."""
        os.write(self._near, f"{line}\n".encode())


@pytest.mark.lab
async def test_a_clerk_checks_who_somebody_is_at_the_terminal_and_the_record_alone_keeps_the_stills(room: Site, tmp_path: Path) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Party", "party", *BY)).strip()
    async with aiohttp.ClientSession() as http:
        page, _ = await come(http, link)
        browser = Browser(1_700.0, FACE)
        await call(page, browser)
        await clerk(room, "admit", "g1", *BY)
        await until(lambda: page.place == "hearing", "the hearing")
        assert "not checked" in await clerk(room, "list")
        terminal = Terminal(room, "identify", "g1", *BY)
        await terminal.reads("take the face")
        address = next(word for word in terminal.text.split() if "/identity/#" in word)
        screen, root = Watcher(1), link.split("/join/#")[0]
        seen = PageInTest(await http.ws_connect(f"{root}/api/identity"), signalling.to_identity)
        await seen.say(signalling.See(token=address.split("#")[1], device="screen-1"))
        await seen.first(signalling.Checking)
        await screen.dial(seen.answer)
        await until(lambda: screen.sees(FACE), "the clerk sees the face")
        assert "being checked" in await clerk(room, "list")
        terminal.type("")
        await terminal.reads("take the document")
        browser.camera.shade = DOCUMENT
        await until(lambda: screen.sees(DOCUMENT), "the clerk sees the document")
        terminal.type("")
        await terminal.reads("whom the document names")
        browser.camera.shade = FACE
        screen.forget()
        await until(lambda: screen.sees(FACE), "the document is put away")
        terminal.type("y")
        await until(lambda: terminal.process.poll() == 0, "the end of the command")
        assert "confirmed" in await clerk(room, "list")
        assert (await seen.first(signalling.Bye)).code == "check_over"
        await until(lambda: page.all(signalling.View)[-1].identity == "", "the page is told")
        await asyncio.gather(screen.close(), browser.close(), page.close())
    record = await sealed(room)
    stills = [round(float(frame.to_ndarray(format="gray").mean())) for frame in pictures(room, record, STILLS)]
    assert [min((FACE, DOCUMENT), key=lambda shade, still=still: abs(shade - still)) for still in stills] == [FACE, DOCUMENT]  # type: ignore[misc]
    assert not shade_in(room, record, "remote-g1-video", DOCUMENT)
    levels = {entry.track: entry.level for _, entry in read_journal(record) if isinstance(entry, entries.Init)}
    assert {track for track, level in levels.items() if level == "identity"} == {STILLS}
    told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name.startswith("identity")]
    assert [(entry.name, entry.data["by"]) for entry in told] == [
        (name, BY[1]) for name in ("identity_check_began", "identity_still_taken", "identity_still_taken", "identity_confirmed")
    ]
    copied = [*COURTROOM, "copy", str(record), str(tmp_path / "copy"), "--key", str(room.court.court_key), "--max-level", "secret"]
    done = await asyncio.to_thread(subprocess.run, copied, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "copy").rglob(f"*{STILLS}*"))


@pytest.mark.long
@pytest.mark.lab
async def test_a_script_checks_by_single_commands_and_reads_why_not(room: Site) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Party", "party", *BY)).strip()
    async with aiohttp.ClientSession() as http:
        page, _ = await come(http, link)
        browser = Browser(1_700.0, FACE)
        await call(page, browser)
        assert "/identity/#" in await clerk(room, "identify", "g1", *BY)
        refused = Terminal(room, "confirm", "g1", *BY)
        await until(lambda: refused.process.poll() == 1, "the refusal")
        await refused.reads("no still yet of the face")
        await clerk(room, "identify", "g1", "face", *BY)
        await clerk(room, "identify", "g1", "document", *BY)
        await clerk(room, "refuse-identity", "g1", "--reason", "another face", *BY)
        assert "refused" in await clerk(room, "list")
        await asyncio.gather(browser.close(), page.close())
    record = await sealed(room)
    told = [entry.data for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name == "identity_refused"]
    assert told == [{"person": "g1", "by": BY[1], "reason": "another face", "at_us": told[0]["at_us"]}]
