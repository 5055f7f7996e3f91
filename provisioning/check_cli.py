"""``courtroom check-config``: every mistake of a ``room.toml``, its place and its remedy."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from provisioning.room_file import Report, check


def check_config(
    file: Annotated[Path, typer.Argument(help="The room's configuration.")] = Path("/etc/courtroom/room.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check a room's configuration, and the files, keys and disks that it names.

    Prints every mistake at once, with its line and what to do. Exit status 0 where a hearing can be recorded as configured (warnings may
    remain), 1 where not.
    """
    report = check(file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "ok": report.ok, "problems": [asdict(problem) for problem in report.problems]}, indent=2))
    else:
        _print(report)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for problem in report.problems:
        style = "bold red" if problem.severity == "error" or not problem.where else "yellow"
        console.print(Text(f"{problem.severity}: ", style).append(problem.text(report.path), "default"))
    errors = sum(problem.severity == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    if report.ok and report.config:
        devices = f"{len(report.config.camera)} camera(s), {sum(len(mic.channels) for mic in report.config.microphone)} microphone(s)"
        console.print(Text(f"{report.path}: usable. {devices}; {warnings} warning(s).", "green"))
    else:
        console.print(Text(f"{report.path}: {errors} error(s), {warnings} warning(s).", "bold red"))
