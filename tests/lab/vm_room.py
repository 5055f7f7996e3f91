"""A room in a virtual machine, set up as a technician does: keys, room.toml, the recorder's unit. Spoken to over its control socket."""

from collections.abc import Callable
from pathlib import Path

from recorder.contract import control
from tests.lab.vm import Ran, Vm, VmError

CONFIG = "/etc/courtroom/room.toml"
KEYS = "/etc/courtroom/keys"
RECORDS = "/srv/courtroom"
SERVICE = "courtroom-recorder"
READY_S = 120.0
"""Under emulation a child takes some 10 s to import its codecs."""
_ASK = """\
import socket
import sys

with socket.socket(socket.AF_UNIX) as link:
    link.connect("/run/courtroom/control.sock")
    link.sendall(sys.argv[1].encode() + b"\\n")
    sys.stdout.write(link.makefile().readline())
"""
_ROOM = f"""\
centre_roots = "/etc/courtroom/roots.pem"
[room]
id = "lab"
court = "Lab court"
[storage]
primary = "{RECORDS}"
[signing]
kind = "file"
key = "{KEYS}/device.key"
chain = "{KEYS}/device-chain.pem"
[[recipient]]
name = "Court archive"
certificate = "{KEYS}/court.pem"
"""


def say(text: str) -> None:
    """Print a measured figure (pytest shows it with -rP or -s)."""
    print(f"\nvirtual machine: {text}")


class VmRoom:
    """The room, configured; ``start`` starts it."""

    def __init__(self, machine: Vm, devices: str) -> None:
        self.machine = machine
        self.install_s = machine.install()
        # Debian's own Python: it starts in a tenth of the time that the agent's command line takes here.
        machine.put("/root/ask.py", _ASK.encode())
        machine.check(f"courtroom keys make {KEYS} --room lab")
        self.configure(devices)

    def configure(self, devices: str) -> None:
        """Put room.toml in its place; the recorder reads it when it starts."""
        self.machine.put(CONFIG, (_ROOM + devices).encode())

    def start(self) -> control.Status:
        """Enable and start the unit, and wait until all tracks deliver."""
        self.machine.check(f"systemctl enable --quiet --now {SERVICE}")
        return self.wait_live()

    def status(self) -> control.Status | None:
        """What the recorder says of itself; None where nobody answers."""
        ran = self.machine.run("""python3 /root/ask.py '{"do":"status"}'""")
        answer = control.from_recorder.decode(ran.output) if ran.status == 0 else None
        return answer if isinstance(answer, control.Status) else None

    def wait(self, condition: Callable[[control.Status], bool], what: str, timeout_s: float = READY_S) -> control.Status:
        """Wait until the recorder answers and is as wanted.

        Raises:
            VmError: not in time.
        """
        last: list[control.Status] = []

        def holds() -> bool:
            status = self.status()
            if status is None:
                return False
            last[:] = [status]
            return condition(status)

        try:
            self.machine.wait(holds, what, timeout_s)
        except VmError as error:
            raise VmError(f"{error}; last {last}\n{self.journal()}") from error
        return last[0]

    def wait_live(self) -> control.Status:
        """Wait until every track delivers, without alarms."""
        return self.wait(
            lambda status: (
                bool(status.channels) and not status.alarms and all(channel.live and channel.units for channel in status.channels)
            ),
            "all tracks live",
        )

    def recorded(self, seconds: float) -> None:
        """Wait until every track has so much more on the disk."""
        before = {channel.track: channel.written_us for channel in self.wait(lambda _: True, "status").channels}
        self.wait(
            lambda status: all(
                channel.written_us - before.get(channel.track, 0) >= seconds * 1_000_000 for channel in status.channels
            ),
            f"{seconds:g} s more on the disk",
            seconds + READY_S,
        )  # fmt: skip

    def begin(self) -> str:
        """Start a hearing; returns the record's path in the guest."""
        return self.machine.check("courtroom recorder start 7599-26-00-2/1 --by 'Clerk A. Omarova'").strip()

    def stop(self) -> str:
        """Stop and seal; returns the record's path in the guest."""
        return self.machine.check("courtroom recorder stop --by 'Clerk A. Omarova'").strip()

    def verify(self, record: str) -> Ran:
        """``courtroom verify`` in the guest, with the room's root."""
        return self.machine.run(f"COLUMNS=250 courtroom verify '{record}' --ca {KEYS}/root.pem")

    def copy_out(self, record: str, into: Path) -> tuple[Path, tuple[Path, Path]]:
        """Copy a record to the host; returns where, and the court's key and certificate."""
        self.machine.get_folder(record, into / "record")
        key, certificate = into / "court.key", into / "court.pem"
        key.write_bytes(self.machine.get(f"{KEYS}/court.key"))
        certificate.write_bytes(self.machine.get(f"{KEYS}/court.pem"))
        return into / "record", (key, certificate)

    def journal(self, lines: int = 30) -> str:
        """The end of what the unit logged."""
        return self.machine.run(f"journalctl --unit={SERVICE} --no-pager --lines={lines} --output=cat").output
