"""A whole room to test: keys, room.toml, and a real recorder process that can be killed and started again."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provisioning.keys import make
from recorder.contract import control
from recorder.contract.client import ControlClient, ControlError

READY_S = 25.0
TEST_DEVICES = """
[[camera]]
id = "cam"
driver = "test-pattern"
width = 320
height = 180

[[microphone]]
id = "mic"
driver = "test-tone"
channels = [ { id = "judge", number = 1 }, { id = "witness", number = 2 } ]
"""


class Room:
    """A room under a directory; use as ``with room(tmp_path) as it``."""

    def __init__(
        self,
        base: Path,
        devices: str = TEST_DEVICES,
        *,
        primary: Path | None = None,
        mirror: Path | None = None,
        extra: str = "",
        storage: str = "",
        recipients: bool = True,
        watch: bool = False,
        environment: Mapping[str, str] | None = None,
        program: str = "agent.cli",
    ) -> None:
        self.base = base
        self.run_dir = base / "run"
        self.log = base / "recorder.log"
        self.primary = primary or base / "records"
        self.mirror = mirror
        self.keys = make(base / "keys", "lab")
        self._program = program
        self._environment = dict(os.environ) | dict(environment or {})
        self.config = base / "room.toml"
        self.config.write_text(self._toml(devices, extra, storage, recipients=recipients, watch=watch), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.dropped: dict[str, int] = {}

    def start(self) -> None:
        """Start the recorder."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(self.command(), stdout=sink, stderr=sink, env=self._environment)

    def command(self, run_dir: Path | None = None) -> list[str]:
        """The recorder's command line."""
        run = str(run_dir or self.run_dir)
        return [sys.executable, "-m", self._program, "recorder", "run", "--config", str(self.config), "--run", run]

    def wait_live(self, *tracks: str) -> control.Status:
        """Wait until these tracks (default: all that are known) deliver."""
        return self.wait(lambda status: self._live(status, tracks), f"tracks {tracks or 'all'} live")

    def wait(self, condition: Callable[[control.Status], bool], what: str, timeout_s: float = READY_S) -> control.Status:
        """Wait until the status is as wanted.

        Raises:
            AssertionError: it is not, in time.
        """
        end_s = time.monotonic() + timeout_s
        status = None
        while time.monotonic() < end_s:
            try:
                with self.client() as client:
                    for status in client.statuses():
                        if condition(status):
                            return status
                        if time.monotonic() >= end_s:
                            break
            except ControlError:
                assert self.process is None or self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise AssertionError(f"never came: {what}; last {status}\n{self.log.read_text()[-3000:]}")

    def client(self) -> ControlClient:
        """A connection to the control socket."""
        return ControlClient(self.run_dir)

    def do(self, request: control.Request) -> control.Reply:
        """One request."""
        with self.client() as client:
            return client.do(request)

    def begin(self) -> Path:
        """Start a session; returns its record."""
        return Path(self.do(control.Start(hearing="lab-1", actor="Clerk")).record)

    def stop(self) -> Path:
        """Stop and seal; returns the record. What each device lost by its own count is in ``dropped`` then."""
        self.dropped = {channel.track: channel.dropped for channel in self.wait(lambda _: True, "status").channels}
        return Path(self.do(control.StopRequest(actor="Clerk")).record)

    def recorded(self, seconds: float) -> None:
        """Wait until every continuous track has so much more on the disk."""
        before = {channel.track: channel.written_us for channel in self.wait(lambda _: True, "status").channels}

        def enough(status: control.Status) -> bool:
            return all(
                channel.written_us - min(before.get(channel.track, 0), channel.written_us) >= seconds * 1_000_000
                for channel in status.channels
                if channel.track in before
            )

        self.wait(enough, f"{seconds} s more on the disk", timeout_s=seconds + READY_S)

    def is_whole(self, numbers: list[int], track: str = "cam") -> bool:
        """Whether these frame numbers rise, and none is missing but what the camera itself did not draw on a busy machine, and told."""
        missing = sum(later - earlier - 1 for earlier, later in itertools.pairwise(numbers))
        return numbers == sorted(set(numbers)) and bool(numbers) and missing <= self.dropped[track]

    def kill(self) -> None:
        """Kill the recorder's core, without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self) -> list[int]:
        """Process ids of the core's children."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in listed.split()]

    def holder_of(self, socket_path: Path) -> int:
        """Process id of the child that serves this socket."""
        for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            if len(fields) == 8 and fields[7] == str(socket_path):
                inode = f"socket:[{fields[6]}]"
                for pid in self.children():
                    if any(str(link.readlink()) == inode for link in Path(f"/proc/{pid}/fd").iterdir()):
                        return pid
        raise AssertionError(f"nobody serves {socket_path}")

    def verify(self, record: Path, *more: str) -> subprocess.CompletedProcess[str]:
        """``courtroom verify`` with the room's root."""
        command = [sys.executable, "-m", "agent.cli", "verify", str(record), "--ca", str(self.keys.root), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def close(self) -> None:
        """End the recorder."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()

    @staticmethod
    def _live(status: control.Status, tracks: tuple[str, ...]) -> bool:
        live = {channel.track for channel in status.channels if channel.live and channel.units}
        return bool(live) and (live >= set(tracks) if tracks else len(live) == len(status.channels))

    def _toml(self, devices: str, extra: str, storage: str, *, recipients: bool, watch: bool) -> str:
        mirror = f'mirror = "{self.mirror}"' if self.mirror else ""
        recipient = f'[[recipient]]\nname = "court"\ncertificate = "{self.keys.court}"' if recipients else ""
        return f"""
centre_roots = "{self.keys.root}"
[room]
id = "lab"
court = "Lab court"
[storage]
primary = "{self.primary}"
{mirror}
ballast_mib = 1
{storage}
[signing]
kind = "file"
key = "{self.keys.device_key}"
chain = "{self.keys.chain}"
{recipient}
[watch]
enabled = {str(watch).lower()}
{extra}
{devices}
"""


@contextmanager
def room(base: Path, devices: str = TEST_DEVICES, **options: object) -> Iterator[Room]:
    """A running room, ended at the end."""
    base.mkdir(parents=True, exist_ok=True)
    it = Room(base, devices, **options)  # type: ignore[arg-type]
    it.start()
    try:
        yield it
    finally:
        it.close()
