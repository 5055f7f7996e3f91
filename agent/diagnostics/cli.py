"""``courtroom diagnose``: what stands between this room and its next hearing, and what to do about it."""

import asyncio
import contextlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.clock_quality import ClockWatch
from agent.diagnostics.check import Context
from agent.diagnostics.registry import CHECKS
from agent.diagnostics.report import Report
from agent.diagnostics.runner import HearingRunsError, run_checks
from agent.diagnostics.words import CHECK_NAMES, RESULT_NAMES, SUMMARY, detail, remedy
from agent.recorder_link import STALE_S, RecorderLink
from provisioning.room import Language, RoomConfig
from provisioning.room_file import ConfigError, load

_COLOURS = {"good": "green", "unknown": "blue", "warning": "yellow", "bad": "bold red"}
USAGE_STATUS, BUSY_STATUS = 3, 4


def diagnose(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")] = Path(
        "/etc/courtroom/room.toml"
    ),
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the recorder's sockets.", envvar="COURTROOM_RUN")] = Path(
        "/run/courtroom"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    language: Annotated[Language | None, typer.Option("--language", "-l", help="Of the words (default: the first of room.toml's).")] = None,
) -> None:
    """Check cameras, microphones, disks and clock, and say what to do about each thing that is wrong.

    Writes, syncs and reads back a file of 16 MiB on each disk, which no one ever sees. Never runs while a hearing is recorded. Run it as
    root or as the recorder's user.

    Exit status 0: ready. 1: a warning. 2: something is to be mended before the next hearing. 3: room.toml cannot be used. 4: a hearing is
    being recorded.
    """
    try:
        room = load(config)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE_STATUS) from None
    # What the link says of a recorder that is away stands in the report, in better words.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    words = language or room.hearings.languages[0]
    try:
        with _quiet(as_json):
            report = asyncio.run(_run(room, run_dir))
    except HearingRunsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BUSY_STATUS) from None
    if as_json:
        typer.echo(report.json(words).decode())
    else:
        _print(report, words)
    raise typer.Exit(report.exit_status)


def _quiet(as_json: bool) -> contextlib.AbstractContextManager[object]:
    """Something that moves on the terminal while it takes its seconds."""
    if as_json or not sys.stderr.isatty():
        return contextlib.nullcontext()
    return Console(stderr=True).status("checking cameras, microphones, disks and clock …")


async def _run(room: RoomConfig, run_dir: Path) -> Report:
    there = asyncio.Event()
    link = RecorderLink(run_dir, on_reachable=lambda on: there.set() if on else None)
    following = asyncio.create_task(link.run())
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STALE_S):
                await there.wait()
        context = Context(config=room, status=lambda: link.status if link.reachable else None, quality=ClockWatch().read)
        return await run_checks(CHECKS, context)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _print(report: Report, language: Language) -> None:
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for done in report.done:
        name = CHECK_NAMES.get(done.name, {}).get(language, done.name)
        for found in done.outcome.found:
            said = Text(detail(found.code, found.values, language))
            if what := remedy(found.code, found.values, language):
                said.append(f"\n→ {what}", "dim" if found.result == "good" else "")
            table.add_row(name, Text(RESULT_NAMES[found.result][language], _COLOURS[found.result]), said)
            name = ""
    console.print(table)
    console.print(Text(f"{report.room}: {SUMMARY[report.worst][language]}", _COLOURS[report.worst]))
