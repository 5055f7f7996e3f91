"""``courtroom keys``: make keys for a demonstration, tests or a first installation."""

import os
import pwd
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from provisioning import keys

RECORDER_USER = "courtroom-recorder"
"""Made by systemd/courtroom.sysusers.conf."""

app = typer.Typer(
    no_args_is_help=True,
    help="Make the keys and certificates of a room.",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def group() -> None:
    """Make the keys and certificates of a room."""


@app.command()
def make(
    directory: Annotated[Path, typer.Argument(help="Where to put them; made if it does not exist. Nothing in it is overwritten.")],
    room: Annotated[str, typer.Option(help="The room's id, as in room.toml; it stands in the device's certificate.")],
) -> None:
    """Make a root authority, the room's signing key, the centre's receipt signer, the court's decryption key and a timestamp signer.

    The room needs device.key, device-chain.pem, court.pem and root.pem (laid in /etc/courtroom/roots.pem too where the directory is
    /etc/courtroom/keys: the delivery cannot look into that). Move root.key, issuing.key, centre.key, court.key and tsa.key off
    the room's PC at once: court.key reads every recording, root.key can vouch for any device.
    """
    try:
        files = keys.make(directory, room)
    except keys.KeysError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    recorder = _hand_over(files)
    typer.echo(f"# Made in {files.root.parent}. Lines for room.toml (centre_roots stands before the first [table]):\n")
    typer.echo(keys.stanzas(files))
    if recorder:
        Console(stderr=True).print(f"device.key and its directory belong to {recorder} now, who signs with it.", style="yellow")
    Console(stderr=True).print(
        "Move root.key, issuing.key, centre.key, court.key and tsa.key off this PC: the room needs none of them.", style="yellow"
    )


def _hand_over(files: keys.KeyFiles) -> str:
    """Where root makes the keys of a PC that has the recorder's user, that user gets the signing key; returns his name, or nothing."""
    if os.geteuid() != 0:
        return ""
    try:
        user = pwd.getpwnam(RECORDER_USER)
    except KeyError:
        return ""
    for path in (files.device_key.parent, files.device_key):
        os.chown(path, user.pw_uid, user.pw_gid)
    return RECORDER_USER
