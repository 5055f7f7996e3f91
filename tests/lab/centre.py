"""A real reference centre as a process, with rooms enrolled; it can be killed and started again on the same port."""

import asyncio
import datetime as dt
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.centre.settings import CentreHome, Settings
from agent.upstream.client import Credentials, UpstreamClient
from agent.upstream.enrolment import RoomFiles, enrol

READY_S = 30.0
Line = TypeVar("Line")


class Centre:
    """The centre of a directory."""

    def __init__(self, base: Path, **settings: object) -> None:
        self.base = base
        self.address = str(settings.get("host", "127.0.0.1"))
        self.port = free_port()
        self.home = CentreHome(base / "centre")
        made = Settings.model_validate({"port": self.port, "names": [self.address], **settings})
        self.home.make(made, dt.datetime.now(dt.UTC))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.address}:{self.port}"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.base / "centre.log").read_text(encoding="utf-8")

    def another(self, base: Path) -> "Centre":
        """Another front of this centre: a copy of its directory, on a port of its own (docs/several-fronts.md)."""
        front = Centre.__new__(Centre)
        front.base, front.port, front.home, front.process = base, free_port(), CentreHome(base / "centre"), None
        front.address = self.address
        shutil.copytree(self.home.root, front.home.root, ignore=shutil.ignore_patterns("*.sock", "*.sqlite*", "records", "work"))
        config = front.home.root / "centre.toml"
        config.write_text(config.read_text().replace(f"port = {self.port}", f"port = {front.port}"))
        return front

    def start(self) -> None:
        """Start it, and wait until it takes requests."""
        with (self.base / "centre.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "centre", "run", str(self.home.root)], stdout=log, stderr=log
            )
        end_s = time.monotonic() + READY_S
        while True:
            try:
                self.ask(admin.Rooms())
                return
            except admin.AdminError:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < end_s, self.log
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def ask(self, wanted: admin.AnyAsk) -> dict[str, object]:
        """Ask as who runs it."""
        return admin.ask(self.home.socket, wanted)

    def token(self, room: str) -> str:
        """A token for a room."""
        return str(self.ask(admin.MakeToken(room=room))["token"])

    def enrol(self, room: str) -> RoomFiles:
        """Enrol a room."""
        return asyncio.run(enrol(self.url, self.token(room), room, self.base / "rooms" / room))

    def role(self, role: str) -> Credentials:
        """Credentials of a role."""
        if not (self.base / f"{role}.key").exists():
            self.ask(admin.MakeRole(role=role, to=str(self.base)))
        return Credentials(key=self.base / f"{role}.key", certificate=self.base / f"{role}.pem", roots=self.home.roots)

    def plan(self, *hearings: contract.Hearing) -> None:
        """Push hearings."""
        self.ask(admin.PutSchedule(hearings=list(hearings)))

    def rooms(self) -> dict[str, contract.RoomState]:
        """The state of all rooms."""
        states = msgspec.convert(self.ask(admin.Rooms())["rooms"], list[contract.RoomState])
        return {state.room: state for state in states}

    async def lines(self, path: str, kind: type[Line], role: str = "case_system") -> list[Line]:
        """What the centre answers to somebody of a role, by lines."""
        context = (await asyncio.to_thread(self.role, role)).context()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(self.url + path) as response,
        ):
            assert response.status == 200, await response.text()
            return [msgspec.json.decode(line, type=kind) for line in (await response.read()).splitlines()]

    async def epoch(self, epoch: str) -> list[int]:
        """The sequence numbers of an epoch, in the order in which the centre took them."""
        found: list[int] = []
        after = 0
        while taken := await self.lines(f"/v1/events?after={after}", contract.TakenEvent):
            found += [each.event.seq for each in taken if each.event.epoch == epoch]
            after = taken[-1].number
        return found

    def client(self, files: RoomFiles) -> UpstreamClient:
        """A room's client."""
        return UpstreamClient(self.url, files.credentials)


@contextmanager
def centre(base: Path, **settings: object) -> Iterator[Centre]:
    """A centre that runs."""
    it = Centre(base, **settings)
    it.start()
    try:
        yield it
    finally:
        it.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
