"""``courtroom agent``: run the agent of a room."""

import asyncio
import datetime as dt
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from agent.desk import Said
from agent.desk_client import DEFAULT_RUN, ask
from agent.local_server import QUARANTINE
from agent.main import AgentError, serve
from agent.quarantine_desk import Quarantine, SendOrder
from provisioning.mending import WRONG_STATUS, load_or_wait

app = typer.Typer(
    no_args_is_help=True,
    help="Run the agent, which decides when the room records, and speaks to the centre; look after what the centre refused.",
    pretty_exceptions_enable=False,
)


Socket = Annotated[Path, typer.Option("--run", help="Directory of the agent's socket.", envvar="COURTROOM_RUN")]


@app.callback()
def agent() -> None:
    """Run the agent of a room, and look after what the centre refused."""


@app.command()
def quarantined(run: Socket = DEFAULT_RUN) -> None:
    """List the events that the centre refused and that are not sent any more: number, kind, time and the reason."""
    found = ask(run, QUARANTINE, None, Quarantine)
    console = Console(highlight=False, soft_wrap=True)
    if not found.events:
        console.print("No event is set aside.")
        return
    for one in found.events:
        when = dt.datetime.fromtimestamp(one.utc_us / 1e6, dt.UTC).astimezone()
        console.print(Text(f"{one.seq}  {one.type}  {when:%Y-%m-%d %H:%M:%S}\n    {one.reason or 'why was not kept'}"))
    if found.count > len(found.events):
        console.print(f"and {found.count - len(found.events)} more")


@app.command("send-quarantined")
def send_quarantined(run: Socket = DEFAULT_RUN) -> None:
    """Send them all once more, when the centre was mended: one that it refuses again is set aside again, under its new number."""
    said = ask(run, f"{QUARANTINE}/send", SendOrder(), Said)
    Console(highlight=False).print(Text(said.text, "green"))


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
    room = load_or_wait(config, _tell)
    if room is None:
        raise typer.Exit(WRONG_STATUS)
    try:
        asyncio.run(serve(room, run_dir, own_run or run_dir, vks_run or run_dir, state))
    except AgentError as error:
        _tell(str(error))
        raise typer.Exit(1) from None


def _tell(reason: str) -> None:
    Console(stderr=True).print(reason, style="red", highlight=False, markup=False)
