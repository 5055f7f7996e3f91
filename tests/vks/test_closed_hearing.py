"""A hearing that is not public, from end to end: by a real centre to the room's processes, the clerk's commands, and the record."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCCertificate

from recorder.contract import control
from recorder.contract.client import ControlClient
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab.site import Site, site
from tests.vks.browsers import until
from tests.vks.closed import Guest
from tests.vks.hearing import BY, HZ, clerk, free_port, sealed, stanzas, tone_in
from tests.vks.test_hearing import again, come


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Site]:
    port = free_port()
    with site(tmp_path, stanzas(f'address = ""\npublic_url = "http://127.0.0.1:{port}"'), public=f"127.0.0.1:{port}") as it:
        yield it


def close_to_the_public(room: Site) -> None:
    with ControlClient(room.run_dir) as client:
        client.do(control.SetLevel(level="closed", actor=BY[1], order="order 7"))


@pytest.mark.lab
async def test_who_is_vouched_for_by_the_code_takes_part_also_after_the_conference_was_killed_and_the_record_tells_it(room: Site) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    await asyncio.to_thread(close_to_the_public, room)
    link = (await clerk(room, "invite", "B. Party", "party", "--iin", "123456789011", *BY)).strip()
    kept = RTCCertificate.generateCertificate()
    async with aiohttp.ClientSession() as http:
        page, resume = await come(http, link)
        await until(lambda: page.place == "lobby", "the lobby")
        guest = Guest(page, "g1", HZ, kept)
        guest.dial()
        await until(lambda: guest.seen, "the page shows a code")
        assert guest.seen is not None
        await clerk(room, "admit", "g1", *BY)
        assert "unvouched" in await clerk(room, "list")
        code = guest.seen.code
        await clerk(room, "vouch", "g1", *(code[at : at + 5] for at in range(0, 20, 5)), *BY)
        await until(lambda: any(guest.browser.shades), "pictures of the room")
        assert "unvouched" not in await clerk(room, "list")
        room.kill("vks")
        await guest.close()
        await until(lambda: page.closed, "the page to lose its connection")
        back = await again(http, link.split("/join/#")[0], resume)
        while not back.place:
            await asyncio.sleep(0.2)
            if back.closed:
                back = await again(http, link.split("/join/#")[0], resume)
        second = Guest(back, "g1", HZ, kept)
        second.dial()
        await until(lambda: any(second.browser.shades), "pictures of the room, of the process that came after")
        assert second.seen is None
        await asyncio.sleep(5)  # what is recorded is to be some seconds long
        await second.close()
        await back.close()
    record = await sealed(room)
    assert tone_in(room, record, "remote-g1-audio", HZ)
    told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name == "vouched"]
    data = {"by": BY[1], "person": "g1", "fingerprint": guest.seen.page, "how": "code"}
    assert [entry.data for entry in told] == [{**data, "at_us": told[0].data["at_us"]}]
