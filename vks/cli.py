"""``courtroom vks``: run the videoconference."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from provisioning.room import RoomConfig
    from provisioning.videoconference import Vks

app = typer.Typer(
    no_args_is_help=True,
    help="Run the videoconference of a room: participants join its hearings by browser and phone.",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def main() -> None:
    """Run the videoconference of a room: participants join its hearings by browser and phone."""


ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")]
CONFIG = Path("/etc/courtroom/room.toml")
NO_VKS_STATUS = 3
"""The room has no videoconference, and shall have none: its unit (systemd/courtroom-vks.service) rests then. A configuration that is wrong
ends with 2."""
KIOSK = (
    "chromium", "--kiosk", "--no-first-run", "--noerrdialogs", "--disable-session-crashed-bubble", "--enable-auto-reload",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
"""A browser without anything around the page, which opens it again by itself where it was not there yet."""


@app.command()
def run(
    config: ConfigOption = CONFIG,
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the recorder's sockets.", envvar="COURTROOM_RUN")] = Path(
        "/run/courtroom"
    ),
    own_run: Annotated[Path | None, typer.Option("--own-run", help="Directory for its own socket (default: the recorder's).")] = None,
) -> None:
    """Serve participants until told to end (SIGTERM, Ctrl-C).

    Which hearing is held, who may come to it and what the clerk says comes from the agent. `[vks]` of room.toml says where browsers in the
    court's own network reach it. Exit status 3: there is no `[vks]`. 2: room.toml is wrong, or a socket or port that it or an option names
    cannot be opened.
    """
    room, own = _load(config)
    from recorder.heap import keep_large_out, leave_pymalloc, share_heap  # noqa: PLC0415 - the command's help needs none of these

    leave_pymalloc()
    share_heap()
    keep_large_out()
    from vks import ports  # noqa: PLC0415
    from vks.service import Settings, serve  # noqa: PLC0415

    shown = [camera for camera in room.camera[:1] if camera.low_rung]
    settings = Settings(
        run_dir=run_dir, own_run_dir=own_run or run_dir, cameras=[f"{camera.id}.{rung}" for camera in shown for rung in ("low", "small")],
        tracks=room.ingest.max_tracks, echo=own.echo == "cancel" and room.speaker is not None,
        address=own.address, port=own.port,
        certificate=Path(own.certificate) if own.certificate else None, key=Path(own.key) if own.key else None,
        display_port=0 if own.is_on_this_pc_alone else own.display_port, roots=roots_of(own),
    )  # fmt: skip
    raise typer.Exit(ports.run(serve(settings), own.port_range if own.ports else None))


@app.command()
def display(config: ConfigOption = CONFIG) -> None:
    """Print where a screen of the courtroom is opened on this PC, and how."""
    _, own = _load(config)
    if not own.display_url:
        port = "port" if own.is_on_this_pc_alone else "display_port"
        typer.echo(f"{config}: [vks] has {port} = 0: the courtroom has no screen of its own", err=True)
        raise typer.Exit(2)
    typer.echo(own.display_url)
    typer.echo(" ".join((*KIOSK, own.display_url)))


def roots_of(own: "Vks") -> "list[Certificate]":
    """The authorities that vouch for persons. Without them the clerk still does, by the code: no reason to keep participants out."""
    from recorder.record.trust import TrustError, load_certificates  # noqa: PLC0415 - the command's help needs none

    if own.vouching is None:
        return []
    try:
        return load_certificates(Path(own.vouching.ca))
    except (OSError, TrustError) as error:
        typer.echo(f"[vks.vouching] ca: no signature vouches for anybody, for {own.vouching.ca} cannot be used: {error}", err=True)
        return []


def _load(config: Path) -> "tuple[RoomConfig, Vks]":
    """The room's configuration, and its videoconference."""
    from provisioning.mending import WRONG_STATUS, load_or_wait  # noqa: PLC0415 - the command's help needs no configuration

    room = load_or_wait(config, partial(typer.echo, err=True))
    if room is None:
        raise typer.Exit(WRONG_STATUS)
    if room.vks is None:
        typer.echo(f"{config}: there is no [vks] table: this room has no videoconference; see docs/technician.md", err=True)
        raise typer.Exit(NO_VKS_STATUS)
    return room, room.vks
