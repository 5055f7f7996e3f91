"""The link to the centre, and what the room says where certificates are in the way."""

import asyncio
import contextlib
import datetime as dt
import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import centre_link, centre_watch
from agent.clock_quality import ClockWatch
from agent.commands import Commands
from agent.main import Agent
from agent.room_process import RoomProcess
from agent.upstream.centre import admin
from agent.upstream.enrolment import RoomFiles, enrol_transport
from agent.upstream.requests import request
from provisioning.room_file import load
from tests.lab.centre import Centre, centre
from tests.lab.room import TEST_DEVICES
from tests.lab.tls import Authority
from tests.lab.waiting import until

ROOM = "almaty-1"


def configured(base: Path, it: Centre, files: RoomFiles) -> Path:
    config = base / "room.toml"
    config.write_text(
        f'{files.stanzas(it.url)}[room]\nid = "{ROOM}"\ncourt = "Court"\n[storage]\nprimary = "{base / "records"}"\n{TEST_DEVICES}'
    )
    return config


@asynccontextmanager
async def running(config: Path, base: Path) -> AsyncIterator[Agent]:
    process = RoomProcess(load(config), base, ClockWatch())
    await process.open(base / "agent.sqlite")
    agent = Agent(process, base, base)
    task = asyncio.create_task(agent.run(asyncio.Event()))
    try:
        yield agent
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await process.store.close()


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
        config = configured(tmp_path, it, files)
        token = it.token(ROOM)

        async def run() -> None:
            async with running(config, tmp_path) as agent:
                command = f"COURTROOM_TOKEN=… courtroom enrol {ROOM} --transport-only --centre {it.url} --to {files.roots.parent}"
                await until(lambda: any(command in alarm for alarm in agent._linked.alarms()), "the alarm")
                assert not agent._linked.reached()
                await enrol_transport(it.url, token, ROOM, files.roots.parent, dt.datetime.now(dt.UTC))
                await until(lambda: bool(agent._linked.reached()) and not agent._linked.alarms(), "the centre")

        asyncio.run(run())


def test_a_room_that_was_revoked_is_told_that_the_centre_refuses_it(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        config = configured(tmp_path, it, it.enrol(ROOM))
        it.ask(admin.Revoke(name=ROOM))

        async def run() -> None:
            async with running(config, tmp_path) as agent:
                await until(lambda: "revoked" in agent._staff.state().centre_refuses, "the refusal")
                assert agent._staff.state().centre_reached is False

        asyncio.run(run())


def test_a_room_whose_certificate_is_another_authoritys_says_what_is_perhaps_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centre_watch, "UNTRUSTED_BEATS", 1)
    with centre(tmp_path) as it:
        files = it.enrol(ROOM)
        stranger = Authority(tmp_path / "stranger", "Another root").issue("room", urn=f"urn:courtroom:room:{ROOM}")
        shutil.copy(stranger.key, files.transport_key)
        shutil.copy(stranger.certificate, files.transport)
        config = configured(tmp_path, it, files)

        async def run() -> None:
            async with running(config, tmp_path) as agent:
                words = "perhaps it does not know the authority of this room's certificate"
                await until(lambda: any(words in alarm for alarm in agent._staff.state().alarms), "the alarm")

        asyncio.run(run())


def test_what_fails_here_while_the_link_is_in_use_is_not_told_as_keys_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centre_link, "OPEN_AGAIN_S", 0.05)
    full = True

    async def run_commands(_: Commands) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await asyncio.Event().wait()

    monkeypatch.setattr(Commands, "run", run_commands)
    with centre(tmp_path) as it:
        config = configured(tmp_path, it, it.enrol(ROOM))

        async def run() -> None:
            nonlocal full
            async with running(config, tmp_path) as agent:
                await until(lambda: any("No space left" in alarm for alarm in agent._linked.alarms()), "the alarm")
                assert not any("keys" in alarm for alarm in agent._linked.alarms())
                full = False
                await until(lambda: bool(agent._linked.reached()) and not agent._linked.alarms(), "the centre")

        asyncio.run(run())
