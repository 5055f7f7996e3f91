"""Debian's TURN server, configured as docs/videoconference.md has it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.network import Node
from tests.lab.tls import Pair

DOCUMENT = Path(__file__).parents[2] / "docs/videoconference.md"
SECRET = "4f0c6d4be1a9a7d2c3b8"
UDP_PORT, TLS_PORT = 3478, 443


def missing() -> bool:
    """Whether Debian's coturn is not installed."""
    return shutil.which("turnserver") is None


def documented(node: Node, pair: Pair) -> str:
    """The documented configuration with this node's address, key and secret in it."""
    found = re.search(r"```\n(# /etc/turnserver\.conf\n.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, "the document has no turnserver.conf"
    text = found[1]
    for key, value in {
        "listening-ip": node.address, "relay-ip": node.address, "static-auth-secret": SECRET, "cert": pair.certificate, "pkey": pair.key,
    }.items():  # fmt: skip
        text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == 1, f"{key} stands {count} times in the document"
    return text


@contextmanager
def coturn(base: Path, node: Node, pair: Pair) -> Iterator[Path]:
    """A TURN server in a node; yields its log."""
    log, config = base / "coturn.log", base / "turnserver.conf"
    config.write_text(documented(node, pair), encoding="utf-8")
    command = ["turnserver", "-c", str(config), "--log-file", "stdout", "--simple-log", "--pidfile", "", "--userdb", str(base / "turndb")]
    with log.open("wb") as said, node.entered():
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        yield log
    finally:
        process.terminate()
        process.wait()
