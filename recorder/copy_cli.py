"""``courtroom copy``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from recorder import copy_files, readable
from recorder.fragment_choice import summed
from recorder.readable import LEVELS, Choice, Copied, CopyError
from recorder.record.cli import session_time

FILM = "hearing.mp4"


def copy(
    record: Annotated[Path, typer.Argument(help="The record's directory.")],
    out: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")],
    key: Annotated[Path | None, typer.Option(help="A recipient's private key (PEM); not needed for a record in the clear.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The recipient's certificate (default: beside the key, ending in .pem).")] = None,
    track: Annotated[list[str] | None, typer.Option(help="Only this track (may be repeated).")] = None,
    from_s: Annotated[float, typer.Option("--from", min=0, help="From this second of the session on.")] = 0,
    to_s: Annotated[float | None, typer.Option("--to", min=0, help="Up to this second of the session.")] = None,
    max_level: Annotated[str, typer.Option(help="Highest level to copy: open, closed, secret. Identity is never copied.")] = "closed",
) -> None:
    """Make a readable copy of a record: playlists and media that any player opens, signed by whoever makes it, naming its source.

    What is of a higher level, by the journal or by the orders given since (`courtroom level`), is left out, and listed. An order that does
    not hold lets no copy be made.

    The record stays as it is. Media whose hash does not fit the journal is named and left out; then the exit status is 1.
    """
    console = Console()
    if max_level not in LEVELS[:-1]:
        raise typer.BadParameter(f"'{max_level}' is none of {', '.join(LEVELS[:-1])}")
    choice = Choice(
        tracks=frozenset(track or []),
        from_us=round(from_s * 1e6),
        to_us=None if to_s is None else round(to_s * 1e6),
        max_level=LEVELS[LEVELS.index(max_level)],
    )
    try:
        copied = _copy(console, record, out, key, cert, choice)
    except CopyError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    for line in copied.damaged:
        console.print(f"✗ {line}", style="red", highlight=False)
    for one in summed(copied.left_out):
        why = f"level {one.level}" if one.because == "level" else f"level {one.level}, not encrypted to this key"
        console.print(f"· left out: {one.track}, {session_time(one.from_us)} to {session_time(one.to_us)}, {why}", highlight=False)
    if copied.notes_left_out:
        console.print(f"· left out: {copied.notes_left_out} note(s) of a higher level", highlight=False)
    console.print(f"{out}: {len(copied.tracks)} tracks; open index.html, {FILM} or master.m3u8", highlight=False)
    raise typer.Exit(1 if copied.damaged else 0)


def _copy(console: Console, record: Path, out: Path, key: Path | None, cert: Path | None, choice: Choice) -> Copied:
    reader = readable.load_reader(key, cert) if key is not None else None
    story = readable.read_story(record)
    if out.exists():
        raise CopyError(f"{out} exists; a copy never overwrites anything: name another directory")
    out.mkdir(parents=True)
    with Progress("copying", BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("copy", total=readable.total_bytes(story))
        copied = readable.copy_media(record, out, story, choice, reader, lambda size: bar.advance(task, size))
    copy_files.choose_notes(story, choice, copied)
    copy_files.write_notes(out, story.notes)
    copy_files.write_master(out, copied)
    with console.status("making one file of it"):
        _film(out, copied)
    copy_files.write_page(out, story, copied)
    copy_files.sign(record, out, story, choice, reader, copied, sys.argv[1:])
    return copied


def _film(out: Path, copied: Copied) -> None:
    """One camera and the room mix as one file, made by a child: only children hold codecs."""
    cameras = [track.name for track in copied.tracks if track.kind == "video" and track.codecs.startswith("avc1")]
    sounds = [track.name for track in copied.tracks if track.kind == "audio"]
    sound = "room-mix" if "room-mix" in sounds else (sounds[0] if sounds else None)
    pieces = {
        "video": copied.segments.get(cameras[0], []) if cameras else [],
        "audio": copied.segments.get(sound, []) if sound else [],
    }
    copied.film_first_us = min([segment.t_us for found in pieces.values() for segment in found], default=0)
    plan = out / "film.json"
    plan.write_text(
        json.dumps({kind: [{"header": s.header, "file": s.file, "t_us": s.t_us} for s in found] for kind, found in pieces.items()}),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "recorder.children.film", str(plan), str(out / FILM)], capture_output=True, text=True, check=False
    )
    plan.unlink()
    if done.returncode != 0:
        raise CopyError(f"{FILM} could not be made: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}")
