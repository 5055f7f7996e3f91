"""A blocking client of the recorder's control socket, for command lines and tests."""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.contract import control


class ControlError(Exception):
    """The recorder refused, or cannot be reached; the message says what to do."""


class ControlClient:
    """One connection to the control socket; use as a context manager."""

    def __init__(self, run_dir: Path, timeout_s: float = 60.0) -> None:
        path = run_dir / "control.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except PermissionError as error:
            self._socket.close()
            raise ControlError(f"this user may not speak to the recorder at {path}; run it as root") from error
        except OSError as error:
            self._socket.close()
            raise ControlError(
                f"no recorder answers at {path} ({error.strerror or error}); is `courtroom recorder run` running there?"
            ) from error
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def send(self, request: control.Request) -> control.Reply | control.Status:
        """Send a request and return its answer; one without ``ok`` was obeyed, and warns that it is not on the disk yet.

        Raises:
            ControlError: the recorder refused, or closed the connection.
        """
        self._socket.sendall(control.json_encoder.encode(request) + b"\n")
        answer = self._read()
        if isinstance(answer, control.Reply) and not control.is_obeyed(request, answer):
            raise ControlError(answer.error)
        return answer

    def do(self, request: control.Request) -> control.Reply:
        """Send a request that is answered by a ``Reply``."""
        answer = self.send(request)
        if not isinstance(answer, control.Reply):
            raise ControlError("the recorder answered with a status where a reply was due")
        return answer

    def status(self) -> control.Status:
        """The recorder's state now."""
        answer = self.send(control.GetStatus())
        if not isinstance(answer, control.Status):
            raise ControlError("the recorder answered with no status")
        return answer

    def statuses(self) -> Iterator[control.Status]:
        """The stream of states, at least five a second."""
        answer = self.send(control.Subscribe())
        while True:
            if isinstance(answer, control.Status):
                yield answer
            answer = self._read()

    def _read(self) -> control.Reply | control.Status:
        line = self._lines.readline()
        if not line:
            raise ControlError("the recorder closed the connection")
        answer: control.Reply | control.Status = control.from_recorder.decode(line)
        return answer
