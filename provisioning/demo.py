"""``courtroom demo``: a whole hearing on this PC, from its devices to a verified record, a tampered copy and a readable copy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.rule import Rule

from recorder.contract import control
from recorder.contract.client import ControlClient, ControlError
from recorder.live_view import status_view

READY_S = 20.0
COURTROOM = [sys.executable, "-m", "agent.cli"]
TEST_DEVICES = """
[[camera]]
id = "test-camera"
label = "Test picture"
driver = "test-pattern"
width = 640
height = 360

[[microphone]]
id = "test-sound"
driver = "test-tone"
channels = [
  { id = "judge", label = "Judge", number = 1 },
  { id = "witness", label = "Witness", number = 2 },
]
"""


class DemoError(Exception):
    """A step of the demo did not do what it must; the message says which."""


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; made anew.")] = Path("demo-out"),
    seconds: Annotated[int, typer.Option(min=8, max=3600, help="How long to record.")] = 16,
    test_devices: Annotated[
        bool, typer.Option("--test-devices", help="Use the test picture and tone even where there are devices.")
    ] = False,
) -> None:
    """Record a hearing on this PC, seal it, verify it, tamper with a copy of it, and make a readable copy.

    Uses the cameras and microphones that the PC has, else a test picture and tone. Exit status 0 only if the record verified and the
    tampering was caught.
    """
    console = Console()
    try:
        _run(console, out.resolve(), seconds, use_test_devices=test_devices)
    except (DemoError, ControlError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        raise typer.Exit(1) from None


def _run(console: Console, out: Path, seconds: int, *, use_test_devices: bool) -> None:
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    console.print(Rule("1. Keys and the room's configuration"))
    keys = out / "keys"
    _courtroom("keys", "make", str(keys), "--room", "demo")
    room = out / "room.toml"
    room.write_text(_room_toml(out, keys, _devices(use_test_devices=use_test_devices)), encoding="utf-8")
    _courtroom("check-config", str(room))
    console.print(f"{room} and {keys}")

    console.print(Rule("2. A hearing"))
    run_dir = out / "run"
    with _recorder(room, run_dir, out / "recorder.log"):
        record = _hearing(console, run_dir, seconds)

    console.print(Rule("3. Verify the sealed record"))
    roots = str(keys / "root.pem")
    _expect(console, 0, "verify", record, "--ca", roots)

    console.print(Rule("4. Tamper with a copy: one bit of one second of sound"))
    tampered = out / "tampered" / Path(record).name
    shutil.copytree(record, tampered)
    _flip_a_bit(tampered)
    _expect(console, 1, "verify", str(tampered), "--ca", roots)

    console.print(Rule("5. A readable copy for whoever holds the court's key"))
    copy = out / "copy"
    _expect(console, 0, "copy", record, "--key", str(keys / "court.key"), "--ca", roots, str(copy))

    console.print(Rule("Where everything lies"))
    for what, path in (
        ("the sealed record", Path(record)),
        ("the tampered copy", tampered),
        ("the readable copy", copy),
        ("one file that any player opens", copy / "hearing.mp4"),
        ("the recorder's log", out / "recorder.log"),
    ):
        console.print(f"  {what:32} {path}", highlight=False)
    console.print("[green]The record verified, and the tampering was caught.[/green]")


def _hearing(console: Console, run_dir: Path, seconds: int) -> str:
    step_s = seconds / 8
    with ControlClient(run_dir) as client:
        started = client.do(control.Start(hearing="demo-hearing", case="7599-26-00-2/1", title="Demo hearing", actor="Clerk A. Demo"))
        steps: list[tuple[str, control.Request, float]] = [
            ("note", control.AddNote(author="Clerk A. Demo", text="The hearing is opened."), 2 * step_s),
            ("off the record", control.PauseRequest(state="off_record", actor="Judge B. Demo", reason="scheduling"), step_s),
            ("resume", control.ResumeRequest(actor="Judge B. Demo"), 2 * step_s),
            ("privileged", control.PauseRequest(state="privileged", actor="Judge B. Demo", reason="counsel and client"), step_s),
            ("resume", control.ResumeRequest(actor="Judge B. Demo"), 2 * step_s),
            ("note", control.AddNote(author="Clerk A. Demo", text="The hearing is closed. Сот отырысы жабылды."), 0.0),
        ]
        with ControlClient(run_dir) as watcher:
            states = watcher.statuses()
            if console.is_terminal:
                with Live(console=console, refresh_per_second=5) as live:
                    for name, request, wait_s in steps:
                        client.do(request)
                        for state in _for(states, wait_s):
                            live.update(status_view(state))
                        live.console.print(f"  {name}")
            else:
                for name, request, wait_s in steps:
                    client.do(request)
                    seen = list(_for(states, wait_s))
                    written_bytes = sum(channel.bytes_written for channel in seen[-1].channels) if seen else 0
                    console.print(f"  {name}: {written_bytes / 1e6:.1f} MB on the disk", highlight=False)
        console.print("  sealing")
        client.do(control.StopRequest(actor="Clerk A. Demo", reason="ended"))
    return started.record


def _for(states: Iterator[control.Status], wait_s: float) -> Iterator[control.Status]:
    end_s = time.monotonic() + wait_s
    for state in states:
        yield state
        if time.monotonic() >= end_s:
            return


@contextmanager
def _recorder(room: Path, run_dir: Path, log: Path) -> Iterator[None]:
    """A recorder in its own process, ready to record; ended at the end."""
    with log.open("wb") as sink:
        process = subprocess.Popen([*COURTROOM, "recorder", "run", "--config", str(room), "--run", str(run_dir)], stdout=sink, stderr=sink)
    try:
        _wait_ready(process, run_dir, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], run_dir: Path, log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise DemoError(f"the recorder ended with status {process.returncode}; see {log}")
        try:
            with ControlClient(run_dir) as client:
                for state in client.statuses():
                    if state.channels and all(channel.live for channel in state.channels):
                        return
                    if time.monotonic() >= end_s:
                        break
        except ControlError:
            time.sleep(0.1)
    raise DemoError(f"the devices did not open within {READY_S:.0f} s; see {log}")


def _devices(*, use_test_devices: bool) -> str:
    if use_test_devices:
        return TEST_DEVICES
    found = json.loads(_courtroom("devices", "--json"))["devices"]
    stanzas = [device["stanza"] for device in found]
    return "\n".join(stanzas) if stanzas else TEST_DEVICES


def _room_toml(out: Path, keys: Path, devices: str) -> str:
    return f"""# Made by `courtroom demo`.
centre_roots = "{keys / "root.pem"}"

[room]
id = "demo"
court = "Demo court"
name = "Courtroom on this PC"

[storage]
primary = "{out / "records"}"
mirror = "{out / "mirror"}"
ballast_mib = 8

[signing]
kind = "file"
key = "{keys / "device.key"}"
chain = "{keys / "device-chain.pem"}"

[[recipient]]
name = "court"
certificate = "{keys / "court.pem"}"
{devices}
"""


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


def _courtroom(*arguments: str) -> str:
    done = subprocess.run([*COURTROOM, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"`courtroom {' '.join(arguments)}` ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _expect(console: Console, status: int, *arguments: str) -> None:
    """Run a command before the user's eyes and insist on its exit status."""
    console.print(f"$ courtroom {' '.join(arguments)}", style="dim", highlight=False, soft_wrap=True)
    sys.stdout.flush()
    done = subprocess.run([*COURTROOM, *arguments], check=False, env=os.environ | {"COLUMNS": str(console.width)})
    if done.returncode != status:
        raise DemoError(f"`courtroom {arguments[0]}` ended with status {done.returncode} where {status} was due")
