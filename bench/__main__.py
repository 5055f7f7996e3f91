"""``python -m bench``: all measurements, as ratios taken in one run; writes ``bench/results.json``."""

import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import fleet, fleet_nats, full_room, glass, hearing, links, recorder, upload, verify, viewers
from bench.result import Measurement, Result, machine

MEASUREMENTS: dict[str, Measurement] = {
    "raw-camera": recorder.raw_camera,
    "network-camera": recorder.network_camera,
    "full-room": full_room.full_room,
    "start": recorder.start_to_disk,
    "ready": recorder.ready,
    "memory": full_room.memory_over_an_hour,
    "verify": verify.measure,
    "fleet": fleet.rooms_on_one_centre,
    "fleet-nats": fleet_nats.rooms_over_nats,
    "upload": upload.upload,
    "viewers": viewers.viewers,
    "links": links.links,
    "glass": glass.glass,
    "hearing": hearing.twenty,
    "coming-and-going": hearing.coming_and_going,
}
RESULTS = Path(__file__).with_name("results.json")


def main(names: list[str]) -> int:
    """Run the named measurements (default: all), print the table, keep the results."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        sys.stderr.write(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}\n")
        return 2
    console = Console()
    results: list[Result] = []
    for name in names or list(MEASUREMENTS):
        console.print(f"measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="bench-") as base:
            results += MEASUREMENTS[name](Path(base))
    console.print(_table(results))
    rows = [row.row() for row in results]
    if names:
        measured = {row["name"] for row in rows}
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        rows = [row for row in kept if row["name"] not in measured] + rows
    RESULTS.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _table(results: list[Result]) -> Table:
    table = Table(title=machine())
    for column in ("what", "ours", "peer", "ratio", "goal", "input"):
        table.add_column(column)
    for result in results:
        reached = result.goal is None or result.ratio <= result.goal
        table.add_row(
            result.name,
            f"{result.ours:.3f} {result.unit}",
            f"{result.peer:.3f} ({result.peer_is})",
            f"[{'green' if reached else 'red'}]{result.ratio:.3f}[/]",
            "" if result.goal is None else f"≤ {result.goal:g}",
            result.source,
        )
    return table


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
