"""Runs a child as the core does, with a link of its own, and collects what it says."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from recorder.contract import child
from recorder.contract.framing import FrameReader, pack
from recorder.record.fragment_time import fragment_time, header_timescale

Said = tuple[child.Message, bytes]
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, deadline_s: float = 10) -> T:
    """Poll until the condition gives something true."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}")
        time.sleep(0.005)
    return value


def assert_boxes_say_what_their_messages_do(said: Iterable[Said]) -> None:
    """The verifier goes by the boxes where nobody signed what the journal says."""
    for message, body in said:
        if isinstance(message, child.Init):
            assert header_timescale(body) == message.timescale
        elif isinstance(message, child.Fragment):
            time_of = fragment_time(body, len(body))
            assert (time_of.start, time_of.duration) == (message.t0, message.dur)


class Linked:
    """A running child."""

    def __init__(self, module: str) -> None:
        self._link, theirs = socket.socketpair()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", module],
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), child.LINK_FD)],
        )
        theirs.close()
        self.pid = pid
        self.said: list[Said] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def tell(self, message: child.Message) -> None:
        self._link.sendall(pack(child.encoder.encode(message)))

    def all(self, kind: type[T]) -> list[T]:
        return [message for message, _ in list(self.said) if isinstance(message, kind)]

    def first(self, kind: type[T], deadline_s: float = 10) -> T:
        try:
            wait_for(lambda: self.all(kind) or self.ended.is_set(), kind.__name__, deadline_s)
            return self.all(kind)[0]
        except (AssertionError, IndexError):
            said = [repr(message)[:200] for message, _ in list(self.said)][-8:]
            raise AssertionError(f"no {kind.__name__} in {deadline_s} s (ended: {self.ended.is_set()}); the child said {said}") from None

    def media(self, track: str, part: int = 1) -> bytes:
        """Header and fragments of a part, as a file."""
        return b"".join(
            body for m, body in list(self.said) if isinstance(m, child.Init | child.Fragment) and m.track == track and m.part == part
        )

    def close(self) -> int:
        """Close the link, as a core that ends does; the child's exit code."""
        self._link.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + 5
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
                raise AssertionError("the child outlived its link")
            time.sleep(0.01)
        self._thread.join()
        self._link.close()
        return os.waitstatus_to_exitcode(status)

    def _listen(self) -> None:
        frames = FrameReader()
        while data := self._link.recv(1 << 18):
            for head, body in frames.feed(data):
                self.said.append((child.from_child.decode(head), body))
        self.ended.set()


@contextmanager
def linked(module: str, device: dict[str, Any], run_dir: Path, **configuration: Any) -> Iterator[Linked]:
    """A child that is configured; it must end by itself with its link."""
    running = Linked(module)
    try:
        running.tell(child.Configure(device=device, run_dir=str(run_dir), **configuration))
        yield running
    finally:
        code = running.close()
    assert code == 0, f"the child ended with {code}"


def peer(path: Path) -> socket.socket:
    """A connection to a child's socket, once somebody listens there: its file is made a moment before."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)

    def connected() -> bool:
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    try:
        wait_for(connected, str(path))
    except BaseException:
        sock.close()
        raise
    return sock
