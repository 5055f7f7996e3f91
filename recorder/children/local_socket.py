"""Unix stream sockets between the processes of this PC: made, asked who is at the other end, and read without waiting (unix(7))."""

import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")


class SocketError(OSError):
    """A socket cannot be made; ``strerror`` names it and says why."""


def listen(path: Path, mode: int, backlog: int) -> socket.socket:
    """A socket that waits for peers, in place of one that was left behind at its path; nothing on it blocks.

    Raises:
        SocketError: it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise SocketError(error.errno, f"the socket {path} cannot be made: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def accept(listener: socket.socket) -> tuple[socket.socket, int] | None:
    """The next peer and its user id; None where nobody waits any more. Nothing on the connection blocks."""
    try:
        sock, _ = listener.accept()
    except OSError:
        return None  # it left before it was let in
    sock.setblocking(False)
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return sock, uid


def receive(sock: socket.socket, most_bytes: int) -> bytes | None:
    """What has come; empty at the connection's end, None where nothing waits."""
    try:
        return sock.recv(most_bytes)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
