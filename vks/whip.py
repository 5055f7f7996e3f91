"""WHIP (RFC 9725) and WHEP: an offer is handed to a media server by HTTP, and answered. The client; media is not this module's.

WHIP's offer sends, WHEP's receives (draft-ietf-wish-whep); what is said by HTTP is the same.

A server may send us elsewhere (307, 308), but not to where it could not come itself: to what is not encrypted, or to an inner network's
hosts where it is none of them. The token stays with the one that is configured, and what was published is deleted where it was answered.
"""

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

import aiohttp
from aiortc import RTCIceServer
from yarl import URL

from recorder.contract.conference import AudienceServer
from vks.ice import is_ice_url
from vks.plain import plain

ANSWER_S = 10.0
MOST_SDP_BYTES = 64 * 1024
MOST_REDIRECTS = 3
MOST_ICE_SERVERS = 4
LONGEST_WISH_S = 300
"""A server's wish to be asked again later (Retry-After) is followed so far."""
_COME_AGAIN = frozenset({408, 425, 429})
"""What is no refusal among the answers from 400 to 499."""
_ELSEWHERE = frozenset({307, 308})
_NAT64 = IPv6Network("64:ff9b::/96")


class WhipRefusedError(Exception):
    """The server does not take what is offered, and will not take it if asked again.

    Args:
        message: for logs, the record and the clerk; the server may have worded it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class WhipAwayError(Exception):
    """The server cannot be reached, or is not able to answer now.

    Args:
        message: as above.
        wish_s: so long it wants to be left alone.
    """

    def __init__(self, message: str, wish_s: int = 0) -> None:
        super().__init__(plain(message))
        self.wish_s = wish_s


@dataclass(frozen=True, slots=True)
class Published:
    """What a server has taken."""

    answer: str
    resource: URL | None
    """What is deleted at the end."""
    ice: list[RTCIceServer]
    """By what media finds its way where it finds no straight one."""


class Whip:
    """A server; a context manager that keeps the connection to it.

    Args:
        server: which; its token goes to its origin alone.
        url: what is asked of it.

    Raises:
        WhipRefusedError: its address or its authority cannot be used.
    """

    def __init__(self, server: AudienceServer, url: str) -> None:
        self._url = URL(url)
        self._origin = URL(server.whip).origin()
        self._token = server.token
        try:
            self._tls = ssl.create_default_context(cafile=server.ca or None)
        except (OSError, ssl.SSLError) as error:
            raise WhipRefusedError(f"the authority's certificate {server.ca} cannot be read: {error}") from error
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        self._http = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ANSWER_S))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        if self._http is not None:
            await self._http.close()

    async def publish(self, offer: str) -> Published:
        """Hand over an offer.

        Raises:
            WhipRefusedError: it is not taken.
            WhipAwayError: it may be another time.
        """
        url = self._url
        try:
            for _ in range(MOST_REDIRECTS + 1):
                headers = {**self._headers(url), "Content-Type": "application/sdp", "Accept": "application/sdp"}
                async with self._session().post(url, data=offer.encode(), headers=headers, allow_redirects=False) as response:
                    if response.status in _ELSEWHERE:
                        url = await self._elsewhere(url, response.headers.get("Location", ""))
                        continue
                    judge(response)
                    return Published(await _body(response), resource_of(response), ice_servers(response))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise WhipAwayError(f"the server does not answer: {error or type(error).__name__}") from error
        raise WhipRefusedError("the server sends us from one address to the next")

    async def end(self, resource: URL) -> None:
        """What was published is over. A server that does not hear it finds out by itself.

        Raises:
            WhipAwayError: it did not hear it.
        """
        try:
            async with self._session().delete(resource, headers=self._headers(resource), allow_redirects=False):
                return
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise WhipAwayError(f"the server does not answer: {error or type(error).__name__}") from error

    async def _elsewhere(self, url: URL, location: str) -> URL:
        """Where a server sends us.

        Raises:
            WhipRefusedError: that is nowhere that we go.
            OSError: it cannot be found out.
        """
        there = _joined(url, location)
        if there is None:
            raise WhipRefusedError("the server sends us to what is no address")
        if there.scheme != self._url.scheme:
            raise WhipRefusedError(f"the server sends us to an address that is not encrypted: {there.origin()}")
        try:
            inner = await _depth(there) > await _depth(self._url)
        except UnicodeError:  # of Python's IDNA, for a name that has an empty label or a long one
            raise WhipRefusedError("the server sends us to what is no address") from None
        if inner:
            raise WhipRefusedError(f"the server sends us to a host of an inner network: {there.origin()}")
        return there

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("not entered")
        return self._http

    def _headers(self, url: URL) -> dict[str, str]:
        """The token, for the origin that it was given for."""
        return {"Authorization": f"Bearer {self._token}"} if url.origin() == self._origin else {}


def judge(response: aiohttp.ClientResponse) -> None:
    """Find out what an answer means.

    Raises:
        WhipRefusedError: no.
        WhipAwayError: not now.
    """
    said = f"the server answers {response.status} {response.reason or ''}".rstrip()
    if response.status == 201:
        if response.content_type != "application/sdp":
            raise WhipRefusedError(f"{said}, and not with a description of media: it is no WHIP server")
        return
    if response.status >= 500 or response.status in _COME_AGAIN:
        wish = response.headers.get("Retry-After", "")
        raise WhipAwayError(said, min(int(wish), LONGEST_WISH_S) if wish.isascii() and wish.isdecimal() else 0)
    raise WhipRefusedError(said)


def resource_of(response: aiohttp.ClientResponse) -> URL | None:
    """What is deleted at the end (RFC 9725, section 4.2): of the server that answered, else nothing is."""
    location = response.headers.get("Location", "")
    there = _joined(response.url, location) if location else None
    return there if there is not None and there.origin() == response.url.origin() else None


def ice_servers(response: aiohttp.ClientResponse) -> list[RTCIceServer]:
    """The STUN and TURN servers that an answer names (RFC 9725, section 4.6); what is none is passed over."""
    try:
        links = response.links.getall("ice-server", [])
    except ValueError:  # an address that is none
        return []
    found = [
        RTCIceServer(urls=str(link["url"]), username=_text(link.get("username")), credential=_text(link.get("credential")))
        for link in links
        if is_ice_url(str(link["url"]))
    ]
    return found[:MOST_ICE_SERVERS]


def _text(value: str | URL | None) -> str | None:
    return None if value is None else str(value)


def _joined(base: URL, location: str) -> URL | None:
    """An address beside another one; None where it is none of a web server."""
    try:
        there = base.join(URL(location))
        there.origin()
    except ValueError:
        return None
    is_one = there.scheme in {"http", "https"} and there.host and there.user is None and there.password is None
    return there if is_one else None


async def _depth(url: URL) -> int:
    """How far inside a network a host stands, by all its addresses: 0 on the internet, 1 in a private network, 2 on this PC or link."""
    async with asyncio.timeout(ANSWER_S):
        found = await asyncio.get_running_loop().getaddrinfo(url.raw_host, url.port)  # the name that is connected to
    addresses = [_within(ip_address(one[4][0])) for one in found]
    return max(_depth_of(one) for one in addresses)


def _depth_of(address: IPv4Address | IPv6Address) -> int:
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return 2
    return int(not address.is_global or (isinstance(address, IPv6Address) and address.is_site_local))


def _within(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to: mapped (RFC 4291), by 6to4 (RFC 3056) or by NAT64 (RFC 6052); else itself."""
    if isinstance(address, IPv4Address):
        return address
    translated = IPv4Address(address.packed[-4:]) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or translated or address


async def _body(response: aiohttp.ClientResponse) -> str:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_SDP_BYTES:
            raise WhipRefusedError("the server's answer is longer than any description of media")
    return body.decode(errors="replace")
