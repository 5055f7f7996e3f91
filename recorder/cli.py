"""``courtroom recorder``: run the recorder, and speak to one that runs."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, get_args

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from recorder.contract import control
from recorder.contract.client import ControlClient, ControlError
from recorder.live_view import status_view
from recorder.record.entries import Level, PausedState

if TYPE_CHECKING:
    from provisioning.room import RoomConfig

app = typer.Typer(
    no_args_is_help=True,
    help="Run the recorder, and start, pause, annotate and stop a session of the one that runs.",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)

RunDir = Annotated[Path, typer.Option("--run", help="Directory of the recorder's sockets.", envvar="COURTROOM_RUN", readable=False)]
"""Not looked at by the parser, whose words for a directory of others are no help; whoever connects is told what to do."""
Actor = Annotated[str, typer.Option("--by", help="Name of the person who asks for it; it stands in the record.")]
DEFAULT_RUN = Path("/run/courtroom")
MOST_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes, the last of which is zero."""


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")] = Path(
        "/etc/courtroom/room.toml"
    ),
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Run the recorder of a room until it is told to end (SIGTERM, Ctrl-C).

    A session that a crash or power cut broke off is recovered, and taken up again if it was open. Ending the recorder does not end a
    session: it is taken up at the next start. Only `courtroom recorder stop` ends and seals it.
    """
    from recorder.heap import leave_pymalloc  # noqa: PLC0415 - a client command needs neither configuration nor core

    leave_pymalloc()
    from provisioning.mending import WRONG_STATUS, load_or_wait  # noqa: PLC0415
    from recorder.logs import configure  # noqa: PLC0415
    from recorder.service import serve  # noqa: PLC0415

    configure()

    room = load_or_wait(config, _tell)
    if room is None:
        raise typer.Exit(WRONG_STATUS)
    too_long = _too_long(room, run_dir)
    if too_long:
        _fail(f"the path of the socket {too_long} is longer than {MOST_SOCKET_PATH_BYTES} bytes; name a shorter directory by --run")
    raise typer.Exit(asyncio.run(serve(room, config, run_dir)))


@app.command()
def start(
    hearing: Annotated[str, typer.Argument(help="The hearing's id in the case system, or any text where there is none.")],
    by: Actor,
    case: Annotated[str, typer.Option(help="Number of the case.")] = "",
    title: Annotated[str, typer.Option(help="What people call the hearing.")] = "",
    level: Annotated[str, typer.Option(help="Who may get copies: open, closed, secret or identity.")] = "open",
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Begin to record a session."""
    reply = _do(run_dir, control.Start(hearing=hearing, actor=by, case=case, title=title, level=_level(level)))
    typer.echo(reply.record)


@app.command()
def pause(
    state: Annotated[
        str, typer.Argument(help="off_record (the conference goes on), privileged or deliberation (nothing is heard at all).")
    ],
    by: Actor,
    reason: Annotated[str, typer.Option(help="Why; it stands in the record.")] = "",
    order: Annotated[str, typer.Option(help="Reference of the court's order.")] = "",
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Stop recording for a while, by a person's order."""
    known: tuple[PausedState, ...] = get_args(PausedState)
    if state not in known:
        raise typer.BadParameter(f"'{state}' is none of {', '.join(known)}")
    chosen: PausedState = known[known.index(state)]
    _do(run_dir, control.PauseRequest(state=chosen, actor=by, reason=reason, order=order))


@app.command()
def resume(by: Actor, run_dir: RunDir = DEFAULT_RUN) -> None:
    """Record again."""
    _do(run_dir, control.ResumeRequest(actor=by))


@app.command()
def note(text: Annotated[str, typer.Argument(help="The note.")], by: Actor, run_dir: RunDir = DEFAULT_RUN) -> None:
    """Write a note at this moment of the session."""
    _do(run_dir, control.AddNote(author=by, text=text.replace("\r\n", "\n")))


@app.command()
def level(
    to: Annotated[str, typer.Argument(help="open, closed, secret or identity.")],
    by: Actor,
    order: Annotated[str, typer.Option(help="Reference of the court's order.")] = "",
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Set who may get copies of what follows."""
    _do(run_dir, control.SetLevel(level=_level(to), actor=by, order=order))


@app.command()
def stop(by: Actor, reason: Annotated[str, typer.Option(help="Why.")] = "ended", run_dir: RunDir = DEFAULT_RUN) -> None:
    """End the session and seal its record; prints where it lies."""
    typer.echo(_do(run_dir, control.StopRequest(actor=by, reason=reason)).record)


@app.command()
def arm(
    switch: Annotated[str, typer.Argument(help="on: keep the last 10 s encrypted in memory for the next start; off: wipe them.")],
    by: Actor,
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Arm the pre-roll, or wipe it."""
    if switch not in {"on", "off"}:
        raise typer.BadParameter("on or off")
    _do(run_dir, control.ArmRequest(on=switch == "on", actor=by))


@app.command()
def keyframe(track: Annotated[str, typer.Argument(help="The track.")], run_dir: RunDir = DEFAULT_RUN) -> None:
    """Ask an encoder for a new group of pictures."""
    _do(run_dir, control.KeyframeRequest(track=track))


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it, with live levels.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    run_dir: RunDir = DEFAULT_RUN,
) -> None:
    """Show what the recorder does now."""
    console = Console()
    try:
        with ControlClient(run_dir) as client:
            if not watch:
                _show(console, client.status(), as_json=as_json)
                return
            states = client.statuses()
            if as_json:
                for state in states:
                    _show(console, state, as_json=True)
                return
            with Live(console=console, refresh_per_second=5, screen=console.is_terminal) as live:
                for state in states:
                    live.update(status_view(state))
    except (ControlError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        return


def _show(console: Console, state: control.Status, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(state).decode() + "\n")
        sys.stdout.flush()
    else:
        console.print(status_view(state))


def _do(run_dir: Path, request: control.Request) -> control.Reply:
    try:
        with ControlClient(run_dir) as client:
            reply = client.do(request)
    except UnicodeEncodeError as error:  # bytes of the command line that are no UTF-8 reach Python as halves of characters
        _fail(
            f"a text on the command line is not UTF-8, from its character {error.start + 1} on; type it anew, or set the terminal to UTF-8"
        )
    except (ControlError, OSError) as error:
        _fail(str(error))
    if not reply.ok:
        Console(stderr=True).print(reply.error, style="yellow", highlight=False, markup=False)
    return reply


def _fail(reason: str) -> NoReturn:
    _tell(reason)
    raise typer.Exit(1)


def _tell(reason: str) -> None:
    Console(stderr=True).print(reason, style="red", highlight=False, markup=False)


def _too_long(room: "RoomConfig", run_dir: Path) -> Path | None:
    """The first of the recorder's sockets whose path no unix socket can have."""
    from recorder.children_plan import expected_tracks, plans  # noqa: PLC0415 - as in run

    streams = [
        f"{track}.{'low' if kind == 'video' else 'pcm'}" for plan in plans(room, []) for track, kind in expected_tracks(plan).items()
    ]
    names = ["control", "ingest", "room-out", "bus/room-mix.pcm", *(f"bus/{stream}" for stream in streams)]
    sockets = [run_dir / f"{name}.sock" for name in names]
    return next((path for path in sockets if len(os.fsencode(path)) > MOST_SOCKET_PATH_BYTES), None)


def _level(text: str) -> Level:
    known: tuple[Literal["open", "closed", "secret", "identity"], ...] = get_args(Level)
    for one in known:
        if one == text:
            return one
    raise typer.BadParameter(f"'{text}' is none of {', '.join(known)}")
