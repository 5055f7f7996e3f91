"""A firewall is told a range of ports, and media uses no other."""

import asyncio
import socket

import pytest

from tests.vks.browsers import Browser, until
from vks.connection import Connection
from vks.ports import NoPortError, run


def free_range(count: int) -> tuple[int, int]:
    """So many ports in a row that nobody uses now."""
    for first in range(42_000, 60_000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets.append(one)
                one.bind(("", port))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
        return first, first + count - 1
    raise AssertionError("no ports are free")


def test_media_flows_by_ports_of_the_range_alone() -> None:
    first, last = free_range(40)

    async def call() -> list[int]:
        ours, browser = Connection([]), Browser(1_000, 120)
        levels: list[int] = []
        await browser.call(ours)
        ours.inbound(0).on_level = levels.append
        await until(lambda: levels, "sound arrives")
        lines = [line for line in ours.localDescription.sdp.splitlines() if line.startswith("a=candidate") and " typ host" in line]
        await asyncio.gather(ours.close(), browser.close())
        return [int(line.split()[5]) for line in lines]

    used = run(call(), (first, last))
    assert used
    assert all(first <= port <= last for port in used)


def test_where_all_are_taken_it_is_told_which() -> None:
    first, last = free_range(2)

    async def take() -> None:
        loop, taken = asyncio.get_running_loop(), []
        try:
            for _ in range(3):
                transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
                taken.append(transport)
        finally:
            for transport in taken:
                transport.close()
            await asyncio.sleep(0)

    with pytest.raises(NoPortError, match=f"from {first} to {last}"):
        run(take(), (first, last))
