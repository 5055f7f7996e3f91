"""``courtroom hearing``: the clerk's orders to the agent of this room, by its unix socket."""

import datetime as dt
import zoneinfo
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent import desk
from agent.desk_client import DEFAULT_RUN, ask
from agent.hearing import RECONCILED, RUNNING
from recorder.record.entries import PausedState

_COLOURS = {"open": "bold green", "planned": "cyan", "ready": "cyan", "failed": "bold red", "not_held": "yellow", "cancelled": "dim"}

By = Annotated[str, typer.Option("--by", help="Your name: it stands in the signed record.", envvar="COURTROOM_ACTOR", show_default=False)]
Run = Annotated[Path, typer.Option("--run", help="Directory of the agent's socket.", envvar="COURTROOM_RUN")]
HearingId = Annotated[str, typer.Argument(help="The hearing's id, as `courtroom hearing list` prints it.", show_default=False)]
Case = Annotated[str, typer.Option(help="The case's number.")]
WhichSession = Annotated[
    str, typer.Option("--session", help="Which session: its id, or as much of it as no other has; left out: the running one.")
]
NotPlanned = Annotated[bool, typer.Option("--not-planned", help="The id is right, though the room's schedule does not have it.")]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def hearing() -> None:
    """Give this room's agent the clerk's orders: begin, pause and end hearings, bind sessions to their hearings.

    A day:  courtroom hearing list  ·  courtroom hearing start 2026-17 --by "A. Clerk"  ·  courtroom hearing stop --by "A. Clerk"

    A hearing that nobody planned:  courtroom hearing start --by "A. Clerk", and later courtroom hearing bind 2026-18 --session SESSION

    An id that the room's schedule does not have is refused, for it may be mistyped; --not-planned says that it is right.

    Only root and the users whom room.toml names as clerks may. Exit status 1: the order is refused. 2: the agent does not answer.
    """


@app.command("list")
def list_(
    run: Run = DEFAULT_RUN, everything: Annotated[bool, typer.Option("--all", help="Also what is over and reconciled.")] = False
) -> None:
    """The hearings of today and later, those of before that are not reconciled, and sessions of no planned hearing."""
    state = ask(run, "/state", None, desk.DeskState)
    if not state.hearings and not state.others:
        Console().print("No hearing is planned here. An unplanned one begins with `courtroom hearing start --by NAME`.")
        return
    zone = zoneinfo.ZoneInfo(state.timezone)
    table = Table()
    for column in ("hearing", "planned", "case", "judge", "state", "session"):
        # An id that is cut off cannot be given to another command.
        table.add_column(column, overflow="fold")
    midnight_us = _midnight_us(state.utc_us, zone)
    hearings = [one for one in state.hearings if everything or one.ends_utc_us >= midnight_us or one.state not in RECONCILED]
    others = [one for one in state.others if everything or not one.hearing or one.began_utc_us >= midnight_us or one.state in RUNNING]
    for one in hearings:
        planned = f"{_at(one.starts_utc_us, zone):%Y-%m-%d %H:%M}-{_at(one.ends_utc_us, zone):%H:%M}"
        state_text = Text(one.state, _COLOURS.get(one.state, ""))
        table.add_row(Text(one.id), planned, Text(one.case or one.title), Text(one.judge), state_text, Text(one.session))
    for other in others:
        began = f"began {_at(other.began_utc_us, zone):%Y-%m-%d %H:%M}"
        state_text = Text(other.state, _COLOURS.get(other.state, ""))
        table.add_row(Text(other.hearing or "(not bound yet)"), began, Text(other.case), "", state_text, Text(other.session))
    Console().print(table)
    left_out = len(state.hearings) + len(state.others) - len(hearings) - len(others)
    if left_out:
        Console(highlight=False).print(f"{left_out} of before today are left out; `courtroom hearing list --all` shows them.")


@app.command()
def status(
    run: Run = DEFAULT_RUN,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What the room does now, and what it asks of you."""
    state = ask(run, "/state", None, desk.DeskState)
    if as_json:
        typer.echo(msgspec.json.encode(state).decode())
        return
    console = Console(highlight=False, soft_wrap=True)  # what is to be typed is not torn apart
    lasted = f", {dt.timedelta(seconds=state.t_us // 1_000_000)}" if state.session else ""
    console.print(Text(f"{state.room}: ").append(state.recorder, _COLOURS.get(state.recorder, "")).append(lasted))
    if state.session:
        console.print(Text(f"session {state.session}, hearing {state.hearing or '(not bound yet)'}"))
    centre = {None: "the room works alone", True: "the centre is reached", False: "the centre is away; everything is told to it later"}
    refused = f"the centre refuses this room ({state.centre_refuses}): ask the centre's people; what it must know waits here"
    console.print(Text(refused, "bold red") if state.centre_refuses else Text(centre[state.centre_reached]))
    if state.sending is not None:
        console.print(Text(f"record {state.sending.record} goes to the archive: {state.sending.percent} % of it is there"))
    for prompt in state.prompts:
        words = next((prompt.words[one] for one in state.languages if one in prompt.words), prompt.code)
        until = (
            f" (until {_at(prompt.until_utc_us, zoneinfo.ZoneInfo(state.timezone)):%H:%M:%S})" if prompt.until_utc_us is not None else ""
        )
        console.print(Text(f"? {words}{until}", "yellow"))
        if prompt.asks:
            console.print(Text(f"    courtroom hearing answer {prompt.id} yes|no --by NAME"))
        elif prompt.command:
            console.print(Text(f"    {prompt.command}"))
    for alarm in state.alarms:
        console.print(Text(f"! {alarm}", "bold red"))


@app.command()
def start(
    by: By,
    hearing_id: Annotated[str | None, typer.Argument(help="The hearing's id; left out: one that nobody planned.")] = None,
    case: Case = "",
    not_planned: NotPlanned = False,
    run: Run = DEFAULT_RUN,
) -> None:
    """Begin to record, at once."""
    _order(run, "/start", desk.StartOrder(actor=by, hearing=hearing_id, case=case, not_planned=not_planned))


@app.command()
def stop(by: By, reason: Annotated[str, typer.Option(help="Why it ends.")] = "ended", run: Run = DEFAULT_RUN) -> None:
    """End the session and seal its record; waits for the seal."""
    _order(run, "/stop", desk.StopOrder(actor=by, reason=reason))


@app.command()
def pause(
    state: Annotated[
        PausedState,
        typer.Argument(help="off_record: the record alone stops; privileged, deliberation: every sample is dropped at the device."),
    ],
    by: By,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    order: Annotated[str, typer.Option(help="The court's order, where there is one.")] = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Stop recording until somebody resumes; the record says for how long and why."""
    _order(run, "/pause", desk.PauseOrder(actor=by, state=state, reason=reason, order=order))


@app.command()
def resume(by: By, run: Run = DEFAULT_RUN) -> None:
    """Record again."""
    _order(run, "/resume", desk.ResumeOrder(actor=by))


@app.command()
def note(text: Annotated[str, typer.Argument(help="What is to be noted.")], by: By, run: Run = DEFAULT_RUN) -> None:
    """Put a note into the record, at this moment."""
    _order(run, "/note", desk.NoteOrder(actor=by, text=text.replace("\r\n", "\n")))


@app.command()
def bind(
    hearing_id: HearingId,
    by: By,
    session: WhichSession = "",
    case: Case = "",
    reason: Annotated[str, typer.Option(help="Why, where it was bound to another one.")] = "",
    not_planned: NotPlanned = False,
    run: Run = DEFAULT_RUN,
) -> None:
    """Say to which hearing a session belongs, also when it was said wrong before: a signed entry, nothing is rewritten."""
    order = desk.BindOrder(actor=by, hearing=hearing_id, session=session, case=case, reason=reason, not_planned=not_planned)
    _order(run, "/bind", order)


@app.command()
def withdraw(
    by: By,
    session: WhichSession = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Take back an order to bind that cannot be carried out, as `courtroom hearing status` says."""
    _order(run, "/withdraw", desk.WithdrawOrder(actor=by, session=session))


@app.command("not-held")
def not_held(
    hearing_id: HearingId,
    by: By,
    reason: Annotated[str, typer.Option(help="Why; the centre is told.", show_default=False)],
    run: Run = DEFAULT_RUN,
) -> None:
    """Say that a planned hearing does not take place, and why."""
    _order(run, "/not-held", desk.NotHeldOrder(actor=by, hearing=hearing_id, reason=reason))


@app.command()
def answer(
    prompt: Annotated[str, typer.Argument(help="The prompt, as `courtroom hearing status` prints it.")],
    says: Annotated[str, typer.Argument(help="yes or no.", metavar="yes|no")],
    by: By,
    run: Run = DEFAULT_RUN,
) -> None:
    """Answer what the room asks."""
    if says not in {"yes", "no"}:
        raise typer.BadParameter(f"'{says}' is neither yes nor no", param_hint="yes|no")
    _order(run, "/answer", desk.AnswerOrder(actor=by, prompt=prompt, yes=says == "yes"))


def _order(run: Path, path: str, order: desk.Order) -> None:
    said = ask(run, path, order, desk.Said)
    Console(highlight=False).print(Text(said.text, "green"))
    if said.warning:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(said.warning, "bold yellow"))


def _midnight_us(utc_us: int, zone: zoneinfo.ZoneInfo) -> int:
    """When the courtroom's day began."""
    return int(_at(utc_us, zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1_000_000


def _at(utc_us: int, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Times are the courtroom's, as in the prompts: the PC may be set to another zone."""
    return dt.datetime.fromtimestamp(utc_us / 1e6, zone)
