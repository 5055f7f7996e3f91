"""A whole site to test: a real centre, and a room's processes under ``courtroom run``, each of which can be killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.upstream import contract
from agent.upstream.centre import admin
from provisioning.keys import make
from recorder.contract.client import ControlClient, ControlError
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities, load_certificates
from recorder.record.verdict import Verdict
from recorder.record.verify import Outside, verify
from tests.lab.centre import Centre, centre
from tests.lab.room import TEST_DEVICES

ROOM = "lab"
WAIT_S = 60.0
POLL_S = 0.1
COURTROOM = [sys.executable, "-m", "agent.cli"]


class Site:
    """The site of a directory."""

    def __init__(self, base: Path, it: Centre, extra: str = "", devices: str = TEST_DEVICES) -> None:
        self.base = base
        self.centre = it
        self.run_dir = base / "run"
        self.records = base / "records"
        self.files = it.enrol(ROOM)
        self.court = make(base / "court", ROOM)
        self.config = base / "room.toml"
        self.config.write_text(
            f'{self.files.stanzas(it.url)}\n[room]\nid = "{ROOM}"\ncourt = "Lab court"\n[storage]\nprimary = "{self.records}"\n'
            "ballast_mib = 1\n[watch]\nenabled = false\n"
            f'[[recipient]]\nname = "court"\ncertificate = "{self.court.court}"\n{extra}\n{devices}',
            encoding="utf-8",
        )
        self._parent: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What the room's processes said."""
        return (self.base / "room.log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start the room, and wait until it can record."""
        with (self.base / "room.log").open("ab") as log:
            command = ["run", "--config", str(self.config), "--run", str(self.run_dir), "--state", str(self.base / "state")]
            self._parent = subprocess.Popen([*COURTROOM, *command], stdout=log, stderr=log, env=os.environ | {"COLUMNS": "250"})
        self.until(self._is_live, "the devices to open")

    def stop(self) -> None:
        """End the room."""
        if self._parent is not None:
            self._parent.terminate()
            self._parent.wait(30)

    def kill(self, name: str) -> None:
        """Kill -9 one of the room's processes, if it runs now."""
        for pid in self.pids(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self, name: str) -> list[int]:
        """A process of the room by its command (``recorder``, ``agent``, ``deliver``, ``vks``); empty while it does not run."""
        found = []
        for pid in self._children():
            with contextlib.suppress(OSError):
                if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:5]:
                    found.append(pid)
        return found

    def state(self) -> dict[str, Any]:
        """The room as the clerk sees it; empty while the agent is away."""
        done = subprocess.run(
            [*COURTROOM, "hearing", "status", "--json", "--run", str(self.run_dir)], capture_output=True, text=True, check=False
        )
        state: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return state

    def hearing(self, name: str) -> dict[str, Any]:
        """One hearing as the clerk sees it."""
        return next((each for each in self.state().get("hearings", []) if each["id"] == name), {})

    def order(self, *arguments: str) -> str:
        """An order of the clerk; tried again while the agent is away."""
        end_s = time.monotonic() + WAIT_S
        while True:
            done = subprocess.run(
                [*COURTROOM, "hearing", *arguments, "--run", str(self.run_dir)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return done.stdout
            assert time.monotonic() < end_s, done.stdout + done.stderr
            time.sleep(POLL_S)

    def recorder_state(self) -> str:
        """The recorder's own state; empty while it is away."""
        try:
            with ControlClient(self.run_dir, timeout_s=5.0) as client:
                return client.status().state
        except (ControlError, OSError):
            return ""

    def written_us(self) -> int:
        """The least of the tracks' media on the disk; -1 while the recorder is away."""
        try:
            with ControlClient(self.run_dir, timeout_s=5.0) as client:
                return min((channel.written_us for channel in client.status().channels), default=-1)
        except (ControlError, OSError):
            return -1

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
        """Wait for a condition."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert self._parent is None or self._parent.poll() is None, self.log[-3000:]
            assert time.monotonic() < end_s, f"waited in vain for {what}\n{self.log[-3000:]}"
            time.sleep(POLL_S)

    def events(self) -> list[contract.Event]:
        """The room's events as the centre has them, in the order in which it took them."""
        found: list[contract.TakenEvent] = []
        while taken := msgspec.convert(
            self.centre.ask(admin.Events(after=found[-1].number if found else 0))["events"], list[contract.TakenEvent]
        ):
            found += taken
        return [each.event for each in found if each.event.room == ROOM]

    def data(self, kind: type[contract.EventData]) -> list[Any]:
        """What the events of one kind tell."""
        return [event.data for event in self.events() if isinstance(event.data, kind)]

    def verdicts(self) -> dict[str, Verdict]:
        """Every record of the room, verified against the centre's ledger."""
        ledger = msgspec.convert(self.centre.ask(admin.Export())["receipts"], list[Receipt])
        outside = Outside(authorities=Authorities(load_certificates(self.centre.home.roots)), ledger=ledger)
        roots = [root for root in sorted(self.records.iterdir()) if root.is_dir() and not root.name.startswith(".")]
        return {root.name.rpartition("_")[2]: verify(root, outside) for root in roots}

    def _is_live(self) -> bool:
        try:
            with ControlClient(self.run_dir, timeout_s=5.0) as client:
                channels = client.status().channels
        except (ControlError, OSError):
            return False
        return (self.run_dir / "agent.sock").exists() and bool(channels) and all(channel.live for channel in channels)

    def _children(self) -> list[int]:
        assert self._parent is not None
        path = Path(f"/proc/{self._parent.pid}/task/{self._parent.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


@contextmanager
def site(base: Path, extra: str = "", devices: str = TEST_DEVICES, **settings: object) -> Iterator[Site]:
    """A site that runs; ``settings`` are its centre's."""
    (base / "site").mkdir()
    with centre(base / "site", **settings) as it:
        room = Site(base, it, extra, devices)
        room.start()
        try:
            yield room
        finally:
            room.stop()
