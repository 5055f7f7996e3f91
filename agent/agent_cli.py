"""``courtroom agent``: run the agent of a room."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.main import AgentError, serve
from provisioning.room_file import ConfigError, load

app = typer.Typer(
    no_args_is_help=True,
    help="Run the agent, which decides when the room records, and speaks to the centre.",
    pretty_exceptions_enable=False,
)


@app.callback()
def agent() -> None:
    """Run the agent of a room."""


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")] = Path(
        "/etc/courtroom/room.toml"
    ),
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the recorder's sockets.", envvar="COURTROOM_RUN")] = Path(
        "/run/courtroom"
    ),
    own_run: Annotated[
        Path | None, typer.Option("--own-run", help="Directory for the agent's own socket (default: the recorder's).")
    ] = None,
    vks_run: Annotated[
        Path | None, typer.Option("--vks-run", help="Directory of the videoconference's socket (default: the recorder's).")
    ] = None,
    state: Annotated[Path, typer.Option("--state", help="Directory of what the agent must remember.")] = Path("/var/lib/courtroom-agent"),
) -> None:
    """Run the agent until it is told to end (SIGTERM, Ctrl-C).

    Follows the centre's schedule, asks the clerk to start, tells the centre what happened. Ending it ends no recording; started again it
    goes on where it was.
    """
    os.umask(0o077)
    try:
        room = load(config)
        asyncio.run(serve(room, run_dir, own_run or run_dir, vks_run or run_dir, state))
    except (ConfigError, AgentError) as error:
        Console(stderr=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
