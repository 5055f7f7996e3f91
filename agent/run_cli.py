"""``courtroom run``: the room's processes under one parent."""

import asyncio
import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.text import Text

from agent.supervisor import Program, Supervisor
from provisioning.room_file import ConfigError, load

_COLOURS = {"recorder": "green", "agent": "cyan", "delivery": "magenta", "vks": "yellow"}
MEDIA = {"PYTHONMALLOC": "malloc"}
"""As the units of what media passes through have it: these commands set it themselves, and are started a second time by that."""
COURTROOM = [sys.executable, "-m", "agent.cli"]


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")] = Path(
        "/etc/courtroom/room.toml"
    ),
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the sockets.", envvar="COURTROOM_RUN")] = Path("/run/courtroom"),
    state: Annotated[Path, typer.Option("--state", help="Directory of what the agent must remember.")] = Path("/var/lib/courtroom-agent"),
) -> None:
    """Run the room: recorder, agent, videoconference and delivery under one parent, each started again where it ends. Ctrl-C ends all.

    For a demonstration, a laptop or a test. An installed room has a systemd unit for each process (scripts/install-room).
    """
    try:
        room = load(config)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    places = ["--config", str(config), "--run", str(run_dir)]
    programs = [
        Program("recorder", [*COURTROOM, "recorder", "run", *places], MEDIA),
        Program("agent", [*COURTROOM, "agent", "run", *places, "--state", str(state)]),
    ]
    if room.vks is not None:
        programs.append(Program("vks", [*COURTROOM, "vks", "run", *places], MEDIA))
    if room.centre is not None:
        programs.append(Program("delivery", [*COURTROOM, "deliver", "--config", str(config), "--own-run", str(run_dir)]))

    asyncio.run(_run(programs, lines_to(sys.stdout)))


def lines_to(output: TextIO) -> Callable[[str, str], None]:
    """What writes a program's line to an output, in its colour where that is a terminal.

    Raises ``OSError`` where that cannot be written, and forgets the line. So rich only draws it: as the writer, it would end the process
    when a pipe's reader went away, and keep in memory all that a full disk does not take.
    """
    console = Console(file=io.StringIO(), force_terminal=output.isatty() or None)

    def told(name: str, line: str) -> None:
        with console.capture() as drawn:
            console.print(Text.assemble((f"{name:>8} ", _COLOURS[name]), line), soft_wrap=True)
        output.write(drawn.get())
        output.flush()

    return told


async def _run(programs: list[Program], told: Callable[[str, str], None]) -> None:
    supervisor = Supervisor(programs, told)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.end)
    await supervisor.run()
