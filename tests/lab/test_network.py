"""The lab's internet is one: the room takes no connection, and the documented TURN server serves whom it should and nobody else."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aioice.stun import TransactionFailed
from aioice.turn import create_turn_endpoint

from agent.relay_credentials import credentials
from tests.lab import coturn, network
from tests.lab.network import Network
from tests.lab.tls import Authority
from tests.lab.waiting import until

WHY_NOT = network.missing()
pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "there is a network"),
    pytest.mark.skipif(coturn.missing(), reason="coturn is not installed (scripts/setup-debian test)"),
]
UNAUTHORIZED, FORBIDDEN = 401, 403
WELL = 0
NOT_ON_THE_INTERNET = (
    "10.77.0.2", "192.168.1.1", "172.16.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "0.1.2.3", "224.0.0.1", "192.0.0.8",
    "198.18.0.1",
)  # fmt: skip


@pytest.fixture
def net() -> Iterator[Network]:
    with network.network() as it:
        yield it


@pytest.fixture
def turn(net: Network, tmp_path: Path) -> Iterator[Network]:
    """The network, when its TURN server is there."""
    pair = Authority(tmp_path / "authority").issue("turn", address=net.turn.address)
    with coturn.coturn(tmp_path, net.turn, pair):
        asyncio.run(until(lambda: net.browser.run(takes, net.turn.address, coturn.TLS_PORT), "the TURN server"))
        yield net


def takes(address: str, port: int) -> bool:
    """Whether somebody there takes a connection by TCP."""
    try:
        socket.create_connection((address, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def relayed(net: Network, user: str, password: str, peer: str) -> int:
    """What the server says to somebody in the browser's place who wants to reach a peer."""

    async def ask() -> int:
        try:
            transport, _ = await create_turn_endpoint(asyncio.DatagramProtocol, (net.turn.address, coturn.UDP_PORT), user, password)
        except TransactionFailed as refused:
            return int(refused.response.attributes["ERROR-CODE"][0])
        client = transport._TurnTransport__inner_protocol  # type: ignore[attr-defined] # aioice has no public way to it
        try:
            await client.channel_bind(0x4000, (peer, 9))
        except TransactionFailed as refused:
            return int(refused.response.attributes["ERROR-CODE"][0])
        finally:
            await client.delete()
        return WELL

    return net.browser.run(lambda: asyncio.run(ask()))


def good(now_s: float) -> tuple[str, str]:
    return credentials(coturn.SECRET, "lab.g1", int(now_s) + 60)


def test_nobody_on_the_internet_reaches_the_room_and_it_reaches_them(net: Network) -> None:
    with net.room.entered(), socket.create_server(("", 8000)), net.browser.entered(), socket.create_server(("", 8000)):
        assert net.room.run(takes, net.browser.address, 8000)
        assert not net.browser.run(takes, net.nat.address, 8000)
        assert not net.browser.run(takes, net.room.address, 8000)
        assert net.room.run(takes, net.room.address, 8000)


def test_a_firewall_lets_out_what_it_is_told_to(net: Network) -> None:
    with net.centre.entered(), socket.create_server(("", 443)), socket.create_server(("", 3478)):
        net.browser.lets_out("tcp dport 443")
        assert net.browser.run(takes, net.centre.address, 443)
        assert not net.browser.run(takes, net.centre.address, 3478)


def test_the_documented_server_takes_nobody_without_present_credentials(turn: Network) -> None:
    now_s, room = time.time(), turn.nat.address
    assert relayed(turn, *good(now_s), room) == WELL
    user, password = good(now_s)
    assert relayed(turn, user, "guessed", room) == UNAUTHORIZED
    assert relayed(turn, *good(now_s - 120), room) == UNAUTHORIZED
    assert relayed(turn, user.replace("g1", "g2"), password, room) == UNAUTHORIZED
    assert relayed(turn, *credentials("another secret of that length", "lab.g1", int(now_s) + 60), room) == UNAUTHORIZED


def test_the_documented_server_reaches_nothing_that_is_not_on_the_internet(turn: Network) -> None:
    here = {peer: relayed(turn, *good(time.time()), peer) for peer in NOT_ON_THE_INTERNET}
    assert here == dict.fromkeys(NOT_ON_THE_INTERNET, FORBIDDEN)
