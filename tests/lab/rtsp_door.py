"""The entrance of an RTSP device (RFC 2326), in TLS or not: asks for a password (RFC 7617), notes it, and then has no such stream."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.lab.tls import Pair


class RtspDoor:
    """One listener on 127.0.0.1. ``credentials`` are those that arrived, as ``user:password``."""

    def __init__(self, pair: Pair | None = None) -> None:
        """Listen; with ``pair`` in TLS, by that certificate."""
        self.credentials: list[str] = []
        self._tls = None
        if pair is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(pair.certificate, pair.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "rtsp" if pair is None else "rtsps"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/main"
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def close(self) -> None:
        """Take no further connection; the one that is open is served to its end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:  # a client that does not believe the certificate leaves
                if self._tls is None:
                    self._serve(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                        self._serve(wrapped)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while line := lines.readline():
                method = line.split(b" ", 1)[0].decode()
                header: dict[str, str] = {}
                while (field := lines.readline().decode().strip()) != "":
                    name, _, value = field.partition(":")
                    header[name.lower()] = value.strip()
                said = header.get("authorization", "")
                if said:
                    self.credentials.append(base64.b64decode(said.removeprefix("Basic ")).decode())
                if method == "OPTIONS":
                    status = "200 OK\r\nPublic: OPTIONS, DESCRIBE"
                else:
                    status = "404 Not Found" if said else '401 Unauthorized\r\nWWW-Authenticate: Basic realm="lab"'
                connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {header['cseq']}\r\n\r\n".encode())


@contextmanager
def rtsp_door(pair: Pair | None = None) -> Iterator[RtspDoor]:
    """A door that is gone afterwards."""
    door = RtspDoor(pair)
    try:
        yield door
    finally:
        door.close()
