"""The whole courtroom on this machine: cameras, microphones, participants and the watch at once; and an hour of it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.recorder import processes, used
from bench.result import Result, anonymous_mib, process_name, pss_mib
from recorder.contract import control
from tests.lab.participants import participants
from tests.lab.room import Room, room
from tests.lab.rtsp_camera import RtspCamera, rtsp_camera

CAMERAS, CHANNELS, PARTICIPANTS = 4, 8, 10
ROOM_S = 30
HOUR_S = float(os.environ.get("BENCH_MEMORY_S", "3600"))
"""For how long memory is watched."""
WARM_UP_S = HOUR_S / 6
SAMPLE_S = 1.0
"""Often, since a heap that is given back once a minute looks like growth to who samples in another rhythm."""


@contextmanager
def courtroom(base: Path, camera: RtspCamera, cameras: int) -> Iterator[tuple[Room, list[str]]]:
    """A room that records, with so many connections to the camera; yields it and the names of all its tracks."""
    password = base / "password"
    password.write_text(camera.password)
    ids = [f"cam{number}" for number in range(cameras)]
    access = f'url = "{camera.url}"\nuser = "{camera.user}"\npassword_file = "{password}"\nlow_rung = false\n'
    devices = "".join(f'[[camera]]\nid = "{name}"\ndriver = "rtsp"\n{access}' for name in ids)
    channels = [f"m{number}" for number in range(1, CHANNELS + 1)]
    listed = ", ".join(f'{{ id = "{name}", number = {number} }}' for number, name in enumerate(channels, 1))
    devices += f'[[microphone]]\nid = "mic"\ndriver = "test-tone"\nchannels = [ {listed} ]\n'
    with room(base / "room", devices, watch=True, extra="[ingest]\nenabled = true\n", mirror=base / "mirror") as it:
        it.wait_live(*ids, *channels)
        with participants(it.run_dir / "ingest.sock", PARTICIPANTS) as remote:
            it.begin()
            it.wait(lambda status: _recording(status) >= {*ids, *channels, *remote}, "everybody's media on the disk")
            yield it, [*ids, *channels, *remote]


def full_room(base: Path) -> list[Result]:
    """Four H.264 cameras, eight microphone channels and ten participants with picture and sound, watched and mirrored."""
    with (
        rtsp_camera(width=1920, height=1080, fps=25, gop_s=4, kbps=4000, sound="none") as camera,
        courtroom(base, camera, CAMERAS) as there,
    ):
        it, tracks = there
        before = _units(it)
        cores = used(it, ROOM_S)
        after = _units(it)
        memory = sum(pss_mib(pid) for pid in processes(it))
        status = it.wait(lambda _: True, "status")
        lost = sum(channel.dropped for channel in status.channels)
        idle = [name for name in tracks if after[name] - before[name] < ROOM_S * 20]
    source = "GStreamer RTSP camera, test tone, participants at 500 kbit/s; watch and mirror running"
    name = f"{CAMERAS} H.264 cameras, {CHANNELS} microphones, {PARTICIPANTS} participants"
    return [
        Result(name, cores, float(os.cpu_count() or 1), "cores", "the machine", 0.60, source),
        Result(f"{name}: frames lost", float(lost), 1.0, "frames", "none may be lost", 0.0, source),
        Result(f"{name}: tracks that delivered less than they should", float(len(idle)), 1.0, "tracks", "none", 0.0, source),
        Result(f"{name}: memory", memory, 1024.0, "MiB", "1 GiB", None, source),
    ]


def memory_over_an_hour(base: Path) -> list[Result]:
    """The slope of all processes' own memory, by least squares over an hour after ten minutes of warming up, and the worst process's."""
    with rtsp_camera(width=640, height=360, fps=25, gop_s=4, kbps=800, sound="none") as camera, courtroom(base, camera, 2) as (it, _):
        times: list[float] = []
        sizes: list[list[float]] = []
        began = time.monotonic()
        time.sleep(WARM_UP_S)
        names = {pid: process_name(pid) for pid in processes(it)}
        while time.monotonic() - began < WARM_UP_S + HOUR_S:
            times.append(time.monotonic() - began)
            sizes.append([anonymous_mib(pid) for pid in names])
            time.sleep(SAMPLE_S)
        # One that was started again meanwhile would hide its growth.
        assert names.keys() <= set(processes(it)), "a process ended while its memory was watched"
    hours = np.array(times) / 3600
    slopes = [float(np.polyfit(hours, column, 1)[0]) for column in np.array(sizes).T]
    worst = int(np.argmax(slopes))
    grows = list(names.values())[worst]
    total = float(np.polyfit(hours, np.array(sizes).sum(axis=1), 1)[0])
    source = f"2 H.264 cameras at 360p, {CHANNELS} microphones, {PARTICIPANTS} participants, watch and mirror; {HOUR_S / 3600:.2g} h"
    return [
        Result("memory's growth, all processes", total, 1.0, "MiB/h", "1 MiB/h", 1.0, source),
        Result("memory's growth, the process that grows most", slopes[worst], 1.0, "MiB/h", "1 MiB/h", 1.0, f"{grows}; {source}"),
    ]


def _recording(status: control.Status) -> set[str]:
    return {channel.track for channel in status.channels if channel.written_us}


def _units(it: Room) -> dict[str, int]:
    return {channel.track: channel.units for channel in it.wait(lambda _: True, "status").channels}
