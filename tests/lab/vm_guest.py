"""Runs in the virtual machine, by Debian's own Python: does what the host asks over a virtio-serial port, one request after another.

A request is a JSON line, and so is its answer: ``{"run": command, "timeout_s": …}`` gives ``{"status": …, "output": …}``,
``{"put": path, "data": base64, "mode": …}`` gives ``{}``, ``{"get": path}`` gives ``{"data": base64}``. What fails gives ``{"error": …}``.
"""

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

PORT = "/dev/virtio-ports/lab"
TIMED_OUT = 124
"""What coreutils' ``timeout`` says too."""
_NO_HOST_S = 0.2
_READ_BYTES = 1 << 20


def run(command: str, timeout_s: float) -> dict[str, Any]:
    """Run a shell command; standard error is part of the output."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        status = TIMED_OUT
    return {"status": status, "output": output.decode(errors="replace")}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request."""
    try:
        if "run" in request:
            return run(request["run"], request["timeout_s"])
        if "put" in request:
            path = Path(request["put"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(request["data"]))
            path.chmod(request["mode"])
            return {}
        return {"data": base64.b64encode(Path(request["get"]).read_bytes()).decode("ascii")}
    except OSError as error:
        return {"error": str(error)}


def main() -> None:
    """Serve for ever."""
    port = os.open(PORT, os.O_RDWR)
    held = bytearray()
    while True:
        data = os.read(port, _READ_BYTES)
        if not data:
            time.sleep(_NO_HOST_S)  # nobody holds the other end; the port has no other way to say that somebody does
            continue
        held += data
        while b"\n" in held:
            line, _, rest = bytes(held).partition(b"\n")
            held = bytearray(rest)
            answered = memoryview(json.dumps(answer(json.loads(line))).encode() + b"\n")
            while answered:
                answered = answered[os.write(port, answered) :]


if __name__ == "__main__":
    main()
