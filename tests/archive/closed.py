"""A room without a network, the disk that is carried, and the archive's station, by the commands."""

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from agent.archive.cli import app
from provisioning.keys import KeyFiles
from provisioning.room import FileKey, Storage
from recorder.contract import control
from recorder.control_server import ControlServer
from recorder.notary import Notary
from recorder.room_disks import RoomDisks
from recorder.seal_trust import SealTrust
from recorder.signing import open_signer
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
CARRIERS = ("Aigerim Sadykova", "Bauyrzhan Ospanov")
ARCHIVISTS = ("Dana Kim", "Ivan Petrov")


@dataclasses.dataclass
class Closed:
    """A room without a network, a disk, and an archive station."""

    base: Path
    keys: KeyFiles
    config: Path
    run: Path

    @property
    def records(self) -> Path:
        return self.base / "records"

    @property
    def disk(self) -> Path:
        return self.base / "disk"

    @property
    def into(self) -> Path:
        return self.base / "archive"

    def do(self, *args: object, people: tuple[str, ...] = (), confirm: tuple[str, ...] | None = None) -> Result:
        """Run the command; the people type their names where they are asked."""
        named = [word for person in people for word in ("--by", person)]
        typed = "".join(f"{word}\n" for word in (people if confirm is None else confirm))
        return CliRunner().invoke(app, [*map(str, args), *named], input=typed, env={"COLUMNS": "300", "TERM": "dumb"})

    def copy(self, *args: object, people: tuple[str, ...] = CARRIERS, confirm: tuple[str, ...] | None = None) -> Result:
        return self.do("--to", self.disk, "--config", self.config, "--run", self.run, *args, people=people, confirm=confirm)

    def receive(self, *, people: tuple[str, ...] = ARCHIVISTS, ca: Path | None = None, signer: tuple[Path, Path] | None = None) -> Result:
        key, certificate = signer or (self.keys.centre_key, self.keys.centre)
        return self.do(
            "receive", self.disk, "--into", self.into, "--key", key, "--certificate", certificate, "--ca", ca or self.keys.root,
            people=people,
        )  # fmt: skip

    def accept(self, *receipts: Path, people: tuple[str, ...] = CARRIERS) -> Result:
        return self.do("accept", *(receipts or (self.disk,)), "--config", self.config, people=people)

    def status(self) -> str:
        return self.do("status", "--config", self.config).stdout


@contextlib.contextmanager
def recorder(run: Path, records: Path, keys: KeyFiles) -> Iterator[None]:
    """The recorder's control socket with its notary behind it: whose device key nobody else has."""
    run.mkdir(exist_ok=True)
    signer = open_signer(FileKey(kind="file", key=str(keys.device_key), chain=str(keys.chain)))
    notary = Notary(RoomDisks(Storage(primary=str(records), mirror=str(records.with_name("mirror"))), SealTrust(signer.chain)), signer)

    async def do(request: control.AnyRequest) -> control.Reply:
        assert isinstance(request, control.CertifyHandover)
        return await notary.do(request)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    server = ControlServer(run, do, lambda: None, frozenset())  # type: ignore[arg-type,return-value]
    wait(server.start())
    try:
        yield
    finally:
        wait(server.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def closed_network(tmp_path: Path, key_files: KeyFiles) -> Iterator[Closed]:
    """All of it, under a directory."""
    for name in ("records", "disk", "archive"):
        (tmp_path / name).mkdir()
    config = tmp_path / "room.toml"
    config.write_text(
        f'centre_roots = "{key_files.root}"\n[room]\nid = "room-1"\ncourt = "Court"\n[storage]\nprimary = "{tmp_path / "records"}"\n'
        f'[signing]\nkind = "file"\nkey = "{key_files.device_key}"\nchain = "{key_files.chain}"\n'
        '[[camera]]\nid = "cam"\ndriver = "test-pattern"\n'
    )
    with recorder(tmp_path / "run", tmp_path / "records", key_files):
        yield Closed(tmp_path, key_files, config, tmp_path / "run")


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def in_archive(closed: Closed) -> list[str]:
    return sorted(path.name for path in closed.into.iterdir() if path.is_dir() and not path.name.startswith("."))
