"""``courtroom baseline``: what the empty room sounds and looks like, for the watch to judge by."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from recorder import readable
from recorder.baseline_file import write_baseline
from recorder.cli import DEFAULT_RUN
from recorder.contract.client import ControlClient, ControlError
from recorder.readable import Choice, Copied, CopyError, Story

_FLOOR_SHARE = 0.1
_NOT_OF_THE_ROOM = ("remote-", "room-out")


def baseline(
    out: Annotated[Path, typer.Option("--out", "-o", help='File to write; name it in room.toml: [watch] baseline = "…".')],
    record: Annotated[
        Path | None, typer.Argument(help="A record of the quiet room, a minute or longer (default: listen to the running recorder).")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="A recipient's private key (PEM); not needed for a record in the clear.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The recipient's certificate (default: beside the key, ending in .pem).")] = None,
    seconds: Annotated[int, typer.Option(min=5, help="How long to listen to the running recorder.")] = 60,
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the recorder's sockets.", envvar="COURTROOM_RUN")] = DEFAULT_RUN,
) -> None:
    """Take the room's baseline while it is quiet and all microphones are open: each microphone's noise floor and level.

    With a baseline the watch tells a dead microphone from a silent speaker. Without a record the recorder that runs is listened to: no
    session and no key is needed. From a record the cameras are measured too, their brightness and sharpness.
    """
    console = Console()
    if not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is no directory", param_hint="--out")
    try:
        values = listen(run_dir, seconds) if record is None else _measure(record, key, cert)
    except (CopyError, ControlError) as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    source = record.name if record is not None else "live"
    write_baseline(out, source, values)
    table = Table()
    for column in ("track", "measured"):
        table.add_column(column)
    for name, measured in sorted(values.items()):
        table.add_row(name, ", ".join(f"{what.replace('_', ' ')} {value:g}" for what, value in measured.items()))
    console.print(table)
    console.print(f'{out} written; in room.toml, under [watch]:  baseline = "{out.resolve()}"', highlight=False, markup=False)


def listen(run_dir: Path, seconds: int) -> dict[str, dict[str, float]]:
    """Each microphone's noise floor and level (dBFS) from the levels that the recorder tells while so many seconds pass.

    Raises:
        ControlError: no recorder runs there.
        CopyError: no microphone delivers.
    """
    levels: dict[str, list[float]] = {}
    began_s = time.monotonic()
    columns = (TextColumn("listening to the quiet room"), BarColumn(), TimeRemainingColumn())
    with ControlClient(run_dir) as client, Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("listen", total=seconds)
        for status in client.statuses():
            for channel in status.channels:
                if channel.live and channel.rms_dbfs is not None and not channel.track.startswith(_NOT_OF_THE_ROOM):
                    levels.setdefault(channel.track, []).append(channel.rms_dbfs)
            bar.update(task, completed=time.monotonic() - began_s)
            if time.monotonic() - began_s >= seconds:
                break
    if not levels:
        raise CopyError("no microphone delivers; see `courtroom recorder status`")
    return {track: floor_and_level(values) for track, values in levels.items()}


def floor_and_level(levels_dbfs: Sequence[float]) -> dict[str, float]:
    """The tenth and ninetieth percentile of a microphone's levels."""
    ordered = sorted(levels_dbfs)
    last = len(ordered) - 1
    return {
        "floor_dbfs": round(ordered[round(last * _FLOOR_SHARE)], 1),
        "level_dbfs": round(ordered[round(last * (1 - _FLOOR_SHARE))], 1),
    }


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
        if not track.name.startswith(_NOT_OF_THE_ROOM)
    }
