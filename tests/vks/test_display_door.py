"""Who may open the courtroom's own screen: the room's PC, and nobody by another way."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from provisioning.videoconference import Vks
from tests.vks.test_service import House
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks.cli import app
from vks.door import BY_ANOTHER, Door

PATHS = ("/display/", "/api/display", "/identity/", "/api/identity")


async def test_there_is_no_screen_behind_the_relay(house: House) -> None:
    await house.agent()
    for path in ("/display", *PATHS):
        async with house.inside.get(f"http://vks{path}") as answer:
            assert answer.status == 404, path


@pytest.mark.parametrize("header", BY_ANOTHER)
async def test_there_is_no_screen_for_whoever_asks_through_another(house: House, header: str) -> None:
    for path in PATHS:
        async with house.http.get(f"{house.url}{path}", headers={header: "192.0.2.7"}) as answer:
            assert answer.status == 404, path


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:1"])
async def test_there_is_a_screen_under_this_pcs_own_names(house: House, host: str) -> None:
    for path in ("/api/display", "/api/identity"):
        async with house.http.get(f"{house.url}{path}", headers={"Host": host}) as answer:
            assert answer.status == 400, "it is a WebSocket"


@pytest.mark.parametrize("host", ["evil.example:1", "192.0.2.7", "127.0.0.1.evil", ""])
async def test_there_is_no_screen_under_other_names(house: House, host: str) -> None:
    for path in PATHS:
        async with house.http.get(f"{house.url}{path}", headers={"Host": host}) as answer:
            assert answer.status == 404, path


async def test_a_page_of_another_origin_cannot_connect_as_a_screen(house: House) -> None:
    for path in ("/api/display", "/api/identity"):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await house.http.ws_connect(f"{house.url}{path}", headers={"Origin": "https://evil.example"})


def own_address() -> str:
    """This machine's address in its network; empty where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[int]:
    """An application, on all addresses of this machine."""
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()  # noqa: S104 - the network's side of the door is what is tested
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.mark.skipif(not own_address(), reason="this machine is in no network")
async def test_there_is_no_screen_for_the_network(house: House) -> None:
    door = Door(house.service.hall, relayed=False)
    for application in (door.application(), door.display_application()):
        async with served(application) as port:
            for address, status in ((own_address(), 404), ("127.0.0.1", 400)):
                url = f"http://{address}:{port}/api/display"
                async with house.http.get(url, headers={"Host": "127.0.0.1"}) as answer:
                    assert answer.status == status, address


async def test_the_screens_own_door_has_nothing_else(house: House) -> None:
    async with served(Door(house.service.hall, relayed=False).display_application()) as port:
        for path in ("/join/", "/api/join", "/api/connect", "/agent"):
            async with house.http.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == 404, path


def test_the_address_is_where_the_rooms_pc_reaches_it() -> None:
    assert Vks().display_url == "http://127.0.0.1:8443/display/"
    assert Vks(certificate="c.pem", key="k.pem").display_url == "https://127.0.0.1:8443/display/"
    assert Vks(address="::1").display_url == "http://[::1]:8443/display/"
    assert Vks(address="192.0.2.20", certificate="c.pem", key="k.pem").display_url == "http://127.0.0.1:8444/display/"
    assert Vks(address="", display_port=9_000).display_url == "http://127.0.0.1:9000/display/"
    assert Vks(address="", display_port=0).display_url == ""
    assert Vks(port=0).display_url == ""
    assert Vks(address="192.0.2.20", certificate="c.pem", key="k.pem").identity_url == "http://127.0.0.1:8444/identity/"


ROOM = """\
[room]
id = "r"
court = "c"
[storage]
primary = "records"
[signing]
kind = "file"
key = "device.key"
chain = "chain.pem"
[[recipient]]
name = "court"
certificate = "court.pem"
[[camera]]
id = "bench"
driver = "test-pattern"
[[microphone]]
id = "m"
driver = "test-tone"
channels = [{ id = "judge", number = 1 }]
[ingest]
enabled = true
"""


def test_the_command_prints_the_address_and_the_browsers_command_line(tmp_path: Path) -> None:
    config = tmp_path / "room.toml"
    config.write_text(ROOM + "[vks]\nport = 8500\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["display", "--config", str(config)])
    assert done.exit_code == 0, done.output
    address, command = done.output.splitlines()
    assert address == "http://127.0.0.1:8500/display/"
    assert command.startswith("chromium --kiosk ")
    assert command.endswith(f" {address}")
