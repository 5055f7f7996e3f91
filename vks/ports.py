"""Media by ports of a range that a firewall can be told: an event loop whose datagram sockets take theirs from it.

aioice asks its event loop for a socket of any port, and has no setting for one; so the loop chooses.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

Ports = tuple[int, int]
"""The first and the last."""


class NoPortError(OSError):
    """All ports of the range are taken."""


class PortsLoop(asyncio.SelectorEventLoop):
    """An event loop whose datagram sockets of any port get one of the range.

    Args:
        ports: the range.
    """

    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self._ports = ports

    async def create_datagram_endpoint(self, protocol_factory: Callable[[], Any], local_addr: Any = None, **more: Any) -> Any:  # type: ignore[override] # noqa: ANN401 - asyncio's own signature
        """As asyncio's; a port of 0 is one of the range.

        Raises:
            NoPortError: all are taken.
        """
        if local_addr is None or local_addr[1] != 0:
            return await super().create_datagram_endpoint(protocol_factory, local_addr=local_addr, **more)
        first, last = self._ports
        count = last - first + 1
        begin = random.randrange(count)
        for number in range(count):
            port = first + (begin + number) % count
            try:
                return await super().create_datagram_endpoint(protocol_factory, local_addr=(local_addr[0], port), **more)
            except OSError:
                continue
        raise NoPortError(f"all UDP ports from {first} to {last} are taken at {local_addr[0]}: give [vks] more of them")


def run(main: Any, ports: Ports | None) -> Any:  # noqa: ANN401 - as asyncio.run
    """As ``asyncio.run``, with sockets of the range where there is one."""
    factory = None if ports is None else (lambda: PortsLoop(ports))
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
