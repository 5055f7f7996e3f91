"""A hearing with participants at a room's real processes: its configuration, the clerk's commands, and what its record has."""

import asyncio
import io
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from tests.lab import readback
from tests.lab.site import COURTROOM, Site

BY = ("--by", "A. Clerk")
HZ = 1_700.0
"""What a participant sends."""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stanzas(vks: str) -> str:
    """The configuration of a room with a videoconference."""
    return f'[ingest]\nenabled = true\n[speaker]\ndevice = "none"\n[vks]\n{vks}\n'


async def clerk(room: Site, *words: str) -> str:
    """One of the clerk's commands about participants."""
    command = [*COURTROOM, "conference", *words, "--run", str(room.run_dir)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(room: Site) -> str:
    """Who is there, by the clerk's command; nothing while the agent does not answer."""
    return subprocess.run(
        [*COURTROOM, "conference", "list", "--run", str(room.run_dir)], capture_output=True, text=True, check=False
    ).stdout


async def sealed(room: Site) -> Path:
    """Stop the session; the record, which verifies as sealed."""
    await asyncio.to_thread(room.order, "stop", *BY)
    (verdict,) = room.verdicts().values()
    assert verdict.level in {"sealed", "anchored"}, verdict
    (record,) = [path for path in room.records.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return record


def tone_in(room: Site, record: Path, track: str, hz: float) -> bool:
    """Whether a tone is anywhere in a track's sound."""
    return any(has_tone(sound, hz) for sound in readback.sounds(record, track, room.court.court_key, room.court.court))


def has_tone(sound: readback.Sound, hz: float) -> bool:
    """Whether a tone is anywhere in a part's sound."""
    for block in np.split(sound.samples[: sound.samples.size // 9_600 * 9_600], max(1, sound.samples.size // 9_600)):
        wave = np.exp(-2j * np.pi * hz * np.arange(block.size) / sound.rate_hz)
        if block.size and abs(wave @ block) * 2 / block.size > 0.05:
            return True
    return False


def shade_in(room: Site, record: Path, track: str, shade: int) -> bool:
    """Whether a track has pictures of this brightness."""
    return any(abs(frame.to_ndarray(format="gray").mean() - shade) < 20 for frame in pictures(room, record, track))


def green_in(room: Site, record: Path, track: str) -> bool:
    """Whether a track has pictures that are green all over."""
    colours = (frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0) for frame in pictures(room, record, track))
    return any(green - max(red, blue) > 80 for red, green, blue in colours)


def pictures(room: Site, record: Path, track: str) -> Iterator[av.VideoFrame]:
    """All pictures of a track."""
    for part in readback.parts(record, track, room.court.court_key, room.court.court):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", options=options) as file:
            yield from file.decode(video=0)
