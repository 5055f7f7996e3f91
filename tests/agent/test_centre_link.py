"""The link to the centre, whose certificate expired while the room was switched off."""

import asyncio
import contextlib
import datetime as dt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import centre_link
from agent.clock_quality import ClockWatch
from agent.main import Agent
from agent.room_process import RoomProcess
from agent.upstream.enrolment import enrol_transport
from agent.upstream.requests import request
from provisioning.room_file import load
from tests.lab.centre import centre
from tests.lab.room import TEST_DEVICES
from tests.lab.waiting import until

ROOM = "almaty-1"


def test_an_expired_certificate_names_the_command_and_the_new_one_is_taken_up_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centre_link, "TRY_CERTIFICATE_AGAIN_S", 0.05)
    with centre(tmp_path) as it:
        files = it.enrol(ROOM)
        key = serialization.load_pem_private_key(files.transport_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        authority, then = it.home.authority(), dt.datetime.now(dt.UTC) - dt.timedelta(days=31)
        expired = authority.transport(request(key, ROOM), ROOM, then).public_bytes(serialization.Encoding.PEM).decode()
        files.transport.write_text(expired + authority.chain_pem)
        config = tmp_path / "room.toml"
        config.write_text(
            f'{files.stanzas(it.url)}[room]\nid = "{ROOM}"\ncourt = "Court"\n[storage]\nprimary = "{tmp_path / "records"}"\n{TEST_DEVICES}'
        )
        token = it.token(ROOM)

        async def run() -> None:
            process = RoomProcess(load(config), tmp_path, ClockWatch())
            await process.open(tmp_path / "agent.sqlite")
            agent = Agent(process, tmp_path, tmp_path)
            task = asyncio.create_task(agent.run(asyncio.Event()))
            try:
                command = f"COURTROOM_TOKEN=… courtroom enrol {ROOM} --transport-only --centre {it.url} --to {files.roots.parent}"
                await until(lambda: any(command in alarm for alarm in agent._linked.alarms()), "the alarm")
                assert not agent._linked.reached()
                await enrol_transport(it.url, token, ROOM, files.roots.parent, dt.datetime.now(dt.UTC))
                await until(lambda: bool(agent._linked.reached()) and not agent._linked.alarms(), "the centre")
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await process.store.close()

        asyncio.run(run())
