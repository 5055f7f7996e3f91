"""The recorder's cost with one camera: a raw one against ffmpeg, one that encodes itself, the watch; and how soon it records."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.result import Result, cpu_s
from recorder.contract import control
from tests.lab.room import Room, room
from tests.lab.rtsp_camera import rtsp_camera

RAW_S = 20
STORE_S = 20
ROOM_S = 30
PATTERN = "test pattern"


def processes(it: Room) -> list[int]:
    """The recorder's core, its children, and theirs (the watch's decoder)."""
    assert it.process is not None
    found = [it.process.pid]
    for pid in found:
        found += [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text(encoding="ascii").split()]
    return found


def used(it: Room, seconds: float) -> float:
    """Cores that the recorder uses while it records for so long and nobody asks it anything."""
    pids = processes(it)
    it.recorded(2)
    before = sum(cpu_s(pid) for pid in pids)
    began = time.monotonic()
    time.sleep(seconds)
    return (sum(cpu_s(pid) for pid in pids) - before) / (time.monotonic() - began)


def raw_camera(base: Path) -> list[Result]:
    """One raw 1080p25 camera, encoded and recorded, against the ffmpeg command line with the same encoder settings on as many frames.

    The picture's drawing is measured by itself (the same camera while nothing is recorded) and taken off. ffmpeg reads the pictures at
    their own pace (``-re``), as a camera gives them: both wake up 25 times a second.
    """
    devices = '[[camera]]\nid = "cam"\ndriver = "test-pattern"\nwidth = 1920\nheight = 1080\n'
    with room(base / "raw", devices) as it:
        it.wait_live("cam")
        pids = processes(it)
        idle = sum(cpu_s(pid) for pid in pids)
        began = time.monotonic()
        time.sleep(RAW_S / 2)
        drawing = (sum(cpu_s(pid) for pid in pids) - idle) / (time.monotonic() - began)
        record = it.begin()
        ours = used(it, RAW_S) - drawing
        it.stop()
        source = base / "raw.y4m"
        _decode_to_raw(it, record, source)
    frames = RAW_S * 25
    command = ["ffmpeg", "-v", "error", "-y", "-re", "-i", str(source), "-frames:v", str(frames), "-an", "-c:v", "libx264"]
    command += ["-preset", "superfast", "-tune", "zerolatency", "-crf", "23", "-g", "100", "-bf", "0", "-threads", "1"]
    command += ["-x264-params", "scenecut=0"]
    command += ["-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_keyframe", "-frag_duration", "450000", str(base / "peer.mp4")]
    read = ["ffmpeg", "-v", "error", "-re", "-i", str(source), "-frames:v", str(frames), "-f", "null", "-"]
    reading = children_cpu_s(lambda: subprocess.run(read, check=True))
    peer = (children_cpu_s(lambda: subprocess.run(command, check=True)) - reading) / (frames / 25)
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
            plain = used(it, STORE_S)
            it.stop()
        with room(base / "watched", devices, watch=True) as it:
            it.wait_live("cam")
            it.begin()
            watched = used(it, STORE_S)
            record = it.stop()
        film = base / "film"
        readable_copy(it, record, film)
    whole = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(film / "hearing.mp4"), "-f", "null", "-"]
    decode = children_cpu_s(lambda: subprocess.run(whole, check=True)) / length_s(film / "hearing.mp4")
    source = "GStreamer RTSP camera, 4 Mbit/s"
    proof = watched - plain
    return [
        Result("record one 1080p25 H.264 camera without encoding", plain, 1.0, "cores", "one core", 0.02, source),
        Result("proof of picture beside it", proof, 1.0, "cores", "one core", 0.03, source),
        Result("proof of picture, against decoding all", proof, decode, "cores", "ffmpeg decoding every picture", None, source),
    ]


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


def ready(base: Path) -> list[Result]:
    """From the start of the service until a session could be started and every device delivers; the devices are quick to open."""
    channels = ", ".join(f'{{ id = "m{number}", number = {number} }}' for number in range(1, 9))
    devices = "".join(f'[[camera]]\nid = "cam{n}"\ndriver = "test-pattern"\nwidth = 320\nheight = 180\n' for n in range(4))
    devices += f'[[microphone]]\nid = "mic"\ndriver = "test-tone"\nchannels = [ {channels} ]\n'
    answering: list[float] = []
    delivering: list[float] = []
    for number in range(3):
        began = time.monotonic()
        with room(base / f"ready{number}", devices) as it:
            made = time.monotonic() - began  # keys and room.toml are no part of it
            it.wait(lambda _: True, "an answer")
            answering.append(time.monotonic() - began - made)
            it.wait_live()
            delivering.append(time.monotonic() - began - made)
    source = f"{PATTERN}: 4 cameras, 8 microphones"
    return [
        Result("service start to a recorder that takes orders", sorted(answering)[1], 3.0, "s", "the figure to reach", 1.0, source),
        Result("service start to all devices delivering", sorted(delivering)[1], 3.0, "s", "the figure to reach", 1.0, source),
    ]


def readable_copy(it: Room, record: Path, target: Path) -> None:
    """``courtroom copy`` with the court's key."""
    command = [sys.executable, "-m", "agent.cli", "copy", str(record), str(target), "--key", str(it.keys.court_key)]
    subprocess.run(command, check=True, capture_output=True)


def length_s(film: Path) -> float:
    """How long a film is."""
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(film)]
    return float(subprocess.run(probe, check=True, capture_output=True, text=True).stdout)


def _decode_to_raw(it: Room, record: Path, target: Path) -> None:
    copy = target.parent / "clear"
    readable_copy(it, record, copy)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(copy / "hearing.mp4"), "-pix_fmt", "yuv420p", str(target)], check=True)


def children_cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the processes that ``work`` runs."""
    import resource  # noqa: PLC0415 - next to its only use

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
