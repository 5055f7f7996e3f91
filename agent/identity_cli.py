"""``courtroom conference identify``, ``confirm`` and ``refuse-identity``: the clerk checks who a participant is."""

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.text import Text

from agent.desk_client import DEFAULT_RUN, ask
from agent.guest_desk import Done
from agent.hearing_cli import By, Run
from agent.identity_desk import Identifying, IdentifyOrder, Taken
from recorder.contract import conference

Person = Annotated[str, typer.Argument(help="The person, as `courtroom conference list` names it.", show_default=False)]
IDENTITY = {
    "unchecked": ("not checked", "dim"), "checking": ("being checked", "yellow"), "confirmed": ("confirmed", "green"),
    "refused": ("refused", "red"),
}  # fmt: skip
"""What the list says, and in which colour."""
_STILLS: tuple[conference.StillOf, ...] = get_args(conference.StillOf)


def identify(
    person: Person,
    by: By,
    still: Annotated[
        str, typer.Argument(help="face or document: take this still now, in a check that goes on.", metavar="[face|document]")
    ] = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Check who somebody is: nobody else sees the person meanwhile, and a still of the face and one of the document go into the record.

    Prints a link, which alone goes to standard output. Open it in the browser of this PC: it shows the person, opens once, and is shown
    this once. The person's page asks for the face, then for the document. In a terminal the command then leads through the check; elsewhere
    `identify PERSON face`, `identify PERSON document`, and `confirm` or `refuse-identity` do. The check ends by one of these two, or with
    the person's connection: whoever took part then waits in the lobby until he is admitted. Begun again, it begins anew, with another link.
    """
    if still:
        if still not in _STILLS:
            raise typer.BadParameter(f"'{still}' is neither face nor document", param_hint="[face|document]")
        _take(run, person, by, _STILLS[_STILLS.index(still)])
        return
    begun = ask(run, "/conference/identify", IdentifyOrder(actor=by, person=person), Identifying)
    typer.echo(f"Only this screen shows {person} now; open it in the browser of this PC:", err=True)
    typer.echo(begun.link)
    if sys.stdin.isatty():
        _lead(run, person, by)


def confirm(person: Person, by: By, run: Run = DEFAULT_RUN) -> None:
    """The person is who was expected: both stills were taken. Everybody sees the person again."""
    _do(run, conference.ConfirmIdentity(by=by, person=person))


def refuse_identity(
    person: Person,
    by: By,
    reason: Annotated[str, typer.Option(help="Why; it stands in the record.", show_default=False)],
    run: Run = DEFAULT_RUN,
) -> None:
    """It is not known that the person is who was expected. He stays where he is; `isolate` or `remove` does more."""
    _do(run, conference.RefuseIdentity(by=by, person=person, reason=reason))


def _lead(run: Path, person: str, by: str) -> None:
    """Through the check, at a terminal. Whoever breaks it off goes on by single commands."""
    for still in _STILLS:
        typer.prompt(f"Enter: take the {still}", default="", show_default=False, prompt_suffix=" ", err=True)
        _take(run, person, by, still)
    if typer.confirm("Is it the person whom the document names?", default=None, err=True):
        confirm(person, by, run)
    else:
        refuse_identity(person, by, typer.prompt("Why not? It stands in the record", err=True), run)


def _take(run: Path, person: str, by: str, still: conference.StillOf) -> None:
    taken = ask(run, "/conference/still", conference.TakeStill(by=by, person=person, of=still), Taken)
    Console(highlight=False, stderr=True).print(Text(taken.text, "green"))


def _do(run: Path, act: conference.OfStaff) -> None:
    done = ask(run, "/conference/act", act, Done)
    Console(highlight=False).print(Text(done.text, "green"))
