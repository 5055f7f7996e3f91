"""A hearing with twenty participants in a real room: what its videoconference takes, and whether it grows as people come and go."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent.desk_client import ask
from agent.guest_desk import Done, GuestState, Invited, InviteOrder
from bench.result import Result, anonymous_mib, cpu_s
from recorder.contract import conference
from recorder.contract.client import ControlClient
from tests.lab.rtsp_camera import RtspCamera, rtsp_camera
from tests.lab.site import Site, site
from tests.vks.hearing import BY, free_port, stanzas

PEOPLE = 20
SETTLE_S, MEASURED_S = 20.0, 30.0
HOUR_S = float(os.environ.get("BENCH_MEMORY_S", "3600"))
WARM_UP_S = HOUR_S / 6
STAY_S = 10.0
"""So often somebody goes, and comes back."""
CLERK = "A. Clerk"
ROLES: tuple[conference.Role, ...] = ("party", "counsel", "prosecutor", "specialist")
SOURCE = f"{PEOPLE} participants at 360p, 500 kbit/s; RTSP camera 720p; loopback"


class Load:
    """The participants' process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.hearing_load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, words: str) -> str:
        """Have it do something; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{words}\n")
        said = self._process.stdout.readline().strip()
        if not said:
            raise RuntimeError(f"the participants ended at '{words.partition(' ')[0]}'")
        return said

    def counts(self) -> list[list[int]]:
        """Packets of sound and of pictures for each who is there."""
        found: list[list[int]] = json.loads(self.ask("count"))
        return found

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def hearing(base: Path) -> Iterator[tuple[Site, Load]]:
    """A room that records, and its participants, all admitted."""
    with (
        rtsp_camera(width=1280, height=720, fps=25, gop_s=2, kbps=1500, sound="none") as camera,
        site(base, stanzas(f"port = {free_port()}"), _devices(base, camera)) as room,
    ):
        room.order("start", *BY)
        room.until(lambda: ask(room.run_dir, "/conference", None, GuestState).hearing, "the conference of the session")
        load = Load()
        try:
            for number in range(PEOPLE):
                order = InviteOrder(actor=CLERK, name=f"Person {number}", role=ROLES[number % len(ROLES)])
                invited = ask(room.run_dir, "/conference/invite", order, Invited)
                load.ask(f"come {invited.link}")
                ask(room.run_dir, "/conference/act", conference.Admit(by=CLERK, person=invited.person), Done)
            room.until(lambda: len(_remote(room)) == 2 * PEOPLE, "everybody's media in the record")
            yield room, load
            room.order("stop", *BY)
            (verdict,) = room.verdicts().values()
            assert verdict.level in {"sealed", "anchored"}, verdict
        finally:
            load.close()


def twenty(base: Path) -> list[Result]:
    """Cores that vks takes while all are there, three of them speak, and everybody is recorded; and what was lost meanwhile."""
    with hearing(base) as (room, load):
        (pid,) = room.pids("vks")
        time.sleep(SETTLE_S)
        before, tracks, used_s, began_s = load.counts(), _remote(room), cpu_s(pid), time.monotonic()
        time.sleep(MEASURED_S)
        cores = (cpu_s(pid) - used_s) / (time.monotonic() - began_s)
        after, later = load.counts(), _remote(room)
        took_s = time.monotonic() - began_s
        assert room.pids("vks") == [pid], "the videoconference was started again meanwhile"
    unheard = sum(now[0] - then[0] < took_s * 50 * 0.98 for then, now in zip(before, after, strict=True))
    unseen = sum(now[1] == then[1] for then, now in zip(before, after, strict=True))
    short = sum(later[name] - tracks[name] < took_s * 1e6 * 0.95 for name in tracks)
    name = f"a hearing with {PEOPLE} participants"
    return [
        Result(f"{name}: the videoconference", cores, 1.0, "cores", "a core", 0.70, SOURCE),
        Result(f"{name}: who missed sound or got no picture", float(unheard + unseen), 1.0, "people", "none", 0.0, SOURCE),
        Result(f"{name}: tracks with less than was sent", float(short), 1.0, "tracks", "none", 0.0, SOURCE),
    ]


def coming_and_going(base: Path) -> list[Result]:
    """The slope of vks's own memory over an hour, after ten minutes of warming up; each 10 s somebody goes and comes back."""
    with hearing(base) as (room, load):
        (pid,) = room.pids("vks")
        times, sizes, began_s, turn = list[float](), list[float](), time.monotonic(), 0
        while (now_s := time.monotonic() - began_s) < WARM_UP_S + HOUR_S:
            load.ask(f"go {turn % PEOPLE}")
            load.ask(f"back {turn % PEOPLE}")
            turn += 1
            if now_s > WARM_UP_S:
                times.append(now_s / 3600)
                sizes.append(anonymous_mib(pid))
            time.sleep(max(0.0, began_s + turn * STAY_S - time.monotonic()))
        assert room.pids("vks") == [pid], "the videoconference was started again meanwhile"
    slope = float(np.polyfit(times, sizes, 1)[0])
    source = f"{SOURCE}; {HOUR_S / 3600:.2g} h, {turn} times somebody went and came back"
    return [Result("the videoconference's growth with people coming and going", slope, 5.0, "MiB/h", "5 MiB/h", 1.0, source)]


def _devices(base: Path, camera: RtspCamera) -> str:
    password = base / "password"
    password.write_text(camera.password)
    access = f'url = "{camera.url}"\nuser = "{camera.user}"\npassword_file = "{password}"\n'
    return (
        f'[[camera]]\nid = "cam"\ndriver = "rtsp"\n{access}[[microphone]]\nid = "mic"\ndriver = "test-tone"\n'
        'channels = [ { id = "judge", number = 1 }, { id = "witness", number = 2 } ]\n'
    )


def _remote(room: Site) -> dict[str, int]:
    """Media of each participant's track on the disk, in microseconds."""
    with ControlClient(room.run_dir, timeout_s=5.0) as client:
        return {one.track: one.written_us for one in client.status().channels if one.track.startswith("remote-") and one.written_us > 0}
