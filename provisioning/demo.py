"""``courtroom demo``: a centre and a room on this PC, a whole hearing from its plan to its place in the archive, and what can be proven."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.rule import Rule
from rich.table import Table

from provisioning.demo_site import COURTROOM, TEST_DEVICES, DemoError, DemoSite, courtroom
from recorder.contract import control
from recorder.contract.client import ControlClient, ControlError
from recorder.live_view import status_view

HEARING = "demo-hearing"
DELIVERED_S = 90.0
_LONG = {"session", "record", "boot", "head", "sums_sha256", "checks", "planned_utc_us"}
"""Of events, what says nothing to whoever watches."""
CLERK, JUDGE = "Clerk A. Demo", "Judge B. Demo"
GUEST = "g1"
"""The first who is invited."""
LOBBY_EVERY = 10
"""In states of the recorder (five a second): so often the clerk looks into the lobby."""
WATCHED_S, UNWATCHED_S = 60, 20
"""A hearing before somebody's eyes is long enough to join it by the link."""
MARK = ".courtroom-demo"
"""The file by which a demo knows a directory that one made."""


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; made anew where an earlier demo made it.")] = Path("demo-out"),
    seconds: Annotated[
        int | None,
        typer.Option(min=8, max=3600, help="How long to record.", show_default=f"{WATCHED_S}; {UNWATCHED_S} without a terminal"),
    ] = None,
    test_devices: Annotated[
        bool, typer.Option("--test-devices", help="Use the test picture and tone even where there are devices.")
    ] = False,
) -> None:
    """Start a centre and a room on this PC, plan a hearing, record it, deliver it to the archive, and verify it.

    Uses the cameras and microphones that the PC has, else a test picture and tone. Then a copy of the record is tampered with, and a
    readable one made. Exit status 0 only if the record was delivered and verified against the centre's ledger, and the tampering was
    caught.
    """
    console = Console()
    try:
        _run(console, out.resolve(), seconds or (WATCHED_S if console.is_terminal else UNWATCHED_S), use_test_devices=test_devices)
    except (DemoError, ControlError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        raise typer.Exit(1) from None


def _run(console: Console, out: Path, seconds: int, *, use_test_devices: bool) -> None:
    make_anew(out)
    site = DemoSite(out)
    console.print(Rule("1. A centre, and a room that is enrolled with it"))
    site.make_centre()
    with site.running_centre():
        site.enrol(_devices(use_test_devices=use_test_devices))
        console.print(f"{site.centre}, {site.room_toml}", highlight=False)
        with site.running_room():
            console.print(Rule("2. The centre plans a hearing, the clerk begins it"))
            record = _hearing(console, site, seconds)
            console.print(Rule("3. To the archive"))
            _deliver(console, site)
        ledger = out / "ledger.jsonl"
        ledger.write_text(courtroom("centre", "ledger", str(site.centre)), encoding="utf-8")
        console.print(Rule("4. What the centre saw"))
        _show_events(console, site)

    console.print(Rule("5. Verify the record against the centre's ledger"))
    roots = str(site.roots)
    _expect(console, 0, "verify", record, "--ca", roots, "--ledger", str(ledger))
    _insist_on_the_ledger(record, roots, str(ledger))

    console.print(Rule("6. Tamper with a copy: one bit of one second of sound"))
    tampered = out / "tampered" / Path(record).name
    shutil.copytree(record, tampered)
    _flip_a_bit(tampered)
    _expect(console, 1, "verify", str(tampered), "--ca", roots)

    console.print(Rule("7. A readable copy for whoever holds the court's key"))
    copy = out / "copy"
    _expect(console, 0, "copy", record, "--key", str(site.court / "court.key"), "--ca", roots, str(copy))

    console.print(Rule("Where everything lies"))
    for what, path in (
        ("the sealed record", Path(record)),
        ("the archive's copy", site.centre / "records"),
        ("the centre's ledger", ledger),
        ("the tampered copy", tampered),
        ("the readable copy", copy),
        ("one file that any player opens", copy / "hearing.mp4"),
        ("the room's log", out / "room.log"),
        ("the centre's log", out / "centre.log"),
    ):
        console.print(f"  {what:34} {path}", highlight=False, soft_wrap=True)
    console.print("[green]The record is in the archive and verified against the ledger, and the tampering was caught.[/green]")


def make_anew(out: Path) -> None:
    """An empty directory for the demo. What an earlier demo left there goes; anything else is left alone.

    Raises:
        DemoError: something else lies there, or the directory cannot be made.
    """
    try:
        if (out / MARK).is_file():
            shutil.rmtree(out)
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DemoError(f"{out} is there already and no demo made it: name another directory by --out, or remove it yourself")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).write_text("A demonstration's directory: the next one removes it.\n", encoding="utf-8")
    except OSError as error:
        raise DemoError(f"{out} cannot be made anew: {error.strerror or error}; name another directory by --out") from error


def _hearing(console: Console, site: DemoSite, seconds: int) -> str:
    site.plan(HEARING, "Demo hearing")
    _until(lambda: HEARING in site.hearings(), "the plan to reach the room", 20.0)
    planned = site.hearings()[HEARING]
    console.print(f"  the room knows: {planned['id']}, {planned['case']}, {planned['title']} ({planned['state']})", highlight=False)
    site.order("start", HEARING, "--by", CLERK)
    link = site.invite("Party P. Demo", "party", CLERK)
    console.print("  join it from a browser on this PC (the clerk lets you in; --seconds 180 leaves you more time):", highlight=False)
    console.print(f"  {link}", highlight=False, soft_wrap=True)
    admitted = False
    step_s = seconds / 8
    steps: list[tuple[str, tuple[str, ...], float]] = [
        ("note", ("note", "The hearing is opened.", "--by", CLERK), 2 * step_s),
        ("off the record", ("pause", "off_record", "--by", JUDGE, "--reason", "scheduling"), step_s),
        ("resume", ("resume", "--by", JUDGE), 2 * step_s),
        ("privileged", ("pause", "privileged", "--by", JUDGE, "--reason", "counsel and client"), step_s),
        ("resume", ("resume", "--by", JUDGE), 2 * step_s),
        ("note", ("note", "The hearing is closed. Сот отырысы жабылды.", "--by", CLERK), 0.0),
    ]
    with ControlClient(site.run_dir) as watcher:
        record = watcher.status().record
        states = watcher.statuses()
        with Live(console=console, refresh_per_second=5) if console.is_terminal else contextlib.nullcontext() as live:
            for name, order, wait_s in steps:
                site.order(*order)
                written_bytes = 0
                for number, state in enumerate(_for(states, wait_s)):
                    written_bytes = sum(channel.bytes_written for channel in state.channels)
                    if live is not None:
                        live.update(status_view(state))
                    if number % LOBBY_EVERY == 0 and not admitted and (admitted := site.admit(GUEST, CLERK)):
                        console.print("  somebody has joined by the link, and is in the record from now on")
                console.print(f"  {name}: {written_bytes / 1e6:.1f} MB on the disk" if wait_s else f"  {name}", highlight=False)
    console.print("  sealing")
    site.order("stop", "--by", CLERK)
    return record


def _deliver(console: Console, site: DemoSite) -> None:
    """Wait until the archive has verified and acknowledged the record; it is offered when the centre's last receipt had time to come."""
    with console.status("the record is sent, and verified by the archive …"):
        _until(lambda: site.hearings()[HEARING]["state"] == "delivered", "the archive's acknowledgement", DELIVERED_S)
    console.print("  the archive holds the record, has verified it, and signed for it", highlight=False)


def _show_events(console: Console, site: DemoSite) -> None:
    table = Table("number", "what", "told")
    for line in courtroom("centre", "events", str(site.centre)).splitlines():
        taken = json.loads(line)
        data = taken["event"]["data"]
        kind = data.pop("is")
        if kind != "metrics":
            told = (f"{name} {value}" for name, value in data.items() if name not in _LONG and value not in ("", None, False, [], 0))
            table.add_row(str(taken["number"]), kind, ", ".join(told)[:110])
    console.print(table)


def _insist_on_the_ledger(record: str, roots: str, ledger: str) -> None:
    verdict = json.loads(courtroom("verify", record, "--ca", roots, "--ledger", ledger, "--json"))
    if verdict["level"] != "anchored" or verdict["anchored_to"] != verdict["entries"] - 1:
        raise DemoError(f"the record is {verdict['level']}, anchored to {verdict['anchored_to']} of {verdict['entries']} entries")


def _until(there: Callable[[], bool], what: str, most_s: float) -> None:
    end_s = time.monotonic() + most_s
    while not there():
        if time.monotonic() >= end_s:
            raise DemoError(f"waited {most_s:.0f} s in vain for {what}")
        time.sleep(0.5)


def _for(states: Iterator[control.Status], wait_s: float) -> Iterator[control.Status]:
    end_s = time.monotonic() + wait_s
    for state in states:
        yield state
        if time.monotonic() >= end_s:
            return


def _devices(*, use_test_devices: bool) -> str:
    if use_test_devices:
        return TEST_DEVICES
    found = json.loads(courtroom("devices", "--json"))["devices"]
    stanzas = [device["stanza"] for device in found]
    return "\n".join(stanzas) if stanzas else TEST_DEVICES


def _flip_a_bit(record: Path) -> None:
    sounds = [path for path in sorted(record.glob("tracks/*/seg-*.m4s")) if "camera" not in path.parent.name]
    victim = sounds[0]
    at = victim.stat().st_size // 2
    victim.chmod(0o600)
    with victim.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _expect(console: Console, status: int, *arguments: str) -> None:
    """Run a command before the user's eyes and insist on its exit status."""
    console.print(f"$ courtroom {' '.join(arguments)}", style="dim", highlight=False, soft_wrap=True)
    sys.stdout.flush()
    done = subprocess.run([*COURTROOM, *arguments], check=False, env=os.environ | {"COLUMNS": str(console.width)})
    if done.returncode != status:
        raise DemoError(f"`courtroom {arguments[0]}` ended with status {done.returncode} where {status} was due")
