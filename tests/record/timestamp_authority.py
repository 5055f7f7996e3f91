"""A timestamp authority over HTTP (RFC 3161, section 3.4) around ``openssl ts``."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Self


class TimestampAuthority:
    """Answers on a port of its own while entered; ``directory`` holds what ``courtroom keys make`` made."""

    def __init__(self, directory: Path, *, garbage: bytes | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                answer = garbage if garbage is not None else reply(directory, query)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}/tsa"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def reply(directory: Path, query: bytes) -> bytes:
    """What the authority answers to a query (DER)."""
    (directory / "query.tsq").write_bytes(query)
    command = ["openssl", "ts", "-reply", "-config", str(directory / "tsa.cnf"), "-queryfile", str(directory / "query.tsq")]
    subprocess.run([*command, "-out", str(directory / "reply.tsr")], check=True, capture_output=True)
    return (directory / "reply.tsr").read_bytes()
