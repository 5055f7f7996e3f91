"""A network camera to test against: a process that serves RTSP with digest authentication, and that can freeze, stand still or die.

What it shows and sounds is described in ``rtsp_server``; read its pictures with ``frame_strip.read``. Debian packages: python3-gi,
python3-numpy, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-{base,good,bad,ugly}.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

_ROOT = Path(__file__).parents[2]
_PYTHON = "/usr/bin/python3"
_READY_S = 20.0
_PROBE = (
    "import gi, numpy; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    "print(*(name for name in ('x264enc', 'x265enc', 'opusenc', 'rtph264pay') if Gst.ElementFactory.find(name)))"
)

Command = Literal["freeze", "still", "black", "silent", "go"]


def elements() -> set[str]:
    """The encoders that the lab has on this machine; empty where GStreamer is not installed."""
    if not Path(_PYTHON).exists():
        return set()
    done = subprocess.run([_PYTHON, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60)
    return set(done.stdout.split())


class RtspCamera:
    """One running camera. ``url`` and ``sub_url`` are without user and password."""

    def __init__(self, *, log: Path | None = None, port: int = 0, **options: object) -> None:
        """Start the process; ``options`` are those of ``rtsp_server`` (width, height, fps, gop_s, kbps, codec, sound)."""
        self.user, self.password, self.log = "recorder", "lab password", log
        command = [_PYTHON, "-m", "tests.lab.rtsp_server", "--port", str(port), "--user", self.user, "--password", self.password]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        if log:
            command += ["--log", str(log)]
        environment = {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": os.environ.get("HOME", "/")}
        self._process = subprocess.Popen(
            command, cwd=_ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = self._read_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/main"
        self.sub_url = f"rtsp://127.0.0.1:{self.port}/sub"

    @property
    def authorised_url(self) -> str:
        """The address with user and password, for players that take no other."""
        return self.url.replace("://", f"://{self.user}:{self.password.replace(' ', '%20')}@")

    def tell(self, command: Command) -> None:
        """Freeze the sending, show one picture for ever, go black or silent, or go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")

    def hang(self) -> None:
        """Stop the whole process where it stands: connections stay open and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End ``hang``."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """What a pulled plug looks like to the client: the connection ends."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process, whatever state it is in."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _READY_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith("ready "):
            self.close()
            raise RuntimeError(f"the camera did not start: it said '{line.strip()}'")
        return int(line.split()[1])


@contextmanager
def rtsp_camera(**options: object) -> Iterator[RtspCamera]:
    """A camera that is gone afterwards; options as ``RtspCamera``."""
    camera = RtspCamera(**options)  # type: ignore[arg-type]
    try:
        yield camera
    finally:
        camera.close()
