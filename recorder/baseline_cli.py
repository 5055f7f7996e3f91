"""``courtroom baseline``: what the empty room sounds and looks like, for the watch to judge by."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from recorder import readable
from recorder.readable import Choice, Copied, CopyError, Story


def baseline(
    record: Annotated[Path, typer.Argument(help="A record of the quiet room with all microphones open, a minute or longer.")],
    out: Annotated[Path, typer.Option("--out", "-o", help='File to write; name it in room.toml: [watch] baseline = "…".')],
    key: Annotated[Path | None, typer.Option(help="A recipient's private key (PEM); not needed for a record in the clear.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The recipient's certificate (default: beside the key, ending in .pem).")] = None,
) -> None:
    """Take the room's baseline from a record of it: each microphone's noise floor and level, each camera's brightness and sharpness.

    With a baseline the watch tells a dead microphone from a silent speaker. Record a quiet minute first (`courtroom recorder start …`).
    """
    console = Console()
    try:
        values = _measure(record, key, cert)
    except CopyError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    out.write_text(json.dumps({"record": record.name, "tracks": values}, indent=2) + "\n", encoding="utf-8")
    table = Table()
    for column in ("track", "measured"):
        table.add_column(column)
    for name, measured in sorted(values.items()):
        table.add_row(name, ", ".join(f"{what.replace('_', ' ')} {value:g}" for what, value in measured.items()))
    console.print(table)
    console.print(f'{out} written; in room.toml, under [watch]:  baseline = "{out.resolve()}"', highlight=False, markup=False)


def _measure(record: Path, key: Path | None, cert: Path | None) -> dict[str, dict[str, float]]:
    reader = readable.load_reader(key, cert) if key is not None else None
    story = readable.read_story(record)
    with tempfile.TemporaryDirectory(prefix="courtroom-baseline-") as directory:
        base = Path(directory)
        copied = readable.copy_media(record, base, story, Choice(max_level="secret"), reader, lambda _: None)
        plan = base / "plan.json"
        plan.write_text(json.dumps(_plan(story, copied)), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "recorder.children.measure", str(plan)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CopyError(f"the record cannot be measured: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    values: dict[str, dict[str, float]] = json.loads(done.stdout)
    return values


def _plan(story: Story, copied: Copied) -> dict[str, object]:
    return {
        track.name: {
            "kind": track.kind,
            "rate_hz": max(init.rate_hz for init in story.tracks[track.name].inits.values()),
            "pieces": [{"header": segment.header, "file": segment.file} for segment in copied.segments[track.name]],
        }
        for track in copied.tracks
        if not track.name.startswith("remote-") and track.name != "room-out"
    }
