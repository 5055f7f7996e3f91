"""``courtroom enrol``: get a room's keys certified by its centre."""

import asyncio
import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.upstream.enrolment import CENTRE_DIRECTORY, SIGNING_DIRECTORY, EnrolmentError, enrol_signing, enrol_transport
from agent.upstream.enrolment import enrol as enrol_room


def enrol(
    room: Annotated[str, typer.Argument(help="The room's id, as the centre knows it.")],
    centre: Annotated[str, typer.Option("--centre", help="The centre's address, https://NAME:PORT.")],
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="COURTROOM_TOKEN",
            help="What `courtroom centre token DIRECTORY ROOM` printed. Better as COURTROOM_TOKEN: other users can read it here.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Directory for keys and certificates; made if it is not there.",
            show_default=f"{CENTRE_DIRECTORY}, with --signing-only {SIGNING_DIRECTORY}",
        ),
    ] = None,
    transport_only: Annotated[
        bool, typer.Option("--transport-only", help="Keep all keys; get a new certificate for the connection, whose own expired.")
    ] = False,
    signing_only: Annotated[
        bool, typer.Option("--signing-only", help="Keep all keys; get a new certificate for the one that signs records, whose own ends.")
    ] = False,
) -> None:
    """Make this room's keys and have them certified by its centre.

    The keys never leave this PC. The token is good once, for a day; it says which centre is the right one, so that the secret in it is
    told to no other. Prints the lines for room.toml.

    Where the room is installed, run it as courtroom-agent, without --to. The key that signs records is then to be moved to the recorder,
    whose it is; the commands for that are printed too.

    A room that was away, or switched off, for so long that its certificate for the connection expired needs a new token, and
    --transport-only: nothing but that certificate is replaced, and the agent takes it up by itself.

    Before the certificate that signs records ends, the recorder raises the alarm certificate_ends. Then run it with a new token and
    --signing-only, as courtroom-recorder, who alone reads that key, and restart the recorder between two hearings.
    """
    if transport_only and signing_only:
        raise typer.BadParameter("one certificate for one token: name one of them", param_hint="--transport-only, --signing-only")
    try:
        if signing_only:
            certificate = asyncio.run(enrol_signing(centre, token, room, to or SIGNING_DIRECTORY, dt.datetime.now(dt.UTC)))
            typer.echo(
                f"The certificate that signs records is new, and good until {certificate.not_valid_after_utc:%Y-%m-%d}. The recorder takes "
                f"it up when it is restarted, between two hearings."
            )
            return
        to = to or CENTRE_DIRECTORY
        if transport_only:
            certificate = asyncio.run(enrol_transport(centre, token, room, to, dt.datetime.now(dt.UTC)))
            typer.echo(f"The connection's certificate is new, and good until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")
            return
        files = asyncio.run(enrol_room(centre, token, room, to))
    except EnrolmentError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    if not files.shared:
        typer.echo(files.stanzas(centre))
        return
    recorders = files.recorders(SIGNING_DIRECTORY)
    typer.echo(recorders.stanzas(centre))
    words = "The key that signs records is the recorder's. As root, before it starts:"
    Console(stderr=True, soft_wrap=True).print("\n  ".join([words, *files.moves(recorders)]), style="yellow", highlight=False, markup=False)
