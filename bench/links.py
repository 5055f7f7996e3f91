"""What a participant behind a bad link hears and sees, and how he is heard: our conference against stock aiortc on the same link.

A courtroom with a 720p test pattern and speech; Chromium as the participant, who sends speech and his camera as the join page would. Each
link is taken twice from each, and the quieter run counts: other work on the machine looks like a bad link.
"""

import io
import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from bench.bad_link import Link, bad_link
from bench.link_room import CAMERA, PERSON
from bench.result import Result
from bench.speech import blocks, speech, understood
from tests.lab import readback
from tests.lab.room import Room, room
from tests.vks.spoken import Samples
from vks.mixing import RATE_HZ

LINKS = (Link(loss_percent=5), Link(kbps=900), Link(kbps=450), Link(kbps=250))
ROUNDS = 2
GOAL_KBPS, GOAL_CONCEALED, GOAL_UNDERSTOOD = 250, 0.03, 0.75
"""On so slow a link speech is to be whole and understood all the same."""
FIRST_S = 6
"""The first seconds of what the room hears are left out: the browser is connecting."""
_RUN_S, _END_S = 120.0, 20.0
_DEVICES = f"""
[[camera]]
id = "{CAMERA}"
driver = "test-pattern"
width = 1280
height = 720

[[microphone]]
id = "mic"
driver = "test-tone"
channels = [ {{ id = "judge", number = 1 }} ]
"""
Who = Literal["ours", "stock"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one run."""

    counted: dict[str, Any]
    """By the browser (``link_page.html``)."""
    understood: float
    """STOI of what the participant hears."""
    heard: float
    """STOI of what the room hears of him."""
    recorded: float
    """STOI of what the record has of him; 0 of stock aiortc, which records nothing."""

    @property
    def concealed(self) -> float:
        """The share of the sound that the browser made up."""
        samples = self.counted["samples"]
        return self.counted["concealed"] / samples if samples else 1.0

    @property
    def stalled_s(self) -> float:
        """For how long no new picture came, each time longer than half a second."""
        return float(self.counted["stalledMs"]) / 1_000


def links(base: Path) -> list[Result]:
    """Four bad links."""
    period = speech(base)
    results: list[Result] = []
    for link in LINKS:
        runs: dict[Who, list[Seen]] = {"ours": [], "stock": []}
        for number in range(ROUNDS):
            for who, seen in runs.items():
                seen.append(measured(base / f"{link.kbps}-{link.loss_percent}-{who}-{number}", link, who, period))
        ours, stock = (min(seen, key=lambda one: (one.concealed, one.stalled_s)) for seen in runs.values())
        results += _results(link, ours, stock)
    return results


def measured(base: Path, link: Link, who: Who, period: Samples) -> Seen:
    """One run: a courtroom, a link, a browser behind it."""
    base.mkdir()
    pcm, wav, door, heard, room_heard = (base / name for name in ("speech.pcm", "speech.wav", "door", "heard.f32", "room.pcm"))
    pcm.write_bytes(b"".join(blocks(period)))
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.read_bytes())
    with room(base / "room", _DEVICES, extra="[ingest]\nenabled = true\n[vks]\n") as it, bad_link(link) as between:
        it.wait_live()
        it.begin()
        end = [sys.executable, "-m", "bench.link_room", who, str(it.run_dir), str(pcm), str(door), str(room_heard)]
        with running(between.command("room", *end)):
            far = [sys.executable, "-m", "bench.link_viewer", str(door), str(heard), str(wav)]
            said = subprocess.run(between.command("viewer", *far), stdout=subprocess.PIPE, text=True, timeout=_RUN_S, check=True)
        record = it.stop()
        recorded = _recorded(it, record)
    return Seen(
        counted=json.loads(said.stdout),
        understood=understood(period, np.frombuffer(heard.read_bytes(), np.float32).astype(np.float64)),
        heard=understood(period, np.frombuffer(room_heard.read_bytes(), np.int16)[FIRST_S * RATE_HZ :].astype(np.float64)),
        recorded=understood(period, recorded[FIRST_S * RATE_HZ :]),
    )


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """The room's end, until the block ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as end:
        try:
            if end.stdout is None or not end.stdout.readline():
                raise RuntimeError("the room's end did not start")
            yield
            end.communicate(timeout=_END_S)  # what it waits for is closed
        finally:
            end.kill()


def _recorded(it: Room, record: Path) -> Samples:
    """The participant's sound in the record, each packet at its time; silence where none came."""
    found = np.zeros(0)
    for part in readback.parts(record, f"remote-{PERSON}-audio", it.keys.court_key, it.keys.court):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", format="mp4", options=options) as container:
            for frame in container.decode(container.streams.audio[0]):
                if frame.pts is not None and frame.time_base is not None:
                    block = frame.to_ndarray()[0].astype(np.float64)
                    at = round(frame.pts * frame.time_base * RATE_HZ)
                    found = np.append(found, np.zeros(max(0, at + block.size - found.size)))
                    found[at : at + block.size] = block
    return found


def _results(link: Link, ours: Seen, stock: Seen) -> list[Result]:
    source = "720p25 test pattern, espeak-ng, Chromium; same link both ways"
    rows = (
        ("seconds of 30 without a new picture", ours.stalled_s, stock.stalled_s, "s"),
        ("sound made up", ours.concealed, stock.concealed, "of the samples"),
        ("speech not understood (1 - STOI)", 1 - ours.understood, 1 - stock.understood, ""),
        ("his own speech not understood in the room", 1 - ours.heard, 1 - stock.heard, ""),
        ("connections lost", float(not ours.counted["survived"]), float(not stock.counted["survived"]), "of one"),
    )
    found = [Result(f"{link.name}: {name}", our, peer, unit, "stock aiortc", source=source) for name, our, peer, unit in rows]
    found.append(
        Result(
            f"{link.name}: his own speech not understood in the record", 1 - ours.recorded, 1 - ours.heard, "", "what the room heard",
            source=source,
        )
    )  # fmt: skip
    if link.kbps == GOAL_KBPS:
        made_up, missed = f"{GOAL_CONCEALED:.0%}", f"STOI {GOAL_UNDERSTOOD}"
        found += [
            Result(f"{link.name}: sound made up, to reach", ours.concealed, GOAL_CONCEALED, "of the samples", made_up, 1.0, source),
            Result(f"{link.name}: speech not understood, to reach", 1 - ours.understood, 1 - GOAL_UNDERSTOOD, "", missed, 1.0, source),
        ]
    return found
