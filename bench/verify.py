"""Verifying a record against ``openssl dgst -sha256`` on the same files, both on one core. Usage: ``python -m bench.verify [--gib 1]``.

The record is made here: four cameras at 4 Mbit/s and eight microphones at 300 kbit/s of random bytes, journaled, checkpointed and sealed by
the recorder's own code. Both read from the page cache. Prints and returns wall-clock times and their ratio.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

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


def main() -> None:
    """Measure, print, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the record")
    parser.add_argument("--inner", nargs=3, metavar=("RECORD", "ROOT", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        record, root, workers = options.inner
        began = time.perf_counter()
        verdict = verify(Path(record), Outside(authorities=Authorities(load_certificates(Path(root)))), workers=int(workers))
        if verdict.level != "sealed":
            sys.exit(verdict.sentence())
        print(time.perf_counter() - began)
        return
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as directory:
        record, root = make(Path(directory), int(options.gib * 2**30))
        files = sorted(str(path) for path in record.rglob("*") if path.is_file())
        size = sum(Path(path).stat().st_size for path in files)
        one_core = ["taskset", "-c", "0"]
        theirs = best([*one_core, "openssl", "dgst", "-sha256", *files])
        ours = best([*one_core, sys.executable, "-m", "agent.cli", "verify", str(record), "--ca", str(root), "--workers", "1"])
        inner = [sys.executable, "-m", "bench.verify", "--inner", str(record), str(root)]
        bare = min(float(subprocess.run([*one_core, *inner, "1"], check=True, capture_output=True).stdout) for _ in range(RUNS))
        all_cores = min(float(subprocess.run([*inner, "0"], check=True, capture_output=True).stdout) for _ in range(RUNS))
    print(f"{size / 1e6:.0f} MB in {len(files)} files, one core: openssl {theirs:.2f} s, courtroom verify {ours:.2f} s")
    print(
        f"ratio {ours / theirs:.2f} for the command, {bare / theirs:.2f} without Python's start; {os.cpu_count()} cores {all_cores:.2f} s"
    )
    result = {
        "name": "verify", "ours": round(ours, 3), "peer": round(theirs, 3), "ratio": round(ours / theirs, 3), "unit": "s",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores", "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
