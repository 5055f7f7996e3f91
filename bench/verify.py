"""Verifying a record against ``openssl dgst -sha256`` on the same files, both on one core.

The record is made here: four cameras at 4 Mbit/s and eight microphones at 300 kbit/s of random bytes, journaled, checkpointed and sealed by
the recorder's own code. Both read from the page cache.
"""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.result import Result
from provisioning.keys import build, write
from recorder.record import entries
from recorder.record.trust import Authorities, load_certificates
from recorder.record.verify import Outside, verify
from tests.record import record_builder
from tests.record.record_builder import Builder

RUNS = 3
CAMERAS, CAMERA_BYTES = 4, 250_000
MICROPHONES, MICROPHONE_BYTES = 8, 18_750
"""Bytes of half a second."""


def make(base: Path, size_bytes: int) -> tuple[Path, Path]:
    """Make a record of about this size; returns its directory and the root certificate."""
    keys = build("room-1", dt.datetime.now(dt.UTC))
    root = write(keys, base / "keys").root
    tracks: dict[str, tuple[entries.TrackKind, int]] = {f"cam-{n}": ("video", CAMERA_BYTES) for n in range(CAMERAS)}
    tracks |= {f"mic-{n}": ("audio", MICROPHONE_BYTES) for n in range(MICROPHONES)}
    pool = os.urandom(CAMERA_BYTES + 4096)
    builder = Builder(
        base / "records", keys, tracks=tracks, media=lambda track, n, size: pool[hash((track, n)) % 4096 :][:size], per_segment=120
    )
    round_bytes = CAMERAS * CAMERA_BYTES + MICROPHONES * MICROPHONE_BYTES
    builder.record(size_bytes / round_bytes * record_builder.FRAGMENT_US / 1e6)
    builder.close()
    return builder.root, root


def best(command: Sequence[str]) -> float:
    """The shortest wall time of some runs, in seconds."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def measure(base: Path) -> list[Result]:
    """Verify a record of 1 GiB with one core and with all, against openssl with one."""
    record, root = make(base, 2**30)
    files = sorted(str(path) for path in record.rglob("*") if path.is_file())
    one_core = ["taskset", "-c", "0"]
    theirs = best([*one_core, "openssl", "dgst", "-sha256", *files])
    command = [sys.executable, "-m", "agent.cli", "verify", str(record), "--ca", str(root)]
    inner = [sys.executable, "-m", "bench.verify", str(record), str(root)]
    bare = min(float(subprocess.run([*one_core, *inner], check=True, capture_output=True).stdout) for _ in range(RUNS))
    source, peer = "random bytes as media, from the page cache", "openssl dgst -sha256, one core"
    return [
        Result("verify a record, one core", bare, theirs, "s", peer, 1.0, source),
        Result(
            "verify a record, the whole command on one core", best([*one_core, *command, "--workers", "1"]), theirs, "s", peer, 1.0, source
        ),
        Result("verify a record, the whole command on all cores", best(command), theirs, "s", peer, 1.0, source),
    ]


def main(record: str, root: str) -> None:
    """Print how long verifying takes in a process that runs already, without Python's start."""
    began = time.perf_counter()
    verdict = verify(Path(record), Outside(authorities=Authorities(load_certificates(Path(root)))), workers=1)
    if verdict.level != "sealed":
        sys.exit(verdict.sentence())
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
