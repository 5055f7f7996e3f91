"""``courtroom conference``: the clerk's orders about participants, to the agent of this room."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent import identity_cli
from agent.desk_client import DEFAULT_RUN, ask
from agent.guest_desk import Done, GuestState, Invited, InviteOrder, WithdrawInvitation
from agent.hearing_cli import By, Run
from agent.identity_cli import IDENTITY, Person
from agent.visit_desk import LeaveVisit, VisitAnswer, VisitOrder, VisitState
from recorder.contract import conference

Reason = Annotated[str, typer.Option(help="Why; it stands in the record.")]
_UNVOUCHED = (
    "unvouched: the hearing is not public, and nothing goes to that page before it is certain who is there. Call the person, have the\n"
    "code read out that the page shows, and type it: courtroom conference vouch PERSON CODE"
)
_COLOURS = {"lobby": "yellow", "hearing": "green", "isolated": "magenta", "dismissed": "dim", "removed": "red"}
_AUDIENCE: dict[conference.Audience, str] = {
    "off": "",
    "dials": "A large audience is to watch; its server is not reached yet.",
    "on_air": "A large audience watches.",
    "silent": "A large audience is shown nothing now: the hearing is not public.",
}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Let participants into the hearing, and say who is heard: by the agent of this room.

    A hearing:  courtroom conference invite "A. Party" party --by "A. Clerk"  ·  courtroom conference list  ·  courtroom conference admit g1
    --by "A. Clerk"

    Only root and the users whom room.toml names as clerks may. Exit status 1: the order is refused. 2: the agent does not answer.
    """


@app.command("list")
def list_(run: Run = DEFAULT_RUN) -> None:
    """Who is there, who waits, whose identity is confirmed, and how good each one's link is."""
    state = ask(run, "/conference", None, GuestState)
    console = Console(highlight=False)
    if not state.running:
        console.print(Text("the videoconference is not running; see `systemctl status courtroom-vks`", "red"))
    if state.visit is not None:
        console.print(Text(_visits(state.visit), "magenta"))
    if not state.hearing:
        console.print("No hearing is held or near; the lobby opens an hour before one.")
        return
    console.print(Text(f"hearing {state.hearing} {state.title}"))
    for look_in in state.look_ins:
        console.print(Text(_looks_in(look_in, time.monotonic_ns() // 1_000), "magenta"))
    if words := _AUDIENCE[state.audience]:
        console.print(Text(words, "magenta"))
    if state.audience_fault:
        console.print(Text(f"the large audience: {state.audience_fault}", "red"))
    if not state.people:
        console.print("Nobody has come yet. `courtroom conference invite` makes a link.")
        return
    table = Table("person", "name", "role", "place", "identity", "link", "")
    for one in state.people:
        words = ", ".join(_words(one, sharing=state.sharing == one.person))
        link = one.quality if one.connected else "gone"
        identity = Text(*IDENTITY[one.identity])
        table.add_row(one.person, Text(one.name), one.role, Text(one.place, _COLOURS.get(one.place, "")), identity, link, words)
    console.print(table)
    if any(one.unvouched for one in state.people):
        console.print(Text(_UNVOUCHED, "yellow"))


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="The person's name, as the others see it.", show_default=False)],
    role: Annotated[str, typer.Argument(help="judge, clerk, party, counsel, witness, interpreter, prosecutor, specialist or observer.")],
    by: By,
    hearing: Annotated[str, typer.Option(help="The hearing; left out: the one that is held or near.")] = "",
    iin: Annotated[
        str, typer.Option(help="The person's identification number (ИИН): an electronic signature (ЭЦП) vouches then. '-': read it.")
    ] = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Make a link for somebody. It is shown this once; whoever has it comes as this person, so give it to nobody else.

    It opens the lobby while its hearing is near, until a day after that is planned to end (without a plan: for a day).

    In a hearing that is not public, whoever was invited with --iin can sign by NCALayer instead of reading a code to the clerk. Whoever
    reads a command line on this PC would read the number, too: `--iin -` asks for it.

    The link alone goes to standard output. Beside it stands how the other commands name the person.
    """
    if iin == "-":
        iin = typer.prompt("The identification number", hide_input=True, err=True)
    order = InviteOrder(actor=by, name=name, role=role, hearing=hearing, iin=iin)  # type: ignore[arg-type] # checked where it is sent
    invited = ask(run, "/conference/invite", order, Invited)
    typer.echo(f"{name} is {invited.person}; the link opens the hearing {invited.hearing}, until {invited.until}:", err=True)
    typer.echo(invited.link)


@app.command()
def withdraw(person: Person, by: By, hearing: Annotated[str, typer.Option(help="The hearing.")] = "", run: Run = DEFAULT_RUN) -> None:
    """Make a link that was made here open nothing any more."""
    done = ask(run, "/conference/withdraw", WithdrawInvitation(actor=by, person=person, hearing=hearing), Done)
    Console(highlight=False).print(Text(done.text, "green"))


@app.command()
def admit(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """Out of the lobby into the hearing; a witness waits apart until called."""
    _act(run, conference.Admit(by=by, person=person, reason=reason))


@app.command()
def call(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """Who waits apart, or was dismissed, takes part."""
    _act(run, conference.Call(by=by, person=person, reason=reason))


@app.command()
def isolate(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """The person neither sees nor hears until called."""
    _act(run, conference.Isolate(by=by, person=person, reason=reason))


@app.command()
def dismiss(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """The person was heard, and is not needed now."""
    _act(run, conference.Dismiss(by=by, person=person, reason=reason))


@app.command()
def remove(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """Put the person out of the hearing; the link opens nothing until `readmit`."""
    _act(run, conference.Remove(by=by, person=person, reason=reason))


@app.command()
def readmit(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """Who was put out may come to the lobby again."""
    _act(run, conference.Readmit(by=by, person=person, reason=reason))


@app.command()
def mute(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """The person is neither heard nor recorded, and still seen."""
    _act(run, conference.Mute(by=by, person=person, on=True, reason=reason))


@app.command()
def unmute(person: Person, by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """The person is heard again."""
    _act(run, conference.Mute(by=by, person=person, on=False, reason=reason))


@app.command()
def consult(
    people: Annotated[list[str], typer.Argument(help="Two or more people.", show_default=False)],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Let these people talk among themselves: nobody else hears it, and it is never recorded; that they did is."""
    _act(run, conference.Consult(by=by, people=people, reason=reason))


@app.command("end-consult")
def end_consult(
    number: Annotated[int, typer.Argument(help="Which private talk, as `courtroom conference list` counts it.")],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Bring those who talk in private back."""
    _act(run, conference.EndConsultation(by=by, consultation=number, reason=reason))


@app.command()
def interpret(
    person: Person,
    channel: Annotated[str, typer.Argument(help="The language's code (kk, ru, en, …); '-': to everybody.")],
    by: By,
    run: Run = DEFAULT_RUN,
) -> None:
    """An interpreter speaks into a language's channel, which those hear who chose it."""
    _act(run, conference.Interpret(by=by, person=person, channel="" if channel == "-" else channel))


@app.command("stop-share")
def stop_share(by: By, reason: Reason = "", run: Run = DEFAULT_RUN) -> None:
    """The shared screen is shown no more."""
    _act(run, conference.StopShare(by=by, reason=reason))


@app.command()
def device(
    person: Person,
    says: Annotated[str, typer.Argument(help="new or old.", metavar="new|old")],
    by: By,
    run: Run = DEFAULT_RUN,
) -> None:
    """Say which device of somebody who has come with two is the one: the new or the old.

    `new` also says that it is right that somebody has come back with another device.
    """
    if says not in {"new", "old"}:
        raise typer.BadParameter(f"'{says}' is neither new nor old", param_hint="new|old")
    _act(run, conference.ChooseDevice(by=by, person=person, accept=says == "new"))


@app.command()
def vouch(
    person: Person,
    code: Annotated[
        list[str], typer.Argument(help="The 20 digits that the person's page shows, as read out by telephone.", show_default=False)
    ],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """In a hearing that is not public: the person reads out this code, and you know the voice. Nobody is in the middle then.

    Call the person by a number that you have from elsewhere than from the page or the link. Until then nothing is sent to the page.
    """
    _act(run, conference.Vouch(by=by, person=person, code="".join(code), reason=reason))


@app.command("stop-look-in")
def stop_look_in(
    look_in: Annotated[str, typer.Argument(help="Which, as `courtroom conference list` names it.")],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """End a look-in of the Situation Centre."""
    _act(run, conference.StopLookIn(by=by, look_in=look_in, reason=reason))


@app.command()
def audience(
    switch: Annotated[str, typer.Argument(help="on or off.", metavar="on|off")],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Have a large audience watch the public hearing, by the media server of `[vks.audience]`; or no more.

    It sees and hears what an observer would, and nothing while the room's state is another than open.
    """
    if switch not in {"on", "off"}:
        raise typer.BadParameter(f"'{switch}' is neither on nor off", param_hint="on|off")
    _act(run, conference.ToAudience(by=by, on=switch == "on", reason=reason))


@app.command("take-in")
def take_in(
    url: Annotated[str, typer.Argument(help="The speaker's address (WHEP) at the large audience's media server.", show_default=False)],
    name: Annotated[str, typer.Option(help="The person's name, as the others see it.")],
    role: Annotated[str, typer.Option(help="party, counsel, witness, interpreter, prosecutor or specialist.")],
    by: By,
    reason: Reason = "",
    run: Run = DEFAULT_RUN,
) -> None:
    """Take a speaker of the large audience into the hearing, until `dismiss`: heard, seen and recorded as any participant.

    A witness waits apart until called.
    """
    _act(run, conference.TakeIn(by=by, feed=url, name=name, role=role, reason=reason))  # type: ignore[arg-type] # checked where it is sent


app.command()(identity_cli.identify)
app.command()(identity_cli.confirm)
app.command("refuse-identity")(identity_cli.refuse_identity)


@app.command()
def visit(
    link: Annotated[str, typer.Argument(help="The link that the other room's clerk made for this room; '-': read it.", show_default=False)],
    by: By,
    run: Run = DEFAULT_RUN,
) -> None:
    """Take part with this room's cameras and microphones in another room's hearing.

    Whoever reads a command line on this PC would read the link, too: `courtroom conference visit - --by … ` asks for it. It is not possible
    while this room's own hearing is held.
    """
    if link == "-":
        link = typer.prompt("The link", hide_input=True, err=True)
    begun = ask(run, "/conference/visit", VisitOrder(actor=by, link=link), VisitAnswer)
    Console(highlight=False).print(Text(begun.text, "green"))


@app.command("leave-visit")
def leave_visit(by: By, run: Run = DEFAULT_RUN) -> None:
    """Take part in the other room's hearing no more."""
    done = ask(run, "/conference/leave-visit", LeaveVisit(actor=by), VisitAnswer)
    Console(highlight=False).print(Text(done.text, "green"))


def _visits(visit: VisitState) -> str:
    said = {
        "dials": f"dials {visit.root}" + (f": {visit.words}" if visit.words else ""),
        "unvouched": (
            f"waits to be vouched for, as the hearing is not public. Call its clerk by a number that you have from elsewhere, and read out "
            f"this code: {visit.code}"
        ),
        "waits": "waits to be admitted by the other room's clerk",
        "takes_part": "takes part",
        "apart": "is apart: it neither hears nor is heard now",
        "over": f"over ({visit.root}): {visit.words}",
    }
    where = f" in “{visit.title}” as “{visit.name}”" if visit.title or visit.name else ""
    return f"this room's visit{where}: {said[visit.phase]}"


def _looks_in(one: conference.LookingIn, now_us: int) -> str:
    left_min = max(0, -((now_us - one.until_mono_us) // 60_000_000))
    watches = "looks in" if one.watches else "may look in"
    return f"{one.person} of the Situation Centre {watches} for {left_min} min more ({one.look_in}): {one.reason}"


def _words(one: conference.Present, *, sharing: bool) -> list[str]:
    said = {
        f"in private talk {one.consultation}": one.consultation > 0,
        "muted": one.muted,
        "raises a hand": one.hand,
        "shows a screen": sharing,
        "has come with another device too": one.rival,
        "has come back with another device": one.changed,
        "unvouched": one.unvouched,
    }
    return [words for words, holds in said.items() if holds]


def _act(run: Path, act: conference.OfStaff) -> None:
    done = ask(run, "/conference/act", act, Done)
    Console(highlight=False).print(Text(done.text, "green"))
