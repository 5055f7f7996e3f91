"""The recorder's cost: a raw camera against ffmpeg, a network camera, a full room, and start to first frame on the disk."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.result import Result, cpu_s, rss_mib
from recorder.contract import control
from tests.lab.room import Room, room
from tests.lab.rtsp_camera import rtsp_camera

RAW_S = 20
STORE_S = 20
ROOM_S = 30
PATTERN = "test pattern"


def processes(it: Room) -> list[int]:
    """The recorder's core and its children."""
    assert it.process is not None
    return [it.process.pid, *it.children()]


def used_s(it: Room, seconds: float) -> float:
    """CPU seconds that the recorder uses while it records for so long."""
    pids = processes(it)
    before = sum(cpu_s(pid) for pid in pids)
    began = time.monotonic()
    it.recorded(seconds)
    return (sum(cpu_s(pid) for pid in pids) - before) / (time.monotonic() - began)


def raw_camera(base: Path) -> list[Result]:
    """One raw 1080p25 camera, encoded and recorded, against the ffmpeg command line with the same encoder settings on as many frames.

    The picture's drawing is measured by itself (the same camera while nothing is recorded) and taken off.
    """
    devices = '[[camera]]\nid = "cam"\ndriver = "test-pattern"\nwidth = 1920\nheight = 1080\n'
    with room(base / "raw", devices) as it:
        it.wait_live("cam")
        pids = processes(it)
        idle = sum(cpu_s(pid) for pid in pids)
        began = time.monotonic()
        units = _units(it.wait(lambda _: True, "status"))
        it.wait(lambda status: _units(status) >= units + 25 * 10, "10 s of drawing")
        drawing = (sum(cpu_s(pid) for pid in pids) - idle) / (time.monotonic() - began)
        record = it.begin()
        ours = used_s(it, RAW_S) - drawing
        it.stop()
        source = base / "raw.y4m"
        _decode_to_raw(it, record, source)
    frames = RAW_S * 25
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-frames:v", str(frames), "-an", "-c:v", "libx264", "-preset", "superfast"]
    command += ["-tune", "zerolatency", "-crf", "23", "-g", "100", "-bf", "0", "-threads", "1", "-x264-params", "scenecut=0"]
    command += ["-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_keyframe", "-frag_duration", "450000", str(base / "peer.mp4")]
    decode = _children_cpu(lambda: subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), "-f", "null", "-"], check=True))
    peer = (_children_cpu(lambda: subprocess.run(command, check=True)) - decode) / (frames / 25)
    return [Result("record one raw 1080p25 camera", ours, peer, "cores", "ffmpeg command line, same encoder settings", 1.10, PATTERN)]


def network_camera(base: Path) -> list[Result]:
    """One 1080p25 H.264 network camera, recorded untouched; and reading it back for the proof of picture."""
    with rtsp_camera(width=1920, height=1080, fps=25, gop_s=4, kbps=4000, sound="none") as camera:
        password = base / "password"
        password.write_text(camera.password)
        devices = (
            f'[[camera]]\nid = "cam"\ndriver = "rtsp"\nurl = "{camera.url}"\nuser = "{camera.user}"\npassword_file = "{password}"\n'
            "low_rung = false\n"
        )
        with room(base / "rtsp", devices) as it:
            it.wait_live("cam")
            it.begin()
            plain = used_s(it, STORE_S)
            it.stop()
    source = "GStreamer RTSP camera"
    return [Result("record one 1080p25 H.264 camera without encoding", plain, 1.0, "cores", "one core", 0.02, source)]


def start_to_disk(base: Path) -> list[Result]:
    """From the request to start until the first frame's journal entry is synced, devices being open."""
    times: list[float] = []
    with room(base / "start") as it:
        it.wait_live("cam", "judge")
        for _ in range(5):
            with it.client() as client:
                began = time.monotonic()
                record = Path(client.do(control.Start(hearing="bench", actor="Bench")).record)
                while b'"track":"cam","type":"frag"' not in (record / "journal.jsonl").read_bytes():
                    time.sleep(0.001)
                times.append(time.monotonic() - began)
            it.recorded(1)
            it.stop()
    return [Result("start to first frame on disk", sorted(times)[len(times) // 2], 0.1, "s", "the figure to reach", 1.0, PATTERN)]


def full_room(base: Path) -> list[Result]:
    """Four H.264 cameras and eight microphone channels at once."""
    with rtsp_camera(width=1920, height=1080, fps=25, gop_s=4, kbps=4000, sound="none") as camera:
        password = base / "password"
        password.write_text(camera.password)
        cameras = "".join(
            f'[[camera]]\nid = "cam{number}"\ndriver = "rtsp"\nurl = "{camera.url}"\nuser = "{camera.user}"\npassword_file = "{password}"\n'
            for number in range(4)
        )
        channels = ", ".join(f'{{ id = "m{number}", number = {number} }}' for number in range(1, 9))
        devices = cameras + f'[[microphone]]\nid = "mic"\ndriver = "test-tone"\nchannels = [ {channels} ]\n'
        with room(base / "full", devices) as it:
            it.wait_live(*(f"cam{number}" for number in range(4)), "m1")
            it.begin()
            used = used_s(it, ROOM_S)
            memory = sum(rss_mib(pid) for pid in processes(it))
            dropped = sum(channel.dropped for channel in it.wait(lambda _: True, "status").channels if channel.kind == "video")
            it.stop()
    source = "GStreamer RTSP camera, test tone; no participants"
    return [
        Result("4 H.264 cameras and 8 microphones", used, 2.0, "cores", "the machine", 0.60, source),
        Result("4 H.264 cameras and 8 microphones: frames lost", float(dropped), 1.0, "frames", "none may be lost", 0.0, source),
        Result("4 H.264 cameras and 8 microphones: memory", memory, 1024.0, "MiB", "1 GiB", None, source),
    ]


def _decode_to_raw(it: Room, record: Path, target: Path) -> None:
    copy = target.parent / "clear"
    command = [sys.executable, "-m", "agent.cli", "copy", str(record), str(copy), "--key", str(it.keys.court_key)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(copy / "hearing.mp4"), "-pix_fmt", "yuv420p", str(target)], check=True)


def _children_cpu(work: Callable[[], object]) -> float:
    import resource  # noqa: PLC0415 - next to its only use

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _units(status: control.Status) -> int:
    return sum(channel.units for channel in status.channels)
