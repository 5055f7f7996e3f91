"""``courtroom centre``: make, run and steer a reference centre."""

import asyncio
import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from agent.upstream import contract, transfer
from agent.upstream.centre import admin
from agent.upstream.centre.callers import CERTIFIED
from agent.upstream.centre.page_words import NO_ROOM
from agent.upstream.centre.service import serve
from agent.upstream.centre.settings import CentreHome, SettingsError, new_settings
from agent.upstream.plain_words import plain

app = typer.Typer(
    no_args_is_help=True,
    help="Make and run a reference centre: for a demonstration, tests, a pilot or a small court.",
    pretty_exceptions_enable=False,
)

Directory = Annotated[Path, typer.Argument(help="The centre's directory.", envvar="COURTROOM_CENTRE")]


@app.command()
def init(
    directory: Directory,
    name: Annotated[str, typer.Option(help="What it is called; it stands in its certificates.")] = "Reference centre",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one at each start.")] = 8443,
    names: Annotated[
        list[str] | None, typer.Option("--reached-by", help="A name or address by which rooms reach it; again for more.")
    ] = None,
) -> None:
    """Make a centre: its authority, keys and configuration."""
    if host in {"0.0.0.0", "::"} and not names:  # noqa: S104 - compared, not bound
        _fail(f"{host} is no address by which rooms reach it, and its certificate is for those: name each with --reached-by")
    reached = names or ([host] if host != "127.0.0.1" else ["127.0.0.1", "localhost"])
    home = CentreHome(directory)
    try:
        home.make(new_settings(name=name, host=host, port=port, names=reached), dt.datetime.now(dt.UTC))
    except SettingsError as error:
        _fail(str(error))
    typer.echo(
        f"{home.root} is made. Next:\n"
        f"  courtroom centre run {directory}           # as its own user; see docs/centre.md\n"
        f"  courtroom centre token {directory} ROOM    # for each room, the line to run there\n"
        "Take root.key away from this machine, into a safe: `courtroom centre renew DIRECTORY notary` (every two years) and the root's\n"
        "list of what was revoked (`courtroom centre revocations`, every year) need it, by --root-key."
    )


@app.command()
def run(
    directory: Directory,
    page: Annotated[
        str, typer.Option(help="Show the page of all rooms at this loopback place too, to whoever sits at this machine: 127.0.0.1:8080.")
    ] = "",
) -> None:
    """Run the centre until it is told to end (SIGTERM, Ctrl-C).

    The page of all rooms is at /rooms for holders of the Situation Centre's certificate (`courtroom centre certificate`).
    """
    os.umask(0o077)
    try:
        asyncio.run(serve(CentreHome(directory), page))
    except SettingsError as error:
        _fail(str(error))


@app.command()
def token(directory: Directory, room: Annotated[str, typer.Argument(help="The room's id.")]) -> None:
    """Make a token with which a room is enrolled, once and within a day. Prints the line to run there, as root.

    The token stands in the environment: what stands behind a command every user of the room's PC can read while it runs.
    """
    told = _ask(directory, admin.MakeToken(room=room))
    typer.echo(f"COURTROOM_TOKEN={told['token']} runuser -u courtroom-agent -- courtroom enrol {room} --centre {told['url']}")


@app.command()
def revoke(directory: Directory, name: Annotated[str, typer.Argument(help="The room or the role.")]) -> None:
    """Deny all certificates of a room or a role from now on.

    Prints both lists of what was revoked, as `courtroom centre revocations` does: lay them where whoever verifies records, and rooms before
    they delete one, read them. Where the root has no list in force, that is said, and all is denied all the same.
    """
    told = _ask(directory, admin.Revoke(name=name))
    denied = len(told["serials"])
    typer.echo(
        f"{denied} certificate{'' if denied == 1 else 's'} of {name} denied here from now on; for others lay out these lists:", err=True
    )
    sys.stdout.write(told["crl"])
    try:
        sys.stdout.write(CentreHome(directory).root_list(dt.datetime.now(dt.UTC)))
    except SettingsError as error:
        _fail(f"the root's list is missing above: {error}. `courtroom centre revocations` prints both")


@app.command()
def forget(directory: Directory, room: Annotated[str, typer.Argument(help="The room's id.")]) -> None:
    """List a room no longer: one whose name was mistyped, or a courtroom that is no more.

    What it told stays: events, receipts, records. Its certificates stay good (`courtroom centre revoke` denies them), and it is listed
    again when it is heard, when a token is made for it, or when a hearing names it. A room that is there is not forgotten, nor one in
    which hearings are planned.
    """
    _ask(directory, admin.Forget(room=room))
    typer.echo(f"{room} is listed no longer.")


@app.command()
def revocations(
    directory: Directory,
    root_key: Annotated[
        Path | None, typer.Option(help="The root's key, where it is kept elsewhere: its list is made anew and kept for a year.")
    ] = None,
) -> None:
    """Print the lists of what was revoked, that of the issuing authority and that of the root, as rooms and `courtroom verify` read them.

    The first is to be fetched again within a week.
    """
    try:
        of_root = CentreHome(directory).root_list(dt.datetime.now(dt.UTC), root_key)
    except SettingsError as error:
        _fail(str(error))
    sys.stdout.write(_ask(directory, admin.Revocations())["crl"] + of_root)


@app.command()
def renew(
    directory: Directory,
    what: Annotated[
        Literal["server", "notary"], typer.Argument(help="server: for TLS, good for a year; notary: signs receipts and acknowledgements.")
    ],
    root_key: Annotated[Path | None, typer.Option(help="The root's key, where it is kept elsewhere; the notary's needs it.")] = None,
) -> None:
    """Make one of the centre's own certificates anew, for the same key: the centre takes it up when it is started again."""
    try:
        until = CentreHome(directory).renew(what, dt.datetime.now(dt.UTC), root_key)
    except SettingsError as error:
        _fail(str(error))
    typer.echo(f"{what}.pem is good until {until:%Y-%m-%d}. Start the centre again; another front of it needs this file too")


@app.command()
def certificate(
    directory: Directory,
    role: Annotated[str, typer.Argument(help=f"One of {', '.join(CERTIFIED)}.")],
    to: Annotated[Path, typer.Option(help="Directory for the key and the certificate.")] = Path(),
) -> None:
    """Make the key and the certificate of a case system, the Situation Centre, a custodian or an archive station."""
    for path in _ask(directory, admin.MakeRole(role=role, to=str(to.resolve())))["files"]:
        typer.echo(path)


@app.command()
def schedule(
    directory: Directory, file: Annotated[Path, typer.Argument(help='JSON: {"hearings": [...]} as in docs/openapi.yaml.')]
) -> None:
    """Take hearings from a file: new ones, changed, moved or cancelled ones."""
    try:
        put = msgspec.json.decode(file.read_bytes(), type=transfer.HearingsPut)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        _fail(f"{file}: {_where(file, error)}")
    told = _ask(directory, admin.PutSchedule(hearings=put.hearings))
    typer.echo(f"{told['changed']} of {len(put.hearings)} hearings were new or changed; the schedule is at {told['offset']}")
    if told["unheard"]:
        typer.echo(f"No room of this name ever came: {', '.join(told['unheard'])}. Is it spelt right, and enrolled?", err=True)


@app.command()
def command(
    directory: Directory,
    room: Annotated[str, typer.Argument(help="The room.")],
    what: Annotated[str, typer.Argument(help='The command as JSON, for example {"do":"diagnostics","number":0}.')],
) -> None:
    """Give a room a command."""
    try:
        wanted = msgspec.json.decode(what, type=contract.AnyCommand)
    except msgspec.DecodeError as error:
        _fail(f"no command: {plain(str(error))}")
    typer.echo(f"command {_ask(directory, admin.Give(room=room, command=wanted))['number']}")


@app.command("look-in")
def look_in(
    directory: Directory,
    room: Annotated[str, typer.Argument(help="The room.")],
    person: Annotated[str, typer.Option(help="Who looks in; the courtroom reads this name.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the record.")],
    minutes: Annotated[int, typer.Option(min=1, max=60, help="For so long at most.")] = 15,
) -> None:
    """Let a named person see and hear an open hearing, and print the link: it opens in one browser, and this is the only time it is shown.

    The room shows who looks in, and ends it at its will. `courtroom centre events` has the room's answer: began, refused and why, ended.
    """
    told = _ask(directory, admin.LookInto(room=room, person=person, reason=reason, length_s=60 * minutes))
    typer.echo(f"{told['lookin']}:", err=True)
    typer.echo(told["link"])


@app.command("end-look-in")
def end_look_in(
    directory: Directory,
    room: Annotated[str, typer.Argument(help="The room.")],
    look_in: Annotated[str, typer.Argument(help="Which, as `courtroom centre look-in` named it.")],
) -> None:
    """End a look-in before its time."""
    _ask(directory, admin.Give(room=room, command=contract.EndLookIn(number=0, lookin=look_in)))


@app.command()
def ledger(directory: Directory, after: Annotated[int, typer.Option(help="Only receipts behind this counter.")] = 0) -> None:
    """Print the receipts, as `courtroom verify --ledger` reads them."""
    while receipts := _ask(directory, admin.Export(after=after))["receipts"]:
        for receipt in receipts:
            sys.stdout.write(msgspec.json.encode(receipt, order="sorted").decode() + "\n")
        after = receipts[-1]["counter"]


@app.command()
def events(directory: Directory, after: Annotated[int, typer.Option(help="Only events behind this number.")] = 0) -> None:
    """Print the rooms' events as JSON lines, in the order in which the centre took them."""
    while taken := _ask(directory, admin.Events(after=after))["events"]:
        for event in taken:
            sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
        after = taken[-1]["number"]


@app.command()
def rooms(directory: Directory, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show how every room is."""
    told = _ask(directory, admin.Rooms())
    states = msgspec.convert(told["rooms"], list[contract.RoomState])
    if told["no_room"]:
        Console(stderr=True, soft_wrap=True).print(
            f"{NO_ROOM['en']} Its directory: {directory / 'records'}", style="bold red", highlight=False
        )
    if as_json:
        sys.stdout.write(msgspec.json.encode(states).decode() + "\n")
        return
    table = Table("room", "state", "hearing", "heard", "alarms", "wrong")
    for state in states:
        beat = state.heartbeat
        heard = (
            "never" if state.heard_utc_us is None else f"{dt.datetime.fromtimestamp(state.heard_utc_us / 1e6, dt.UTC):%Y-%m-%d %H:%M:%S}"
        )
        table.add_row(
            state.room, beat.state if beat else "", beat.hearing if beat else "", heard, ", ".join(beat.alarms) if beat else "",
            ", ".join(state.flags),
        )  # fmt: skip
    Console().print(table)


def _where(file: Path, error: Exception) -> str:
    """What is wrong with a file of hearings: of one that is no JSON the line and column, which msgspec does not say."""
    if isinstance(error, OSError):
        return str(error.strerror or error)
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as found:
        return f'line {found.lineno}, column {found.colno}: this is no JSON ({found.msg}). Mend it there: {{"hearings": [...]}} is wanted'
    except (OSError, UnicodeDecodeError, RecursionError):
        return f"{error}. Save it as JSON in UTF-8"
    return f"{plain(str(error))}. The fields are those of Hearing in docs/openapi.yaml; none of the file was taken"


def _ask(directory: Path, wanted: admin.AnyAsk) -> dict[str, Any]:
    try:
        return admin.ask(CentreHome(directory).socket, wanted)
    except admin.AdminError as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    Console(stderr=True).print(reason, style="red", highlight=False, markup=False)
    raise typer.Exit(1)
