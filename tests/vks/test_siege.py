"""A minute of everything at once that strangers and participants can do to a hearing: it goes on, the room's record has no hole."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.quota import can_hold, limits_of, quota
from tests.lab.site import Site, site
from tests.vks.browsers import Browser, until
from tests.vks.hearing import BY, HZ, clerk, free_port, sealed, stanzas, tone_in
from tests.vks.test_hearing import call, come
from vks.inbound import PICTURE_QUOTA_BPS

SIEGE_S = 60.0
INSIDE = ("garbage", "nacks", "keyframes", "large")
ROOM_TRACKS = ("cam", "judge", "witness")
FPS, RATE_HZ = 25, 48_000


@contextmanager
def besieger(how: str, where: str) -> Iterator[subprocess.Popen[str]]:
    """One of them, who must not have been stopped by an error of his own."""
    command = [sys.executable, "-m", "tests.vks.besieger", how, where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        yield process
        assert process.poll() is None, f"'{how}' ended by itself"
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def let_in(room: Site, how: str, link: str, person: str) -> Iterator[subprocess.Popen[str]]:
    """One who was admitted, and waits for a line."""
    with besieger(how, link) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "in"
        asyncio.run(clerk(room, "admit", person, *BY))
        yield process


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not can_hold(), reason="needs root and control groups, to hold vks to its unit's limits")
def test_a_siege_costs_the_room_no_frame_and_the_hearing_goes_on(tmp_path: Path) -> None:
    port = free_port()
    limits = limits_of("courtroom-vks.service")
    with quota("courtroom-siege", limits) as held, site(tmp_path, stanzas(f"port = {port}")) as room:
        (vks,) = room.pids("vks")
        held.hold(vks)
        room.order("start", *BY)
        room.until(lambda: room.recorder_state() == "open", "the session")
        asyncio.run(besieged(room, port))
        assert room.pids("vks") == [vks], "it was not started again"
        print(f"vks took at most {most_bytes(vks) / 1024**2:.0f} MiB of {limits.memory_bytes / 1024**2:.0f}")  # noqa: T201 - the figure
        record = asyncio.run(sealed(room))
        told = [entry for _, entry in read_journal(record)]
        assert not [entry for entry in told if isinstance(entry, entries.Gap) and entry.track in ROOM_TRACKS]
        for track in ROOM_TRACKS[1:]:
            (sound,) = readback.sounds(record, track, room.court.court_key, room.court.court)
            assert sound.samples.size >= SIEGE_S * RATE_HZ
        assert tone_in(room, record, "remote-g1-audio", HZ), "who means no harm is in the record"
        ended = [entry for entry in told if isinstance(entry, entries.Segment) and entry.track == "remote-g5-video"]
        assert 0 < sum(entry.len for entry in ended) < PICTURE_QUOTA_BPS / 8 * (SIEGE_S + 30), "the record takes no more of one than is due"


def most_bytes(pid: int) -> int:
    """The most memory that a process has had (proc_pid_status(5))."""
    (most_kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(most_kib) * 1024


async def besieged(room: Site, port: int) -> None:
    """One participant who means no harm, and all who do, for a while; he hears the room before, meanwhile and after."""
    async with aiohttp.ClientSession() as http:
        page, _ = await come(http, (await clerk(room, "invite", "B. Party", "party", *BY)).strip())
        friend = Browser(HZ, 200)
        await call(page, friend)
        await clerk(room, "admit", "g1", *BY)
        await until(lambda: page.place == "hearing" and any(friend.shades), "the hearing")
        with contextlib.ExitStack() as all_of_them:
            inside = []
            for number, how in enumerate(INSIDE, 2):
                link = (await clerk(room, "invite", f"{how.title()} Besieger", "party", *BY)).strip()
                inside.append(await asyncio.to_thread(all_of_them.enter_context, let_in(room, how, link, f"g{number}")))
            all_of_them.enter_context(besieger("joins", f"http://127.0.0.1:{port}"))
            for process in inside:
                assert process.stdin is not None
                process.stdin.write("go\n")
            ends_s = asyncio.get_running_loop().time() + SIEGE_S
            while asyncio.get_running_loop().time() < ends_s:
                friend.forget()
                await until(lambda: len(friend.heard) > 50 and any(friend.shades), "sound and pictures in the midst of it")
        friend.forget()
        await until(lambda: len(friend.heard) > 50 and any(friend.shades), "sound and pictures afterwards")
        await friend.close()
        await page.close()
