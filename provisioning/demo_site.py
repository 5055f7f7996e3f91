"""The demonstration's processes: a centre, and a room that is enrolled with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recorder.contract.client import ControlClient, ControlError

ROOM = "demo"
READY_S = 30.0
END_S = 20.0
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


class DemoSite:
    """Where everything of the demonstration lies, and the commands that steer it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.centre = out / "centre"
        self.keys = out / "keys"
        self.court = out / "court"
        self.room_toml = out / "room.toml"
        # A unix socket's path is short: the output's may not be.
        self.run_dir = out / "run"
        self.roots = self.centre / "root.pem"

    def invite(self, name: str, role: str, by: str) -> str:
        """A link by which somebody joins the hearing from a browser on this PC."""
        return courtroom("conference", "invite", name, role, "--by", by, "--run", str(self.run_dir)).strip()

    def admit(self, person: str, by: str) -> bool:
        """Let somebody in who waits in the lobby; False where nobody of this name does."""
        try:
            courtroom("conference", "admit", person, "--by", by, "--run", str(self.run_dir))
        except DemoError:
            return False
        return True

    def make_centre(self) -> None:
        """A centre with an authority of its own, on a free port of this PC."""
        courtroom("centre", "init", str(self.centre), "--name", "Demo centre", "--port", str(_free_port()))

    def enrol(self, devices: str) -> None:
        """The room's keys, certified by the centre, and its room.toml."""
        order = courtroom("centre", "token", str(self.centre), ROOM).split()  # COURTROOM_TOKEN=… runuser … courtroom enrol …
        stanzas = courtroom(*order[order.index("enrol") :], "--token", order[0].partition("=")[2], "--to", str(self.keys))
        courtroom("keys", "make", str(self.court), "--room", ROOM)
        self.room_toml.write_text(self._toml(stanzas, devices), encoding="utf-8")
        courtroom("check-config", str(self.room_toml))

    def plan(self, hearing: str, title: str) -> None:
        """Push a hearing that begins now."""
        now_us = time.time_ns() // 1000
        file = self.out / "schedule.json"
        planned = {
            "id": hearing, "room": ROOM, "case": "7599-26-00-2/1", "title": title, "judge": "B. Demo",
            "starts_utc_us": now_us, "ends_utc_us": now_us + 3_600_000_000,
        }  # fmt: skip
        file.write_text(json.dumps({"hearings": [planned]}, ensure_ascii=False, indent=2), encoding="utf-8")
        courtroom("centre", "schedule", str(self.centre), str(file))

    def hearings(self) -> dict[str, dict[str, Any]]:
        """The room's hearings as the clerk has them."""
        state = json.loads(courtroom("hearing", "status", "--json", "--run", str(self.run_dir)))
        return {hearing["id"]: hearing for hearing in state["hearings"]}

    def order(self, *arguments: str) -> str:
        """An order of the clerk."""
        return courtroom("hearing", *arguments, "--run", str(self.run_dir)).strip()

    @contextmanager
    def running_centre(self) -> Iterator[None]:
        """The centre, until the end."""
        with _process(["centre", "run", str(self.centre)], self.out / "centre.log") as process:
            _wait((self.centre / "admin.sock").exists, "the centre to answer", process, self.out / "centre.log")
            yield

    @contextmanager
    def running_room(self) -> Iterator[None]:
        """Recorder, agent and delivery under one parent, ready to record."""
        log = self.out / "room.log"
        command = ["run", "--config", str(self.room_toml), "--run", str(self.run_dir), "--state", str(self.out / "state")]
        with _process(command, log) as process:
            _wait(self._all_live, "the devices to open", process, log)
            _wait((self.run_dir / "agent.sock").exists, "the agent to answer", process, log)
            yield

    def _all_live(self) -> bool:
        try:
            with ControlClient(self.run_dir, timeout_s=2.0) as client:
                channels = client.status().channels
        except (ControlError, OSError):
            return False
        return bool(channels) and all(channel.live for channel in channels)

    def _toml(self, stanzas: str, devices: str) -> str:
        return f"""# Made by `courtroom demo`.
{stanzas}
[room]
id = "{ROOM}"
court = "Demo court"
name = "Courtroom on this PC"

[storage]
primary = "{self.out / "records"}"
mirror = "{self.out / "mirror"}"
ballast_mib = 8

[ingest]
enabled = true

[vks]
port = {_free_port()}

[[recipient]]
name = "court"
certificate = "{self.court / "court.pem"}"
{devices}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def courtroom(*arguments: str) -> str:
    """Run a command of ours and return what it printed.

    Raises:
        DemoError: it failed.
    """
    done = subprocess.run([*COURTROOM, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shown = ["…" if argument.startswith("courtroom-") else argument for argument in arguments]
        raise DemoError(f"`courtroom {' '.join(shown)}` ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def _process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        process = subprocess.Popen([*COURTROOM, *arguments], stdout=sink, stderr=sink, env=os.environ | {"COLUMNS": "200"})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(there: Callable[[], bool], what: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while not there():
        if process.poll() is not None:
            raise DemoError(f"a process ended with status {process.returncode} before {what}; see {log}")
        if time.monotonic() >= end_s:
            raise DemoError(f"waited {READY_S:.0f} s in vain for {what}; see {log}")
        time.sleep(0.1)
