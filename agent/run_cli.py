"""``courtroom run``: the room's processes under one parent."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

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
    console = Console()
    places = ["--config", str(config), "--run", str(run_dir)]
    programs = [
        Program("recorder", [*COURTROOM, "recorder", "run", *places], MEDIA),
        Program("agent", [*COURTROOM, "agent", "run", *places, "--state", str(state)]),
    ]
    if room.vks is not None:
        programs.append(Program("vks", [*COURTROOM, "vks", "run", *places], MEDIA))
    if room.centre is not None:
        programs.append(Program("delivery", [*COURTROOM, "deliver", "--config", str(config), "--own-run", str(run_dir)]))

    def told(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:>8} ", _COLOURS[name]), line), soft_wrap=True)

    asyncio.run(_run(programs, told))


async def _run(programs: list[Program], told: Callable[[str, str], None]) -> None:
    supervisor = Supervisor(programs, told)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.end)
    await supervisor.run()
