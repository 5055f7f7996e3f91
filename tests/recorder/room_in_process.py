"""A recorder of one room in the test's own process, without children: its disks, its key and its clock can be made to fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from provisioning.room import RoomConfig
from recorder.contract import control
from recorder.core import Recorder
from recorder.record import entries
from recorder.record.entries import AnyEntry
from recorder.seal import read_journal
from recorder.session_store import SessionStore
from recorder.signing import KeySigner
from tests.lab.waiting import until
from tests.recorder.committing import keys, signer


class RoomInProcess:
    """The recorder and its two disks."""

    def __init__(self, base: Path, key: KeySigner | None = None, **stanzas: object) -> None:
        self.base, self.primary, self.mirror = base, base / "primary", base / "mirror"
        self.primary.mkdir(parents=True, exist_ok=True)
        self.mirror.mkdir(exist_ok=True)
        roots = base / "root.pem"
        roots.write_bytes(keys().root.certificate.public_bytes(serialization.Encoding.PEM))
        self.config = RoomConfig.model_validate(
            {
                "centre_roots": str(roots),
                "room": {"id": "room-1", "court": "Court"},
                "storage": {"primary": str(self.primary), "mirror": str(self.mirror), "ballast_mib": 1},
                "signing": {"kind": "file", "key": "k", "chain": "c"},
                "microphone": [{"id": "mic", "driver": "test-tone", "channels": [{"id": "judge", "number": 1}]}],
                "watch": {"enabled": False},
                "mix": {"enabled": False},
                **stanzas,
            }
        )
        self.store = SessionStore(self.config, key or signer(), "0" * 64)
        self.recorder = Recorder(self.config, base, self.store, [])

    async def without_children(self) -> None:
        """Start the recorder, which takes up what is there; its devices stay away."""
        self.recorder.children.clear()
        await self.recorder.start()

    async def do(self, request: control.AnyRequest) -> control.Reply:
        return await self.recorder.handle(request)

    async def begin(self) -> Path:
        reply = await self.do(control.Start(hearing="hearing-1", actor="clerk"))
        assert reply.ok, reply.error
        return Path(reply.record)

    async def stop(self) -> Path:
        reply = await self.do(control.StopRequest(actor="clerk"))
        assert reply.ok, reply.error
        return Path(reply.record)

    async def mirror_in_step(self) -> None:
        def in_step() -> bool:
            opened = self.recorder.opened
            return opened is not None and opened.committer.mirror is not None and opened.committer.mirror.state == "in_step"

        await until(in_step, "the mirror to be in step")

    def alarms(self) -> list[str]:
        return [alarm.code for alarm in self.recorder.status().alarms]


def entries_of(record: Path) -> list[AnyEntry]:
    return [entry for _, entry in read_journal(record)]


def alarms_in(record: Path) -> list[tuple[str, bool]]:
    return [(entry.code, entry.on) for entry in entries_of(record) if isinstance(entry, entries.Alarm)]


@asynccontextmanager
async def timers(recorder: Recorder) -> AsyncIterator[None]:
    """Its timers run meanwhile."""
    task = asyncio.create_task(recorder.run_timers())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
