import asyncio
import datetime as dt
import itertools
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import sign
from agent.archive.offer import files_by_seal, sums_sha256
from provisioning.keys import Hierarchy, Identity, KeyFiles, build, write
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.trust import Authorities
from tests.archive.closed import Closed, closed_network
from tests.archive.seaweed import Seaweed, free_port, running
from tests.record.record_builder import RECORD, Builder

BIG = {"cam-judge": ("video", 3_000_000), "mic-judge": ("audio", 2000)}


@pytest.fixture(scope="session")
def keys() -> Hierarchy:
    return build("room-1", dt.datetime.now(dt.UTC))


@pytest.fixture(scope="session")
def key_files(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return write(keys, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def authorities(keys: Hierarchy) -> Authorities:
    return Authorities([keys.root.certificate])


@pytest.fixture
def make_record(keys: Hierarchy, tmp_path: Path) -> Callable[..., Builder]:
    """Makes a sealed record under ``tmp_path/records``; ``big`` has a camera whose segments are of three parts.

    ``unsigned_s``: behind it a stretch that nobody signed, and a crash.
    """
    numbers = itertools.count()

    def make(*, big: bool = False, seconds: float = 6, unsigned_s: float = 0) -> Builder:
        options: dict[str, Any] = {"tracks": dict(BIG)} if big else {}
        options["record_id"] = uuid.UUID(int=RECORD.int + next(numbers))
        builder = Builder(tmp_path / "records", keys, **options)
        builder.record(seconds)
        if unsigned_s:
            builder.record(unsigned_s, signed=False)
            builder.recover()
            builder.record(2)
        builder.close()
        return builder

    return make


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


def acknowledged(builder: Builder, signer: Identity, **other: object) -> Acknowledgement:
    """An acknowledgement for a record as it is, by this signer, with something else in it."""
    sizes, files_sha256 = files_by_seal(builder.root)
    bare = Acknowledgement(
        record=str(builder.record_id), room="room-1", sums_sha256=sums_sha256(builder.root), files_sha256=files_sha256,
        bytes=sum(sizes.values()), files=len(sizes), verdict="sealed", counter=1, utc_us=time.time_ns() // 1000, by="Centre", sig="",
        certificate="",
    )  # fmt: skip
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    return sign(msgspec.structs.replace(bare, **other), signer.key, signer.certificate)


async def until(condition: Callable[[], bool]) -> None:
    """Until it is so, or the test has failed."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@dataclass
class Site:
    """A centre and a room as processes, to be killed."""

    home: Path
    keys: KeyFiles
    s3: dict[str, Any] | None = None
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[str]:
        path = self.home / "requests.log"
        return path.read_text().splitlines() if path.exists() else []

    def centre(self) -> subprocess.Popen[str]:
        settings = {
            "home": str(self.home), "log": str(self.home / "requests.log"), "port": self.port, "key": str(self.keys.centre_key),
            "certificate": str(self.keys.centre), "roots": str(self.keys.root), "s3": self.s3,
        }  # fmt: skip
        process = self._run("rooms_centre", "centre.json", settings)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.base}/v1/uploads/none", timeout=5)  # noqa: S310 - our own
            except urllib.error.HTTPError as error:
                error.close()
                return process
            except OSError:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def room(self, record: Path, cap_bytes_s: float | None = None) -> subprocess.Popen[str]:
        settings = {
            "device_key": str(self.keys.device_key), "chain": str(self.keys.chain), "roots": str(self.keys.root), "base": self.base,
            "record": str(record), "cap_bytes_s": cap_bytes_s,
        }  # fmt: skip
        return self._run("room_uploader", "room.json", settings)

    def _run(self, module: str, name: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
        (self.home / name).write_text(json.dumps(settings))
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.archive.{module}", str(self.home / name)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def site(tmp_path: Path, key_files: KeyFiles) -> Iterator[Site]:
    home = tmp_path / "centre"
    home.mkdir()
    made = Site(home, key_files)
    yield made
    made.close()


def lines_until(process: subprocess.Popen[str], enough: Callable[[str], bool]) -> list[str]:
    """What a process says up to the line that is enough, or to its end."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if enough(said[-1]):
            break
    return said


@pytest.fixture
def closed(tmp_path: Path, key_files: KeyFiles) -> Iterator[Closed]:
    with closed_network(tmp_path, key_files) as made:
        yield made
