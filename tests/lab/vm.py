"""A virtual machine with Debian's kernel and systemd, whose power can be cut: real kernel devices and a real boot, without hardware.

QEMU emulates every instruction (no KVM is asked for), about ten times slower than the PC: take small pictures and long deadlines. Killing
QEMU is a power cut: what the guest had not synced is gone, also from the disk image's own cache.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.lab.vm_image import REPOSITORY, VmImage, image

BOOT_S = 300.0
"""Deadline for a boot; it takes some 40 s on an idle PC."""
MEMORY_MIB = 2048
CPUS = 2
_NICE = 10
_SOCKET_S = 20.0
_SLACK_S = 60.0
"""How long the guest may be late with an answer beyond the command's own deadline."""
_READ_BYTES = 1 << 20
_POLL_S = 0.3


class VmError(Exception):
    """The machine does not answer, or a command failed in it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended in the guest: exit status, and what it wrote."""

    status: int
    output: str


class Vm:
    """One machine; use as ``with vm(tmp_path) as machine``."""

    def __init__(self, directory: Path, of: VmImage) -> None:
        self.boot_s = 0.0
        """How long the last boot took until the guest answered."""
        self._image = of
        self._disk = directory / "disk.qcow2"
        self._console = directory / "console.log"
        # A socket's path has at most 108 bytes (unix(7)), a test's directory may have more.
        self._socket_dir = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._held = b""
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(of.disk.resolve()), str(self._disk)], check=True, timeout=60
        )

    def boot(self) -> None:
        """Switch on, and wait until the guest takes commands."""
        began_s = time.monotonic()
        path = f"/proc/self/fd/{os.open(self._socket_dir, os.O_PATH)}/lab.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                (self._socket_dir / "lab.sock").unlink()
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(_SOCKET_S)
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, cwd=self._socket_dir)
            self._link, _ = listener.accept()
        finally:
            listener.close()
            os.close(int(path.split("/")[4]))
        self._held = b""
        self.check("true", timeout_s=BOOT_S)
        self.boot_s = time.monotonic() - began_s

    def run(self, command: str, timeout_s: float = 120.0) -> Ran:
        """Run a shell command as root; status 124 where it took longer."""
        answer = self._ask({"run": command, "timeout_s": timeout_s}, timeout_s)
        return Ran(answer["status"], answer["output"])

    def check(self, command: str, timeout_s: float = 120.0) -> str:
        """Run a shell command that must succeed; returns what it wrote."""
        ran = self.run(command, timeout_s)
        if ran.status != 0:
            raise VmError(f"{command}: status {ran.status}\n{ran.output}")
        return ran.output

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in the guest; its directories are made."""
        self._ask({"put": path, "data": base64.b64encode(data).decode("ascii"), "mode": mode}, _SLACK_S)

    def get(self, path: str) -> bytes:
        """Read a file of the guest."""
        return base64.b64decode(self._ask({"get": path}, _SLACK_S)["data"])

    def get_folder(self, path: str, into: Path) -> None:
        """Copy a folder of the guest to ``into``, which is made."""
        self.check(f"tar --create --file /tmp/lab.tar --directory '{path}' . && chmod 600 /tmp/lab.tar")
        with tarfile.open(fileobj=BytesIO(self.get("/tmp/lab.tar"))) as packed:
            packed.extractall(into, filter="data")
        self.check("rm /tmp/lab.tar")

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> float:
        """Wait until the condition holds; returns how long that took, in seconds.

        Raises:
            VmError: it does not hold in time.
        """
        began_s = time.monotonic()
        while not condition():
            if time.monotonic() - began_s > timeout_s:
                raise VmError(f"not within {timeout_s:g} s: {what}")
            time.sleep(_POLL_S)
        return time.monotonic() - began_s

    def install(self) -> float:
        """Copy this repository into the guest and install it as a technician does; returns how long the installation took, in seconds."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
            timeout=60,
        )
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in filter(None, listed.stdout.decode().split("\0")):
                if (REPOSITORY / name).exists():  # deleted, and not yet committed
                    archive.add(REPOSITORY / name, f"courtroom-agent/{name}")
            for built in ("vks/static", "agent/upstream/centre/static"):  # here: the machine has no network
                if (REPOSITORY / built).exists():
                    archive.add(REPOSITORY / built, f"courtroom-agent/{built}")
        self.put("/root/repository.tar", packed.getvalue())
        self.check("tar --extract --file /root/repository.tar --directory /root --no-same-owner")
        began_s = time.monotonic()
        self.check("SETUP_PAGES=no /root/courtroom-agent/scripts/install-room", timeout_s=600)
        return time.monotonic() - began_s

    def power_cut(self) -> None:
        """Cut the power. The next ``boot`` starts from what the disk holds."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def console(self, lines: int = 30) -> str:
        """The end of what kernel and systemd wrote on the serial console."""
        if not self._console.exists():
            return ""
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-lines:])

    def _command(self) -> list[str]:
        return [
            "nice", "-n", str(_NICE), "qemu-system-x86_64",
            "-accel", "tcg", "-cpu", "max", "-machine", "q35", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(self._image.kernel.resolve()), "-initrd", str(self._image.initrd.resolve()),
            "-append", "root=/dev/vda rw console=ttyS0 systemd.show_status=yes",
            "-drive", f"file={self._disk.name},format=qcow2,if=virtio,cache=writeback",
            "-serial", f"file:{self._console.name}",
            "-device", "virtio-serial-pci", "-chardev", "socket,id=lab,path=lab.sock",
            "-device", "virtserialport,chardev=lab,name=lab", "-device", "virtio-rng-pci",
        ]  # fmt: skip

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        if self._link is None:
            raise VmError("the machine is off")
        end_s = time.monotonic() + timeout_s + _SLACK_S
        self._link.settimeout(timeout_s + _SLACK_S)
        try:
            self._link.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._held:
                self._link.settimeout(max(0.01, end_s - time.monotonic()))
                data = self._link.recv(_READ_BYTES)
                if not data:
                    raise VmError(f"the machine has ended\n{self.console()}")
                self._held += data
        except TimeoutError as error:
            raise VmError(f"no answer to {str(request)[:200]}\n{self.console()}") from error
        line, _, self._held = self._held.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise VmError(answer["error"])
        return answer


@contextmanager
def vm(directory: Path) -> Iterator[Vm]:
    """A machine that has booted; it is gone afterwards."""
    machine = Vm(directory, image())
    try:
        machine.boot()
        yield machine
    finally:
        machine.power_cut()
