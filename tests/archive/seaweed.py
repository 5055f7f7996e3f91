"""SeaweedFS as an S3 server of our own: from its wheel, on loopback, with credentials, and killed when asked."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.exceptions

from agent.upstream.centre.s3_storage import S3Settings, S3Storage

ACCESS, SECRET, BUCKET = "archive", "not-a-secret-in-tests", "records"


def free_port() -> int:
    """A port that is free now, with the one 10,000 above it: SeaweedFS listens on both."""
    for _ in range(1000):
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1]) - 12_000
            with contextlib.suppress(OSError), socket.socket() as third:
                other.bind(("127.0.0.1", port))
                third.bind(("127.0.0.1", port + 10_000))
                return port
    raise AssertionError("no free ports")


class Seaweed:
    """The server; ``start`` again after ``kill`` finds the same data on the same port."""

    def __init__(self, directory: Path, most_gib: int) -> None:
        self._directory = directory
        self._volumes = most_gib * 16
        self._ports = [free_port() for _ in range(4)]
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "s3.json"
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        credentials = [{"accessKey": ACCESS, "secretKey": SECRET}]
        self._config.write_text(json.dumps({"identities": [{"name": "centre", "credentials": credentials, "actions": actions}]}))

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "endpoint": f"http://127.0.0.1:{self._ports[3]}", "bucket": BUCKET, "access_key": ACCESS, "secret_key": SECRET, "lock_days": 1,
        }  # fmt: skip

    def start(self) -> None:
        weed = Path(sys.executable).with_name("weed")
        master, volume, filer, s3 = self._ports
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self._directory}", f"-master.port={master}",
                    f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}", "-filer", "-s3", f"-s3.config={self._config}",
                    "-master.telemetry=false", f"-volume.max={self._volumes}", "-master.volumeSizeLimitMB=64",
                    "-s3.port.iceberg=0", "-s3.port.lance=0",  # they have one port each, whoever else runs
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        """Until a write through the gateway is answered and can be read back."""
        deadline = time.monotonic() + 60
        storage = S3Storage(S3Settings(**self.settings))
        try:
            while True:
                try:
                    with contextlib.suppress(
                        storage._client.exceptions.BucketAlreadyExists, storage._client.exceptions.BucketAlreadyOwnedByYou
                    ):
                        storage._client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
                    storage._client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                    storage._client.get_object(Bucket=BUCKET, Key="ready")["Body"].read()
                    return
                except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
        finally:
            storage.close()


@contextmanager
def running(directory: Path, most_gib: int = 2) -> Iterator[Seaweed]:
    with warnings.catch_warnings():
        server = Seaweed(directory, most_gib)
        server.start()
        try:
            yield server
        finally:
            server.kill()
