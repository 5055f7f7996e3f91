"""STUN and TURN servers that somebody else names.

aiortc raises at an address that it cannot take apart, and asyncio closes a socket that is to send to a port which is none.
"""

import re
from collections.abc import Sequence

from aiortc import RTCIceServer

from recorder.contract.conference import IceServer

_STUN = re.compile(r"stun:[A-Za-z0-9.-]+(?::([0-9]{1,5}))?")
_TURN = re.compile(r"turns?:[A-Za-z0-9.-]+(?::([0-9]{1,5}))?(?:\?transport=(?:udp|tcp))?")
"""IPv6 in brackets is not among them: aiortc takes none."""


def is_ice_url(url: str) -> bool:
    """Whether this is the address of a server that can be asked."""
    found = _STUN.fullmatch(url) or _TURN.fullmatch(url)
    return found is not None and (found[1] is None or 1 <= int(found[1]) <= 65_535)


def named(servers: Sequence[IceServer]) -> list[RTCIceServer]:
    """What aiortc takes of them; what is no address is passed over."""
    usable = [(one, [url for url in one.urls if is_ice_url(url)]) for one in servers]
    return [RTCIceServer(urls=urls, username=one.username or None, credential=one.credential or None) for one, urls in usable if urls]
